// The episodes of an evaluation, in lockstep: place, then plan, play, judge, show, until the budget
// is spent.

#include "planner/evaluate.h"

#include <math.h>
#include <string.h>

#include "env/sim.h"
#include "planner/statistics.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

const char* const us_rule_names[US_RULE_COUNT] = {
#define X(name, text) #name,
    US_RULES(X)
#undef X
};

const char* const us_part_names[US_PART_COUNT] = {
#define X(name) #name,
    US_PARTS(X)
#undef X
};

const UsProtocol us_protocols[] = {
#define X(name, episodes, ahead, budget, replan, horizon, rule, keep, rest, text) \
  {#name, episodes, ahead, budget, replan, horizon, US_RULE_##rule, keep, rest, text},
    US_PROTOCOLS(X)
#undef X
        {.name = NULL}};

const UsProtocol* us_protocol_find(const char* name) {
  for (const UsProtocol* p = us_protocols; p->name; p++) {
    if (!strcmp(p->name, name)) return p;
  }
  return NULL;
}

int us_protocol_steps(int steps, const UsTask* task) {
  return steps / 5 * task->block;
}

int us_most_subgoals(int blocks) {
  return blocks / 2;
}

// One evaluation in progress: what it was asked, its result, and the work areas of a batch.
typedef struct Run {
  const UsEvaluation* e;
  UsResult* result;
  UsArena memory;
  int slots, block, action, states, proprios, replan;
  size_t frame;  // bytes of a frame
  int first, n;  // the batch: pairs first .. first + n - 1 in slots 0 .. n - 1
  int stage;     // the sub-goal that the answering env has, e->subgoals: the goal
  int* slot;     // (B) 0 .. B - 1
  int* live;     // (B) slots whose episode goes on
  int lives;
  uint64_t* number;     // (B) episode numbers; seeds of the reset
  UsObs* obs;           // (B)
  uint8_t* pixels;      // (B, H, W, 3)
  float* proprio;       // (B, P)
  double* state;        // (B, S)
  float* planned;       // (B, replan, K, A) as the planner lists them
  float* plan;          // (B, replan, K, A) by slot
  float* action_block;  // (B, K, A)
  uint8_t* success;     // (B, K)
  uint8_t* object;      // (B, K)
  float* reward;        // (B)
  float* distance;      // (B)
  uint8_t* history;     // (B, blocks, K) success after every env step
  size_t save;          // bytes of a slot of the truth; 0: no frame is drawn anew
  char* saved;          // (B, save)
} Run;

static void layout(Run* r) {
  UsArena* a = &r->memory;
  size_t b = (size_t)r->slots, k = (size_t)(r->block * r->action);
  r->slot = US_TAKE(a, int, b);
  r->live = US_TAKE(a, int, b);
  r->number = US_TAKE(a, uint64_t, b);
  r->obs = US_TAKE(a, UsObs, b);
  r->pixels = US_TAKE(a, uint8_t, b * r->frame);
  r->proprio = US_TAKE(a, float, b*(size_t)r->proprios);
  r->state = US_TAKE(a, double, b*(size_t)r->states);
  r->planned = US_TAKE(a, float, b*(size_t)r->replan* k);
  r->plan = US_TAKE(a, float, b*(size_t)r->replan* k);
  r->action_block = US_TAKE(a, float, b* k);
  r->success = US_TAKE(a, uint8_t, b * (size_t)r->block);
  r->object = US_TAKE(a, uint8_t, b * (size_t)r->block);
  r->reward = US_TAKE(a, float, b);
  r->distance = US_TAKE(a, float, b);
  r->saved = US_TAKE(a, char, b * r->save);
  r->history = US_TAKE(a, uint8_t, b * (size_t)(r->result->blocks * r->block));
}

static void layout_result(UsResult* r) {
  size_t n = (size_t)r->count, blocks = (size_t)r->blocks;
  r->outcome = US_TAKE(&r->memory, UsOutcome, n);
  r->actions = US_TAKE(&r->memory, float, n* blocks*(size_t)(r->block * r->action));
  r->variation = US_TAKE(&r->memory, float, n*(size_t)r->vary.count);
  r->distance = US_TAKE(&r->memory, float, n*(blocks + 1));
}

// ---- time by part ----

typedef struct Clock {
  double wall, core;
} Clock;

static Clock now(void) {
  return (Clock){us_seconds(), us_cpu_seconds()};
}

static void charge(Run* r, UsPart part, Clock start) {
  r->result->wall[part] += us_seconds() - start.wall;
  r->result->core[part] += us_cpu_seconds() - start.core;
}

// ---- the start ----

static UsStatus check(const UsEvaluation* e) {
  const UsEnvInfo *sim = us_env_info(e->sim), *answer = us_env_info(e->answer);
  const UsDatasetInfo* data = us_dataset_info(e->data);
  US_ASSERT(e->count >= 0 && e->count <= e->pairs->count);
  US_ASSERT(e->budget > 0 && e->budget % sim->block == 0);
  US_ASSERT(e->subgoals >= 0 && e->subgoals <= us_most_subgoals(e->budget / sim->block));
  US_ASSERT(answer->slots == sim->slots);
  if (data->state != sim->state || data->action != sim->action) {
    return us_fail(
        US_FORMAT, "%s: expected states of %d and actions of %d numbers as %s has, found %d and %d",
        us_dataset_path(e->data), sim->state, sim->action, sim->name, data->state, data->action);
  }
  if (answer->block != sim->block || answer->action != sim->action) {
    return us_fail(US_FORMAT, "%s: expected blocks of %d env steps of %d numbers, found %d of %d",
                   answer->name, sim->block, sim->action, answer->block, answer->action);
  }
  if (e->sees != US_SEES_PIXELS) return US_OK;
  if (answer->height == 0) {
    return us_fail(US_FORMAT, "%s: expected a model of frames, found one of true states",
                   answer->name);
  }
  if (data->height != answer->height || data->width != answer->width) {
    return us_fail(US_FORMAT,
                   "%s: expected frames of %d x %d pixels as %s was trained on, found %d x %d",
                   us_dataset_path(e->data), answer->height, answer->width, answer->name,
                   data->height, data->width);
  }
  US_ASSERT(sim->height == answer->height && sim->width == answer->width);
  return US_OK;
}

// Writes the state that an episode starts from into out (S).
static void start_state(const UsDataset* data, int64_t row, int rest, const UsEnv* sim,
                        double* out) {
  int states = us_env_info(sim)->state;
  memcpy(out, us_dataset_states(data) + row * states, sizeof(double) * (size_t)states);
  if (!rest) return;
  const mjModel* m = us_sim_model(sim);
  memset(out + m->nq, 0, sizeof(double) * (size_t)m->nv);
}

typedef enum Which { kBefore, kStart, kShown, kGoal } Which;

static int64_t pair_row(const Run* r, int i, Which which) {
  const UsPair* p = &r->e->pairs->pair[r->first + i];
  if (which == kGoal) return p->goal;
  if (which == kShown) {
    return p->start + (p->goal - p->start) * (r->stage + 1) / (r->e->subgoals + 1);
  }
  return which == kBefore && !r->e->rest ? p->before : p->start;
}

// Draws the frames of one row of every pair in its variation, and leaves the truth as it was.
static UsStatus draw_frames(Run* r, Which which) {
  for (int i = 0; i < r->n; i++) {
    us_env_save(r->e->sim, i, r->saved + (size_t)i * r->save);
    int64_t row = pair_row(r, i, which);
    double* state = r->state + (size_t)i * r->states;
    start_state(r->e->data, row, r->e->rest && which < kShown, r->e->sim, state);
    r->obs[i] = (UsObs){.state = state};
  }
  US_TRY(us_env_observe(r->e->sim, r->n, r->slot, r->obs));
  UsStatus status = us_env_render(r->e->sim, r->n, r->slot, r->pixels);
  for (int i = 0; i < r->n; i++) {
    us_env_restore(r->e->sim, i, r->saved + (size_t)i * r->save);
  }
  return status;
}

// Points r->obs (n) at one row of every pair, with pixels or with states.
static UsStatus read_rows(Run* r, Which which, UsSees sees) {
  const int anew = sees == US_SEES_PIXELS && r->e->vary;
  if (anew) US_TRY(draw_frames(r, which));
  for (int i = 0; i < r->n; i++) {
    int64_t row = pair_row(r, i, which);
    UsObs* o = &r->obs[i];
    *o = (UsObs){.time = us_dataset_times(r->e->data)[row], .first = which == kBefore};
    if (which == kStart && !r->e->rest) {  // a block lies between the two start rows
      o->action = us_dataset_actions(r->e->data) + (row - r->block) * r->action;
    }
    if (sees == US_SEES_STATE) {
      o->state = r->state + (size_t)i * r->states;
      start_state(r->e->data, row, r->e->rest && which < kShown, r->e->sim, o->state);
    } else {
      o->pixels = r->pixels + (size_t)i * r->frame;
      o->proprio = r->proprio + (size_t)i * r->proprios;
      memcpy(o->proprio, us_dataset_proprio(r->e->data) + row * r->proprios,
             sizeof(float) * (size_t)r->proprios);
      if (!anew) US_TRY(us_dataset_pixels(r->e->data, row, 1, o->pixels));
    }
  }
  return US_OK;
}

// Finds out what varies, before the result has memory, and by how much in every pair.
static UsStatus choose_factors(const UsEvaluation* e, UsResult* out) {
  if (e->vary) out->vary = *e->vary;
  if (e->vary || us_dataset_info(e->data)->variation == 0) return US_OK;
  return us_vary_choose(us_dataset_path(e->data), us_dataset_info(e->data)->variation_names, e->sim,
                        &out->vary);
}

static void fill_variation(const UsEvaluation* e, UsResult* r) {
  const size_t width = (size_t)r->vary.count;
  for (int i = 0; i < r->count && width; i++) {
    float* to = r->variation + (size_t)i * width;
    if (e->vary) {
      UsRng rng = us_rng(e->vary_seed, US_RNG_VARY, (uint64_t)i, 0, 1);
      us_vary_draw(e->vary, e->sim, e->range, us_rng_bits(&rng), to);
    } else {
      size_t row = (size_t)e->pairs->pair[i].start;
      memcpy(to, us_dataset_variation(e->data) + row * width, sizeof(float) * width);
    }
  }
}

// Puts the simulators that take part into the variations of the batch's pairs.
static void vary(Run* r) {
  const UsResult* to = r->result;
  if (to->vary.count == 0) return;
  const float* values = to->variation + (size_t)r->first * (size_t)to->vary.count;
  us_sim_vary(r->e->sim, &to->vary, r->n, r->slot, values);
  if (us_sim_is(r->e->answer)) us_sim_vary(r->e->answer, &to->vary, r->n, r->slot, values);
}

// Puts the truth into the starts of the batch's pairs.
static UsStatus place_truth(Run* r) {
  us_env_reset(r->e->sim, NULL, r->number);
  US_TRY(read_rows(r, kGoal, US_SEES_STATE));
  US_TRY(us_env_set_goal(r->e->sim, r->n, r->slot, r->obs));
  US_TRY(read_rows(r, kStart, US_SEES_STATE));
  for (int i = 0; i < r->n; i++) r->obs[i].first = 1;
  return us_env_observe(r->e->sim, r->n, r->slot, r->obs);
}

// Shows the answering env both start rows and its first goal.
static UsStatus place_answer(Run* r) {
  if (r->e->sees == US_SEES_NOTHING) return US_OK;
  us_env_reset(r->e->answer, NULL, r->number);
  r->stage = 0;
  for (int which = kBefore; which <= kShown; which++) {
    US_TRY(read_rows(r, (Which)which, r->e->sees));
    Clock start = now();
    UsStatus status = which == kShown ? us_env_set_goal(r->e->answer, r->n, r->slot, r->obs)
                                      : us_env_observe(r->e->answer, r->n, r->slot, r->obs);
    charge(r, US_PART_encode, start);
    US_TRY(status);
  }
  return US_OK;
}

static UsStatus place(Run* r) {
  for (int i = 0; i < r->slots; i++) {
    r->slot[i] = i;
    r->number[i] = (uint64_t)(r->first + i);
  }
  vary(r);
  US_TRY(place_truth(r));
  US_TRY(place_answer(r));
  us_planner_start(r->e->planner, r->n, r->slot, r->number);
  us_env_score(r->e->sim, r->n, r->slot, r->distance, NULL);
  int blocks = r->result->blocks;
  for (int i = 0; i < r->n; i++) {
    UsOutcome* o = &r->result->outcome[r->first + i];
    float* curve = r->result->distance + (size_t)(r->first + i) * (blocks + 1);
    *o = (UsOutcome){.first_hit = -1, .finite = 1};
    for (int b = 0; b <= blocks; b++) curve[b] = NAN;
    curve[0] = o->distance = r->distance[i];
  }
  memset(r->history, 0, (size_t)r->slots * blocks * r->block);
  return US_OK;
}

// ---- a block ----

// Lists the slots whose episode goes on.
static void list_live(Run* r) {
  r->lives = 0;
  for (int i = 0; i < r->n; i++) {
    const UsOutcome* o = &r->result->outcome[r->first + i];
    if (!o->finite || (r->e->stop_at_hit && o->first_hit >= 0)) continue;
    r->live[r->lives++] = i;
  }
}

// Shows the answering env the goal whose turn it is in block `b`, when it is another one.
static UsStatus aim(Run* r, int b) {
  int share = r->e->subgoals ? r->result->blocks / (2 * r->e->subgoals) : 0;
  int stage = share ? b / share : 0;
  if (stage > r->e->subgoals) stage = r->e->subgoals;
  if (stage == r->stage || r->e->sees == US_SEES_NOTHING) return US_OK;
  r->stage = stage;
  US_TRY(read_rows(r, kShown, r->e->sees));
  Clock start = now();
  UsStatus status = us_env_set_goal(r->e->answer, r->n, r->slot, r->obs);
  charge(r, US_PART_encode, start);
  return status;
}

static void plan(Run* r) {
  size_t length = (size_t)(r->replan * r->block * r->action);
  Clock start = now();
  us_planner_plan(r->e->planner, r->lives, r->live, r->planned);
  charge(r, US_PART_plan, start);
  for (int i = 0; i < r->lives; i++) {
    memcpy(r->plan + (size_t)r->live[i] * length, r->planned + (size_t)i * length,
           sizeof(float) * length);
  }
}

// Plays block `j` of the plans, the `b`-th of the episodes, in the truth.
static void play(Run* r, int b, int j) {
  size_t length = (size_t)(r->block * r->action);
  memset(r->action_block, 0, sizeof(float) * length * (size_t)r->slots);
  for (int i = 0; i < r->lives; i++) {
    int s = r->live[i];
    const float* from = r->plan + ((size_t)s * r->replan + j) * length;
    size_t to = ((size_t)(r->first + s) * r->result->blocks + b) * length;
    memcpy(r->action_block + s * length, from, sizeof(float) * length);
    memcpy(r->result->actions + to, from, sizeof(float) * length);
  }
  UsStep out = {.reward = r->reward, .success = r->success, .object = r->object};
  Clock start = now();
  us_env_step(r->e->sim, r->action_block, &out);
  us_env_score(r->e->sim, r->n, r->slot, r->distance, NULL);
  charge(r, US_PART_simulate, start);
}

// Notes what block `b` brought to the live episodes.
static void judge(Run* r, int b, int plan_ends) {
  int blocks = r->result->blocks, block = r->block;
  for (int i = 0; i < r->lives; i++) {
    int s = r->live[i];
    UsOutcome* o = &r->result->outcome[r->first + s];
    const uint8_t* flag = r->success + (size_t)s * block;
    const uint8_t* object = r->object + (size_t)s * block;
    o->played = b + 1;
    o->distance = r->distance[s];
    r->result->distance[(size_t)(r->first + s) * (blocks + 1) + b + 1] = r->distance[s];
    if (!isfinite(r->distance[s]) || !isfinite(r->reward[s])) {
      o->finite = 0;
      o->distance = NAN;
      continue;
    }
    for (int k = 0; k < block; k++) {
      if (flag[k] && o->first_hit < 0) o->first_hit = b * block + k + 1;
    }
    if (plan_ends && flag[block - 1]) o->plan_end = 1;
    for (int k = 0; k < block; k++) o->object_hit |= object[k];
    memcpy(r->history + ((size_t)s * blocks + b) * block, flag, (size_t)block);
  }
}

// Shows the answering env what came of block `b` in the live episodes.
static UsStatus show(Run* r, int b) {
  const UsEvaluation* e = r->e;
  if (e->sees == US_SEES_NOTHING) return US_OK;
  for (int i = 0; i < r->lives; i++) {
    UsObs* o = &r->obs[i];
    *o = (UsObs){0};
    if (e->sees == US_SEES_STATE) o->state = r->state + (size_t)i * r->states;
    if (e->sees == US_SEES_PIXELS) o->proprio = r->proprio + (size_t)i * r->proprios;
  }
  US_TRY(us_env_look(e->sim, r->lives, r->live, r->obs));
  if (e->sees == US_SEES_PIXELS) {
    Clock start = now();
    US_TRY(us_env_render(e->sim, r->lives, r->live, r->pixels));
    charge(r, US_PART_render, start);
  }
  double dt = us_env_info(e->sim)->dt;
  for (int i = 0; i < r->lives; i++) {
    int64_t row = pair_row(r, r->live[i], kStart);
    r->obs[i].time = us_dataset_times(e->data)[row] + (b + 1) * r->block * dt;
    r->obs[i].action = r->action_block + (size_t)r->live[i] * (size_t)(r->block * r->action);
    if (e->sees == US_SEES_PIXELS) r->obs[i].pixels = r->pixels + (size_t)i * r->frame;
  }
  Clock start = now();
  UsStatus status = us_env_observe(e->answer, r->lives, r->live, r->obs);
  charge(r, US_PART_encode, start);
  return status;
}

// ---- a batch of episodes ----

// What the whole history of success says.
static void conclude(Run* r) {
  int steps = r->result->blocks * r->block;
  for (int i = 0; i < r->n; i++) {
    UsOutcome* o = &r->result->outcome[r->first + i];
    const uint8_t* flag = r->history + (size_t)i * steps;
    o->last_step = flag[steps - 1];
    for (int t = 2; t < steps; t++) o->hold_3 |= flag[t] && flag[t - 1] && flag[t - 2];
  }
}

static UsStatus play_batch(Run* r, UsProgress* progress) {
  int blocks = r->result->blocks;
  US_TRY(place(r));
  list_live(r);
  for (int b = 0; b < blocks && r->lives > 0; b++) {
    int j = b % r->replan;
    if (us_interrupted()) {
      return us_fail(US_INTERRUPTED, "stopped after %d of %d episodes%s", r->first,
                     r->result->count, r->e->keep ? "; --resume goes on" : "");
    }
    if (j == 0) {
      US_TRY(aim(r, b));
      plan(r);
    }
    play(r, b, j);
    judge(r, b, j == r->replan - 1 || b == blocks - 1);
    list_live(r);
    if (b < blocks - 1) US_TRY(show(r, b));
    us_progress_show(progress, r->first + (double)r->n * (b + 1) / blocks, r->e->label);
  }
  conclude(r);
  return US_OK;
}

// Where the counts would have begun if all of the row were of this run.
typedef struct Origin {
  Clock clock;
  int64_t plans, steps;
} Origin;

static Origin find_origin(const Run* r) {
  Clock clock = now();
  return (Origin){.clock = {clock.wall - r->result->wall_all, clock.core - r->result->core_all},
                  .plans = r->e->planner->plans - r->result->plans,
                  .steps = r->e->planner->candidate_steps - r->result->candidate_steps};
}

static void count(Run* r, const Origin* origin) {
  r->result->wall_all = us_seconds() - origin->clock.wall;
  r->result->core_all = us_cpu_seconds() - origin->clock.core;
  r->result->plans = r->e->planner->plans - origin->plans;
  r->result->candidate_steps = r->e->planner->candidate_steps - origin->steps;
}

static UsStatus run(Run* r) {
  UsStatus status = US_OK;
  int done = 0, all = r->result->count;
  if (r->e->recall) US_TRY(r->e->recall(r->e->keeper, r->result, &done));
  Origin origin = find_origin(r);
  UsProgress progress = us_progress_start("eval", "episodes", all, done);
  for (r->first = done; r->first < all && status == US_OK; r->first += r->slots) {
    r->n = all - r->first < r->slots ? all - r->first : r->slots;
    status = play_batch(r, &progress);
    count(r, &origin);
    if (status == US_OK && r->e->keep) status = r->e->keep(r->e->keeper, r->result, r->first, r->n);
  }
  us_progress_end(&progress);
  return status;
}

UsStatus us_evaluate(const UsEvaluation* e, UsResult* out) {
  *out = (UsResult){0};
  US_TRY(check(e));
  const UsEnvInfo* sim = us_env_info(e->sim);
  Run r = {.e = e, .result = out, .slots = sim->slots, .block = sim->block, .action = sim->action};
  r.states = sim->state;
  r.proprios = us_dataset_info(e->data)->proprio;
  r.replan = e->planner->config.execute;
  if (e->vary && e->sees == US_SEES_PIXELS) r.save = us_env_save_size(e->sim);
  if (e->sees == US_SEES_PIXELS) r.frame = (size_t)sim->height * (size_t)sim->width * 3;
  out->count = e->count;
  out->block = sim->block;
  out->action = sim->action;
  out->blocks = e->budget / sim->block;
  out->stopped = e->stop_at_hit;
  US_TRY(choose_factors(e, out));
  layout_result(out);
  layout(&r);
  UsStatus status = us_arena_alloc(&out->memory);
  if (status == US_OK) status = us_arena_alloc(&r.memory);
  if (status == US_OK) {
    layout_result(out);
    layout(&r);
    fill_variation(e, out);
    status = run(&r);
  }
  us_arena_free(&r.memory);
  if (status != US_OK) us_result_free(out);
  return status;
}

void us_result_free(UsResult* r) {
  us_arena_free(&r->memory);
  *r = (UsResult){0};
}

// ---- after the run ----

int us_outcome_solved(const UsOutcome* o, UsRule rule) {
  if (!o->finite) return 0;
  switch (rule) {
    case US_RULE_first_hit:
      return o->first_hit >= 0;
    case US_RULE_last_step:
      return o->last_step;
    case US_RULE_hold_3:
      return o->hold_3;
    case US_RULE_plan_end:
      return o->plan_end;
    case US_RULE_object_hit:
      return o->object_hit;
    default:
      US_ASSERT(0);
      return 0;
  }
}

UsRate us_result_rate(const UsResult* r, const UsPairs* pairs, UsRule rule, int hard) {
  UsRate rate = {0};
  for (int i = 0; i < r->count; i++) {
    if (hard && !pairs->pair[i].hard) continue;
    rate.count++;
    rate.hits += us_outcome_solved(&r->outcome[i], rule);
  }
  if (rate.count > 0) rate.rate = (double)rate.hits / rate.count;
  us_wilson(rate.hits, rate.count, &rate.low, &rate.high);
  return rate;
}

UsStatus us_result_film(const UsResult* r, const UsDataset* data, const UsPairs* pairs, int episode,
                        int rest, UsEnv* sim, uint8_t* pixels) {
  const UsEnvInfo* info = us_env_info(sim);
  US_ASSERT(info->slots == 1 && episode >= 0 && episode < r->count && info->state <= 4096);
  size_t frame = (size_t)info->height * (size_t)info->width * 3;
  const UsPair* p = &pairs->pair[episode];
  const int slot = 0;
  const uint64_t seed = 0;
  double state[4096];
  UsObs obs = {.state = state, .first = 1};
  const float* values = r->variation + (size_t)episode * (size_t)r->vary.count;
  if (r->vary.count) us_sim_vary(sim, &r->vary, 1, &slot, values);
  us_env_reset(sim, NULL, &seed);
  start_state(data, p->goal, 0, sim, state);
  US_TRY(us_env_observe(sim, 1, &slot, &obs));
  US_TRY(us_env_render(sim, 1, &slot, pixels + frame));
  start_state(data, p->start, rest, sim, state);
  US_TRY(us_env_observe(sim, 1, &slot, &obs));
  US_TRY(us_env_render(sim, 1, &slot, pixels));
  size_t length = (size_t)(r->block * r->action);
  for (int b = 0; b < r->outcome[episode].played; b++) {
    us_env_step(sim, r->actions + ((size_t)episode * r->blocks + b) * length, NULL);
    US_TRY(us_env_render(sim, 1, &slot, pixels + (size_t)(b + 2) * frame));
  }
  return US_OK;
}
