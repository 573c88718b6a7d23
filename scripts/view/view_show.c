// An env step goes: choose the action, play it, read the truth; after the last env step of a block
// the models are shown what came of it, or imagine it.

#include "scripts/view/view_show.h"

#include <math.h>
#include <string.h>

#include "env/scene.h"
#include "env/trap.h"
#include "planner/evaluate.h"
#include "scripts/cli/cli.h"
#include "scripts/view/view_show_inner.h"
#include "worldmodel/base/progress.h"

static const double hold = 1.0;  // s that a solved plan goes on

// The engine's error in one of the envs, if there is one, as a status that names the episode.
static UsStatus check_engine(const UsShow* s, UsStatus status) {
  const UsEnv* const envs[] = {s->sim, s->own->answer};
  for (int i = 0; i < 2; i++) {
    const UsEnvError* error = envs[i] ? us_env_error(envs[i]) : NULL;
    if (!error) continue;
    UsStatus kind;
    const char* engine = us_sim_engine(envs[i], &kind);
    return us_fail(kind, "%s: episode of seed %llu, step %d: %s%s", us_env_info(envs[i])->name,
                   (unsigned long long)s->seed, s->step, engine, error->text);
  }
  return status;
}

static int is_drawing(const UsEnv* model) {
  return model && us_env_info(model)->height > 0;
}

// ---- the truth ----

// Reads state, time and distance.
static UsStatus read_truth(UsShow* s) {
  Inner* in = s->own;
  US_TRY(check_engine(s, US_OK));
  // State and time first, then whether the episode has diverged, then the distance to the goal.
  UsObs obs = {.state = s->state, .proprio = us_env_info(s->sim)->proprio ? in->proprio : NULL};
  US_TRY(us_env_look(s->sim, 1, &slot, &obs));
  s->time = obs.time;
  s->finite = !us_sim_diverged(s->sim, slot);
  if (!s->has_goal) return US_OK;
  float distance;
  uint8_t success;
  us_env_score(s->sim, 1, &slot, &distance, &success);
  s->distance = (double)distance;
  s->success = success;
  return US_OK;
}

static UsStatus place_truth(UsShow* s, const double* state, double time) {
  UsObs obs = {.state = (double*)state, .time = time, .first = 1};
  US_TRY(us_env_observe(s->sim, 1, &slot, &obs));
  return read_truth(s);
}

// Puts a simulator into the variation of the truth.
static UsStatus vary_like_truth(const UsShow* s, UsEnv* sim) {
  static const UsVary none;
  return us_sim_vary(sim, s->variation ? &s->vary : &none, 1, &slot, s->variation);
}

// Takes over what a row of the data recorded; -1: the scene as the task has it.
static UsStatus vary(UsShow* s, int64_t row) {
  const UsEnv* answer = s->own->answer;
  // The scene changes with the episode, and whoever draws it has to know.
  if (s->vary.count == 0) return US_OK;
  s->variation = row < 0 ? NULL : us_dataset_variation(s->own->data) + row * s->vary.count;
  s->looks++;
  US_TRY(vary_like_truth(s, s->sim));
  return answer && us_sim_is(answer) ? vary_like_truth(s, s->own->answer) : US_OK;
}

static UsStatus place_row(UsShow* s, int64_t row) {
  const UsDataset* d = s->own->data;
  return place_truth(s, us_dataset_states(d) + row * us_env_info(s->sim)->state,
                     us_dataset_times(d)[row]);
}

static void note_distance(UsShow* s) {
  if (s->histories == US_SHOW_HISTORY) {
    memmove(s->history, s->history + 1, sizeof(float) * (US_SHOW_HISTORY - 1));
    s->histories--;
  }
  s->history[s->histories++] = s->has_goal ? (float)s->distance : NAN;
  if (s->success && s->first_hit < 0) s->first_hit = s->step;
}

// ---- what the models see ----

// The present observation of the truth, with pixels for a model that reads frames.
static UsStatus see_truth(UsShow* s, int with_pixels, UsObs* obs) {
  Inner* in = s->own;
  *obs = (UsObs){.state = s->state, .time = s->time};
  if (us_env_info(s->sim)->proprio) obs->proprio = in->proprio;
  if (!with_pixels) return US_OK;
  obs->pixels = in->pixels;
  return us_env_render(s->sim, 1, &slot, in->pixels);
}

static UsStatus draw_dream(UsShow* s) {
  return s->dream ? us_env_render(s->dream, 1, &slot, s->picture) : US_OK;
}

// Shows the models the truth, to which `action` (K, A) led. Nullable: action.
static UsStatus present(UsShow* s, int first, const float* action, int to_dream) {
  Inner* in = s->own;
  // What the planner imagines in hears of the truth in plan mode alone.
  UsEnv* answer = s->mode == US_VIEW_plan ? in->answer : NULL;
  UsEnv* dream = to_dream ? s->dream : NULL;
  if (!answer && !dream) return US_OK;
  UsObs obs;
  US_TRY(see_truth(s, is_drawing(dream) || is_drawing(answer), &obs));
  obs.first = first;
  obs.action = action;
  if (answer) US_TRY(us_env_observe(answer, 1, &slot, &obs));
  if (!dream) return US_OK;
  // After a whole context the model is on its own.
  in->seen = first ? 1 : in->seen + 1;
  s->imagined = 0;
  s->imagining = in->seen >= us_env_info(dream)->context;
  return us_env_observe(dream, 1, &slot, &obs);
}

UsStatus us_show_resync(UsShow* s) {
  // A new block begins here and the models know nothing of what was before.
  s->own->phase = s->own->left = 0;
  US_TRY(present(s, 1, NULL, 1));
  return draw_dream(s);
}

void us_show_set_follow(UsShow* s, int follow) {
  s->follow = follow;
}

// ---- goals ----

// 1 if a goal was named, in place of those of episodes.
static int is_named(const Inner* in) {
  return in->goal.state || in->goal.pixels;
}

static UsStatus set_goal(UsShow* s, const double* state) {
  UsObs obs = {.state = (double*)state};
  memmove(s->goal, state, sizeof(double) * (size_t)us_env_info(s->sim)->state);
  s->has_goal = 1;
  return us_env_set_goal(s->sim, 1, &slot, &obs);
}

// The goal that was named or, where none was, one that the task draws. Of a picture alone the truth
// knows nothing: it has no goal then, and the planner's model has.
static UsStatus any_goal(UsShow* s) {
  const UsGoal* named = &s->own->goal;
  UsObs obs = {.state = s->goal};
  s->budget = 4 * us_protocol_steps(us_protocols[0].budget, s->own->task);
  if (named->state) return set_goal(s, named->state);
  // Robots draw none.
  if (named->pixels || s->own->task->exec) return US_OK;
  US_TRY(us_env_draw_goal(s->sim, 1, &slot, &s->seed));
  US_TRY(us_env_look_goal(s->sim, 1, &slot, &obs));
  s->has_goal = 1;
  return US_OK;
}

// ---- episodes ----

// Start and goal from a trajectory of the data; the models see both start rows.
static UsStatus start_pair(UsShow* s) {
  Inner* in = s->own;
  const UsProtocol* p = &us_protocols[0];
  UsPairs pairs;
  US_TRY(us_pairs_draw(in->data, s->sim, s->seed, 1, s->block,
                       us_protocol_steps(p->ahead, in->task), 0, &pairs));
  UsPair pair = pairs.pair[0];
  us_pairs_free(&pairs);
  // Budget and goal come from the protocol and the pair.
  s->episode = pair.episode;
  US_TRY(vary(s, pair.start));
  s->budget = us_protocol_steps(p->budget, in->task);
  if (is_named(in)) {
    US_TRY(any_goal(s));
  } else {
    US_TRY(set_goal(s, us_dataset_states(in->data) + pair.goal * us_env_info(s->sim)->state));
  }
  // A block of the recorded past, so that a model knows how things move at the start.
  US_TRY(place_row(s, pair.before));
  US_TRY(us_show_resync(s));
  US_TRY(place_row(s, pair.start));
  int width = us_env_info(s->sim)->action;
  US_TRY(present(s, 0, us_dataset_actions(in->data) + pair.before * width, 1));
  return draw_dream(s);
}

static UsStatus start_plan(UsShow* s) {
  Inner* in = s->own;
  if (in->task->exec && !s->has_goal && !is_named(in)) {
    return us_fail(US_USAGE, "%s: expected --goal or --data, which the planner of a robot needs",
                   in->task->name);
  }
  US_TRY(us_planner_start(in->planner, 1, &slot, &s->seed));
  if (is_named(in)) {
    const UsObs named = us_goal_obs(&in->goal);
    return us_env_set_goal(in->answer, 1, &slot, &named);
  }
  // The planner's env is shown the goal: the truth goes there for a moment, to be looked at, and
  // comes back.
  us_env_save(s->sim, slot, in->snapshot);
  UsObs obs;
  UsStatus status = place_truth(s, s->goal, 0);
  if (status == US_OK) status = see_truth(s, is_drawing(in->answer), &obs);
  if (status == US_OK) status = us_env_set_goal(in->answer, 1, &slot, &obs);
  us_env_restore(s->sim, slot, in->snapshot);
  return status == US_OK ? read_truth(s) : status;
}

static UsStatus reset(UsShow* s, uint64_t seed, int again) {
  Inner* in = s->own;
  s->seed = seed;
  // What belongs to an episode starts anew.
  s->step = s->over = s->success = s->has_goal = s->histories = s->budget = 0;
  s->first_hit = -1;
  US_TRY(vary(s, -1));
  us_env_reset(s->sim, NULL, &seed);
  // Who acts says where the episode begins: in the data, at a pair, or at the seed's start.
  int pair = s->mode == US_VIEW_plan && in->data;
  if (s->mode == US_VIEW_replay) {
    if (s->episode < 0) {
      s->episode = s->config.episode;
    } else if (!again) {
      s->episode = (s->episode + 1) % us_dataset_info(in->data)->episodes;
    }
    // The rows of the episode, of which the last is its goal.
    in->row = us_dataset_offsets(in->data)[s->episode];
    in->last = in->row + us_dataset_lengths(in->data)[s->episode] - 1;
    US_TRY(vary(s, in->row));
    US_TRY(set_goal(s, us_dataset_states(in->data) + in->last * us_env_info(s->sim)->state));
    US_TRY(place_row(s, in->row));
  }
  if (pair) US_TRY(start_pair(s));
  if (!pair && (s->mode == US_VIEW_plan || s->mode == US_VIEW_drive)) US_TRY(any_goal(s));
  US_TRY(read_truth(s));
  if (s->mode == US_VIEW_plan) US_TRY(start_plan(s));
  if (!pair) US_TRY(us_show_resync(s));
  // Nothing has moved yet: all states inside the step are the first.
  memset(s->action, 0, sizeof(float) * (size_t)us_env_info(s->sim)->action);
  size_t width = (size_t)us_env_info(s->sim)->state;
  for (int i = 0; i < s->inner; i++) {
    memcpy(s->inside + (size_t)i * width, s->state, sizeof(double) * width);
  }
  note_distance(s);
  return US_OK;
}

UsStatus us_show_reset(UsShow* s, uint64_t seed, int again) {
  return check_engine(s, reset(s, seed, again));
}

// ---- modes ----

static int can(const UsShow* s, UsViewMode mode) {
  if (mode == US_VIEW_replay) return s->own->data != NULL;
  if (mode == US_VIEW_policy) return s->own->task->policies[0].name != NULL;
  return us_env_info(s->sim)->action > 0;
}

UsViewMode us_show_next_mode(const UsShow* s) {
  UsViewMode mode = s->mode;
  do {
    mode = (UsViewMode)((mode + 1) % US_VIEW_MODE_COUNT);
  } while (mode != s->mode && !can(s, mode));
  return mode;
}

void us_show_next_policy(UsShow* s) {
  if (!s->own->task->policies[++s->policy].name) s->policy = 0;
}

UsStatus us_show_take_mode(UsShow* s, UsViewMode mode) {
  static const char* const names[] = {
#define X(name, text) #name,
      US_VIEW_MODES(X)
#undef X
  };
  if (!can(s, mode)) {
    const char* need = mode == US_VIEW_replay   ? "--data"
                       : mode == US_VIEW_policy ? "policies"
                                                : "actions";
    return us_fail(US_UNSUPPORTED, "%s: expected %s, which the mode %s needs, found none",
                   s->own->task->name, need, names[mode]);
  }
  // The first plan opens the planner: it imagines in the model or, without one, in a simulator of
  // its own.
  Inner* in = s->own;
  if (mode == US_VIEW_plan && !in->planner) {
    UsEnvConfig config = {
        .slots = 1, .block = s->block, .pool = s->config.pool, .device = s->config.device};
    US_TRY(s->config.model ? us_cli_open_model(s->config.model, &config, &in->answer)
                           : us_cli_open_sim(in->task->name, &config, &in->answer));
    if (us_sim_is(in->answer)) US_TRY(vary_like_truth(s, in->answer));
    const char* planner = s->config.planner ? s->config.planner : us_planners[0]->name;
    US_TRY(us_planner_create(planner, in->answer, &s->config.plan, &in->planner));
  }
  s->mode = mode;
  return US_OK;
}

static UsStatus set_mode(UsShow* s, UsViewMode mode) {
  US_TRY(us_show_take_mode(s, mode));
  // A replay starts its episode; the others go on from the state that is there.
  if (mode == US_VIEW_replay) return us_show_reset(s, s->seed, 1);
  s->over = 0;
  s->first_hit = -1;
  if (mode == US_VIEW_plan) {
    if (!s->has_goal || s->budget == 0) US_TRY(any_goal(s));
    s->budget += s->step;
    US_TRY(start_plan(s));
  }
  return us_show_resync(s);
}

UsStatus us_show_set_mode(UsShow* s, UsViewMode mode) {
  return check_engine(s, set_mode(s, mode));
}

// ---- an env step ----

// Writes the present mode's action into in->act, clipped as envs clip it.
static void choose(UsShow* s, const float* driven) {
  // The user's numbers, unless somebody else acts.
  Inner* in = s->own;
  int width = us_env_info(s->sim)->action;
  const float* from = driven;
  if (s->mode == US_VIEW_policy) {
    us_sim_policy(s->sim, s->policy, &s->step, in->act);
    from = in->act;
  } else if (s->mode == US_VIEW_plan) {
    // At the start of a block: the next of the plan, or a new plan. Blocks that are played count
    // down from `replan`.
    if (in->phase == 0 && in->left == 0) {
      us_planner_plan(in->planner, 1, &slot, in->plan);
      in->left = s->config.plan.replan;
    }
    in->left -= in->phase == 0;
    int block = s->config.plan.replan - 1 - in->left;
    from = in->plan + (size_t)(block * s->block + in->phase) * width;
  } else if (s->mode == US_VIEW_replay) {
    from = us_dataset_actions(in->data) + in->row * width;
  }
  // Recorded and driven actions may lie outside.
  for (int i = 0; i < width; i++) in->act[i] = fminf(fmaxf(from[i], -1), 1);
}

// The physics inside the env step that comes, except for its last state.
static void look_inside(void* arg) {
  UsShow* s = arg;
  const UsTask* t = s->own->task;
  const mjModel* m = us_sim_slot_model(s->sim, slot);
  mjData* d = s->own->physics;
  // The same state and action in a copy of the physics.
  us_scene_start(m, d);
  const int kept = mjSTATE_QPOS | mjSTATE_QVEL | mjSTATE_ACT;
  mj_setState(m, d, s->state, kept);
  mj_kinematics(m, d);
  if (t->control) {
    t->control(m, d, s->own->act);
  } else {
    for (int i = 0; i < m->nu; i++) d->ctrl[i] = s->own->act[i];
  }
  double* out = s->inside;
  // Physics steps in equal parts, with the state after each.
  for (int i = 0, done = 0; i < s->inner - 1; i++) {
    for (; done < (i + 1) * t->frame_skip / s->inner; done++) mj_step(m, d);
    mj_getState(m, d, out, kept);
    out += mj_stateSize(m, kept);
  }
}

static int is_over(const UsShow* s) {
  if (!s->finite) return 1;
  if (s->mode == US_VIEW_replay) return s->own->row >= s->own->last;
  if (s->mode != US_VIEW_plan) return 0;
  // A solved plan is shown a moment longer.
  int after = (int)ceil(hold / us_env_info(s->sim)->dt);
  return s->step >= s->budget || (s->first_hit >= 0 && s->step >= s->first_hit + after);
}

static UsStatus step(UsShow* s, const float* driven) {
  Inner* in = s->own;
  const UsEnvInfo* info = us_env_info(s->sim);
  // An episode that has ended stays as it is.
  s->over = s->over || is_over(s);
  if (s->over) return US_OK;
  us_sim_select(s->sim, 1, &slot);
  choose(s, driven);
  US_TRY(check_engine(s, US_OK));
  if (s->mode == US_VIEW_plan) US_TRY(us_interrupt_check("planning"));
  // The action is kept twice: for who watches, and for the block that the models are told.
  const size_t width = (size_t)info->action, state = (size_t)info->state;
  memcpy(s->action, in->act, sizeof(float) * width);
  memcpy(in->blocks + (size_t)in->phase * width, in->act, sizeof(float) * width);
  // First what is inside the step, since it starts from the state before.
  char found[512];
  if (s->inner > 1 && us_trap_run(look_inside, s, found, sizeof(found))) {
    return us_fail(US_MUJOCO, "%s: episode of seed %llu, step %d: MuJoCo: %s", info->name,
                   (unsigned long long)s->seed, s->step, found);
  }
  // The step itself, whose last state is the present one.
  if (s->mode == US_VIEW_replay) {
    US_TRY(place_row(s, ++in->row));
  } else {
    us_env_step(s->sim, in->act, NULL);
    US_TRY(read_truth(s));
  }
  memcpy(s->inside + (size_t)(s->inner - 1) * state, s->state, sizeof(double) * state);
  s->step++;
  note_distance(s);
  // A block that is complete goes to the models; after a divergence there is nothing to tell.
  s->diverged += !s->finite;
  if (s->finite && ++in->phase == s->block) {
    in->phase = 0;
    // Until its context is full, or when it follows, the model is shown what came of the block;
    // else it goes on from the block's actions.
    int shown = s->dream && (s->follow || !s->imagining);
    US_TRY(present(s, 0, in->blocks, shown));
    if (s->dream && !shown) {
      us_env_step(s->dream, in->blocks, NULL);
      s->imagined += s->block;
    }
    US_TRY(draw_dream(s));
  }
  s->over = is_over(s);
  return US_OK;
}

void us_show_rest(UsShow* s) {
  us_sim_select(s->sim, 0, NULL);
}

UsStatus us_show_step(UsShow* s, const float* driven) {
  return check_engine(s, step(s, driven));
}
