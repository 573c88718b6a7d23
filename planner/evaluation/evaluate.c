// The episodes of an evaluation, in lockstep: place, then plan, play, judge, show, until the budget
// is spent.

#include "planner/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "env/sim.h"
#include "planner/evaluation/evaluate_inner.h"
#include "worldmodel/ops.h"

enum { FEW = 64 };             // candidates that tell how long all take
static const double slow = 2;  // minutes; a row that takes as long says so

// ---- memory ----

static void layout(Run* r) {
#define X(type, name, numbers) \
  r->name = US_TAKE(&r->memory, type, (size_t)r->slots * (size_t)(numbers));
  RUN_AREAS(X)
#undef X
}

static void layout_result(UsResult* r) {
  size_t n = (size_t)r->count, blocks = (size_t)r->blocks;
  r->outcome = US_TAKE(&r->memory, UsOutcome, n);
  r->actions = US_TAKE(&r->memory, float, n* blocks*(size_t)(r->block * r->action));
  r->variation = US_TAKE(&r->memory, float, n*(size_t)r->vary.count);
  r->distance = US_TAKE(&r->memory, float, n*(blocks + 1));
}

// ---- the start ----

static UsStatus check(const UsEvaluation* e) {
  const UsEnvInfo *sim = us_env_info(e->sim), *answer = us_env_info(e->answer);
  const UsDatasetInfo* data = us_dataset_info(e->data);
  // What the caller chose.
  if (e->count < 0 || e->count > e->pairs->count) {
    return us_fail(US_USAGE, "row %s: expected at most the %d pairs that there are, found %d",
                   e->label, e->pairs->count, e->count);
  }
  if (e->budget <= 0 || e->budget % sim->block != 0) {
    return us_fail(US_USAGE, "row %s: expected a budget of whole blocks of %d env steps, found %d",
                   e->label, sim->block, e->budget);
  }
  int most = us_most_subgoals(e->budget / sim->block);
  if (e->subgoals < 0 || e->subgoals > most) {
    return us_fail(US_USAGE, "row %s: expected at most %d sub-goals, found %d", e->label, most,
                   e->subgoals);
  }
  if (answer->slots != sim->slots) {
    return us_fail(US_USAGE, "%s: expected the %d slots of %s, found %d", answer->name, sim->slots,
                   sim->name, answer->slots);
  }
  // The data and the two envs speak of the same task in the same blocks.
  if (data->state != sim->state || data->action != sim->action) {
    return us_fail(
        US_FORMAT, "%s: expected states of %d and actions of %d numbers as %s has, found %d and %d",
        us_dataset_path(e->data), sim->state, sim->action, sim->name, data->state, data->action);
  }
  if (answer->block != sim->block || answer->action != sim->action) {
    return us_fail(US_FORMAT, "%s: expected blocks of %d env steps of %d numbers, found %d of %d",
                   answer->name, sim->block, sim->action, answer->block, answer->action);
  }
  if (e->pairs->goal && e->subgoals) {
    return us_fail(US_USAGE,
                   "row %s: expected no sub-goals on the way to a goal of its own, found %d",
                   e->label, e->subgoals);
  }
  // Frames have the size that the model was trained on.
  if (e->sees != US_SEES_PIXELS) return US_OK;
  if (e->pairs->goal && !e->goal && !e->vary) {
    return us_fail(US_USAGE, "row %s: expected a frame of the goal, found none", e->label);
  }
  if (answer->height == 0) {
    return us_fail(US_FORMAT, "%s: expected a model of frames, found one of true states",
                   answer->name);
  }
  if (data->height != answer->height || data->width != answer->width) {
    return us_fail(US_FORMAT,
                   "%s: expected frames of %d x %d pixels as %s was trained on, found %d x %d",
                   us_dataset_path(e->data), answer->width, answer->height, answer->name,
                   data->width, data->height);
  }
  if (sim->height != answer->height || sim->width != answer->width) {
    return us_fail(US_USAGE, "%s: expected frames of %d x %d pixels as %s sees, found %d x %d",
                   sim->name, answer->width, answer->height, answer->name, sim->width, sim->height);
  }
  return US_OK;
}

// ---- a block ----

// Lists the slots whose episode goes on, which the truth plays alone.
static void list_live(Run* r) {
  r->lives = 0;
  for (int i = 0; i < r->n; i++) {
    const UsOutcome* o = &r->result->outcome[r->first + i];
    if (!o->finite || (r->e->stop_at_hit && o->first_hit >= 0)) continue;
    r->live[r->lives++] = i;
  }
  if (us_sim_is(r->e->sim)) us_sim_select(r->e->sim, r->lives, r->live);
}

// The engine's error in one of the two envs, if there is one, as a status that names the episode.
static UsStatus check_engine(const Run* r, UsStatus status) {
  const UsEnv* e = us_env_error(r->e->sim) ? r->e->sim : r->e->answer;
  const UsEnvError* error = us_env_error(e);
  if (!error) return status;
  struct UsDevice* d = us_env_info(e)->device;
  int device = d && us_device_check(d, "") != US_OK;
  UsStatus kind;
  const char* engine = us_sim_engine(e, &kind);
  if (kind == US_INTERRUPTED) return kind;
  return us_fail(device ? US_DEVICE : kind, "row %s, episode %d, step %d: %s%s", r->e->label,
                 r->first + error->slot, error->step, device ? "" : engine, error->text);
}

// Plays block `j` of the plans, the `b`-th of the episodes, in the truth.
static void play(Run* r, int b, int j) {
  const size_t length = r->length;
  // Slots whose episode has ended are given zeros, which the truth does not play.
  memset(r->action_block, 0, sizeof(float) * length * (size_t)r->slots);
  for (int i = 0; i < r->lives; i++) {
    int s = r->live[i];
    const float* from = r->plan + ((size_t)s * r->replan + j) * length;
    size_t to = ((size_t)(r->first + s) * r->result->blocks + b) * length;
    memcpy(r->action_block + s * length, from, sizeof(float) * length);
    memcpy(r->result->actions + to, from, sizeof(float) * length);
  }
  // The simulator plays the block and says after which env steps the task was solved.
  UsStep out = {.reward = r->reward, .success = r->success, .object = r->object};
  Clock start = clock_now();
  us_env_step(r->e->sim, r->action_block, &out);
  us_env_score(r->e->sim, r->n, r->slot, r->distance, NULL);
  clock_charge(r, US_PART_simulate, start);
}

// Notes what block `b` brought to the live episodes.
static void judge(Run* r, int b) {
  int blocks = r->result->blocks, block = r->block;
  for (int i = 0; i < r->lives; i++) {
    int s = r->live[i];
    UsOutcome* o = &r->result->outcome[r->first + s];
    const uint8_t* flag = r->success + (size_t)s * block;
    const uint8_t* object = r->object + (size_t)s * block;
    // How far the goal is now.
    o->played = b + 1;
    o->distance = r->distance[s];
    r->result->distance[(size_t)(r->first + s) * (blocks + 1) + b + 1] = r->distance[s];
    // A state that diverged ends the episode, which then counts as failed.
    if (!isfinite(r->distance[s]) || !isfinite(r->reward[s])) {
      o->finite = 0;
      o->distance = NAN;
      continue;
    }
    // The env steps in which it was solved, from which the rules judge at the end.
    for (int k = 0; k < block; k++) {
      if (flag[k] && o->first_hit < 0) o->first_hit = b * block + k + 1;
    }
    memcpy(r->history + ((size_t)s * blocks + b) * block, flag, (size_t)block);
    memcpy(r->objects + ((size_t)s * blocks + b) * block, object, (size_t)block);
  }
}

// Shows the answering env what came of block `b` in the live episodes.
static UsStatus show(Run* r, int b) {
  const UsEvaluation* e = r->e;
  if (e->sees == US_SEES_NOTHING) return US_OK;
  // What the truth knows without drawing: its state for an oracle, proprio for a model.
  for (int i = 0; i < r->lives; i++) {
    UsObs* o = &r->obs[i];
    *o = (UsObs){0};
    if (e->sees == US_SEES_STATE) o->state = r->state + (size_t)i * r->states;
    if (e->sees == US_SEES_PIXELS) o->proprio = r->proprio + (size_t)i * r->proprios;
  }
  US_TRY(us_env_look(e->sim, r->lives, r->live, r->obs));
  // Its frames, for a model.
  if (e->sees == US_SEES_PIXELS) {
    Clock start = clock_now();
    US_TRY(us_env_render(e->sim, r->lives, r->live, r->pixels));
    clock_charge(r, US_PART_render, start);
  }
  // When it was seen, and the block that led there.
  double dt = us_env_info(e->sim)->dt;
  for (int i = 0; i < r->lives; i++) {
    int64_t row = e->pairs->pair[r->first + r->live[i]].start;
    r->obs[i].time = us_dataset_times(e->data)[row] + (b + 1) * r->block * dt;
    r->obs[i].action = r->action_block + (size_t)r->live[i] * r->length;
    if (e->sees == US_SEES_PIXELS) r->obs[i].pixels = r->pixels + (size_t)i * r->frame;
  }
  // A model encodes here; an oracle takes over the state.
  Clock start = clock_now();
  UsStatus status = us_env_observe(e->answer, r->lives, r->live, r->obs);
  clock_charge(r, US_PART_encode, start);
  return status;
}

// ---- a batch of episodes ----

// Says how long a row that imagines in a simulator will take, by a few candidates of its first
// episode, which keeps its state: its first plan alone may take minutes.
static UsStatus foretell(const Run* r) {
  const UsEvaluation* e = r->e;
  const UsPlannerConfig* c = &e->planner->config;
  if (!us_sim_is(e->answer) || e->answer == e->sim || r->lives == 0) return US_OK;
  const int n = c->samples < FEW ? c->samples : FEW;
  const size_t steps = (size_t)n * (size_t)c->horizon;
  float* actions = calloc(steps * r->length, sizeof(float));
  float* rewards = calloc(steps, sizeof(float));
  double seconds = us_seconds();
  if (actions && rewards) us_env_rollout(e->answer, 1, r->live, n, c->horizon, actions, rewards);
  seconds = (us_seconds() - seconds) / n;
  UsStatus status = actions && rewards ? US_OK : us_fail(US_MEMORY, "out of memory");
  free(actions);
  free(rewards);
  // A first plan and warm ones behind it, in every episode that is left.
  const int left = r->result->count - r->first, plans = r->result->blocks / c->replan;
  double candidates = (double)c->samples * (c->iterations + (plans - 1.0) * c->warm_iterations);
  double minutes = ceil(seconds * candidates * left / 60);
  if (minutes >= slow) {
    us_log("%s: about %.0f minutes for %d episodes, by its first candidates", e->label, minutes,
           left);
  }
  return status;
}

// Plays a batch of episodes from their starts to the end of the budget.
static UsStatus play_batch(Run* r, UsProgress* progress, int first) {
  int blocks = r->result->blocks, steps = blocks * r->block;
  const size_t length = (size_t)r->replan * r->length;
  US_TRY(check_engine(r, us_evaluate_place(r)));
  list_live(r);
  for (int b = 0; b < blocks && r->lives > 0; b++) {
    // Where the blocks of the last plan are spent: the goal whose turn it is, and a new plan.
    int j = b % r->replan;
    if (j == 0) {
      US_TRY(check_engine(r, us_evaluate_aim(r, b)));
      if (first && b == 0) US_TRY(check_engine(r, foretell(r)));
      Clock start = clock_now();
      us_planner_plan(r->e->planner, r->lives, r->live, r->planned);
      clock_charge(r, US_PART_plan, start);
      // The planner lists its plans one behind the other; here each lies by its slot.
      for (int i = 0; i < r->lives; i++) {
        memcpy(r->plan + (size_t)r->live[i] * length, r->planned + (size_t)i * length,
               sizeof(float) * length);
      }
    }
    if (us_interrupted()) return US_INTERRUPTED;  // a plan then means nothing
    // The block in the simulator, and what it brought.
    play(r, b, j);
    US_TRY(check_engine(r, US_OK));
    judge(r, b);
    list_live(r);
    // What the next plan starts from.
    if (b < blocks - 1) US_TRY(check_engine(r, show(r, b)));
    us_progress_show(progress, r->first + (double)r->n * (b + 1) / blocks, r->e->label);
  }
  if (us_sim_is(r->e->sim)) us_sim_select(r->e->sim, 0, NULL);  // robots stop
  // What the whole history of success says by every rule.
  UsHistory e = {.steps = steps, .block = r->block, .replan = r->replan};
  for (int i = 0; i < r->n; i++) {
    e.success = r->history + (size_t)i * steps;
    e.object = r->objects + (size_t)i * steps;
    UsOutcome* o = &r->result->outcome[r->first + i];
    for (int rule = 0; rule < US_RULE_COUNT; rule++) o->holds[rule] = us_rules[rule].holds(&e);
  }
  return US_OK;
}

// Plays all batches, those that an earlier run finished left out.
static UsStatus run(Run* r) {
  UsStatus status = US_OK;
  int done = 0, all = r->result->count;
  if (r->e->recall) US_TRY(r->e->recall(r->e->keeper, r->result, &done));
  const UsPlanner* p = r->e->planner;
  UsProgress progress = us_progress_start("eval", "episodes", all, done);
  for (r->first = done; r->first < all && status == US_OK; r->first += r->slots) {
    r->n = all - r->first < r->slots ? all - r->first : r->slots;
    Clock start = clock_now();
    int64_t plans = p->plans, steps = p->candidate_steps;
    status = play_batch(r, &progress, r->first == done);
    if (status == US_INTERRUPTED) {
      status = us_fail(status, "stopped after %d of %d episodes%s", r->first, r->result->count,
                       r->e->keep ? "; --resume goes on" : "");
    }
    // A finished batch is kept with the sums so far, so that a kill loses one batch at most.
    r->result->wall_all += us_seconds() - start.wall;
    r->result->core_all += us_cpu_seconds() - start.core;
    r->result->plans += p->plans - plans;
    r->result->candidate_steps += p->candidate_steps - steps;
    if (status == US_OK && r->e->keep) status = r->e->keep(r->e->keeper, r->result, r->first, r->n);
  }
  us_progress_end(&progress);
  return status;
}

UsStatus us_evaluate(const UsEvaluation* e, UsResult* out) {
  *out = (UsResult){0};
  US_TRY(check(e));
  // Sizes of a batch and of the result.
  const UsEnvInfo* sim = us_env_info(e->sim);
  const UsDatasetInfo* data = us_dataset_info(e->data);
  Run r = {.e = e, .result = out, .slots = sim->slots, .block = sim->block, .states = sim->state};
  r.length = (size_t)sim->block * (size_t)sim->action;
  r.proprios = data->proprio;
  r.replan = e->planner->config.replan;
  if (e->vary && e->sees == US_SEES_PIXELS) r.save = us_env_save_size(e->sim);
  if (e->sees == US_SEES_PIXELS) r.frame = (size_t)sim->height * (size_t)sim->width * 3;
  out->count = e->count;
  out->block = sim->block;
  out->action = sim->action;
  out->blocks = e->budget / sim->block;
  out->stopped = e->stop_at_hit;
  // What varies: the factors to draw, or what the file recorded.
  if (e->vary) out->vary = *e->vary;
  if (!e->vary && data->variation > 0) {
    US_TRY(us_vary_read(us_dataset_path(e->data), data->variation_names, data->variation, e->sim,
                        &out->vary));
  }
  // One block of memory for the result, one for the work; the first passes only measure.
  layout_result(out);
  layout(&r);
  UsStatus status = us_arena_alloc(&out->memory);
  if (status == US_OK) status = us_arena_alloc(&r.memory);
  if (status == US_OK) {
    layout_result(out);
    layout(&r);
    us_evaluate_variation(e, out);
    status = run(&r);
  }
  us_arena_free(&r.memory);
  if (status != US_OK) us_result_free(out);
  return status;
}
