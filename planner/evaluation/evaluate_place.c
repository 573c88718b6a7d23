// Starts and goals of the episodes of an evaluation, from rows of the held-out trajectories.

#include "planner/evaluation/evaluate_inner.h"

#include <math.h>
#include <string.h>

#include "datasets/collect.h"
#include "env/exec.h"
#include "env/sim.h"
#include "worldmodel/base/rng.h"

// ---- rows of the pairs ----

void us_evaluate_start(const UsDataset* data, int64_t row, int rest, const UsEnv* sim,
                       double* out) {
  int states = us_env_info(sim)->state;
  memcpy(out, us_dataset_states(data) + row * states, sizeof(double) * (size_t)states);
  if (!rest) return;
  const mjModel* m = us_sim_model(sim);
  memset(out + m->nq, 0, sizeof(double) * (size_t)m->nv);
}

void us_evaluate_goal(const UsDataset* data, const UsPairs* pairs, const UsPair* p,
                      const UsEnv* sim, double* out) {
  us_evaluate_start(data, p->goal, 0, sim, out);
  if (pairs->goal) memcpy(out, pairs->goal, sizeof(double) * (size_t)us_env_info(sim)->state);
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

// 1 where the state that all pairs have as their goal stands for a row.
static int is_named(const Run* r, Which which) {
  return which >= kShown && r->e->pairs->goal;
}

// The state of one row of a pair.
static void read_state(const Run* r, int i, Which which, double* out) {
  if (is_named(r, which)) {
    us_evaluate_goal(r->e->data, r->e->pairs, &r->e->pairs->pair[r->first + i], r->e->sim, out);
  } else {
    us_evaluate_start(r->e->data, pair_row(r, i, which), r->e->rest && which < kShown, r->e->sim,
                      out);
  }
}

// Draws the frames of one row of every pair in its variation, and leaves the truth as it was.
static UsStatus draw_frames(Run* r, Which which) {
  // The truth is put into the row's states for as long as it draws.
  for (int i = 0; i < r->n; i++) {
    us_env_save(r->e->sim, i, r->saved + (size_t)i * r->save);
    double* state = r->state + (size_t)i * r->states;
    read_state(r, i, which, state);
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
      o->action =
          us_dataset_actions(r->e->data) + (row - r->block) * us_env_info(r->e->sim)->action;
    }
    // The state as it was recorded, or the frame: the file's, or the one drawn anew.
    if (sees == US_SEES_STATE) {
      o->state = r->state + (size_t)i * r->states;
      read_state(r, i, which, o->state);
    } else {
      o->pixels = r->pixels + (size_t)i * r->frame;
      o->proprio = r->proprio + (size_t)i * r->proprios;
      memcpy(o->proprio, us_dataset_proprio(r->e->data) + row * r->proprios,
             sizeof(float) * (size_t)r->proprios);
      if (anew) continue;
      if (is_named(r, which)) {
        memcpy(o->pixels, r->e->goal, r->frame);
      } else {
        US_TRY(us_dataset_pixels(r->e->data, row, 1, o->pixels));
      }
    }
  }
  return US_OK;
}

// ---- variations ----

void us_evaluate_variation(const UsEvaluation* e, UsResult* r) {
  const size_t width = (size_t)r->vary.count;
  for (int i = 0; i < r->count && width; i++) {
    float* to = r->variation + (size_t)i * width;
    // Drawn by the pair's number alone, or as the file has it at the start.
    if (e->vary) {
      UsRng rng = us_rng(e->vary_seed, US_RNG_VARY, (uint64_t)i, 0, 1);
      us_vary_draw(e->vary, e->sim, e->range, us_rng_bits(&rng), to);
    } else {
      size_t row = (size_t)e->pairs->pair[i].start;
      memcpy(to, us_dataset_variation(e->data) + row * width, sizeof(float) * width);
    }
  }
}

// ---- truth and answer ----

// Shows the answering env one row of every pair: a start row, or the goal whose turn it is.
static UsStatus show_row(Run* r, Which which) {
  US_TRY(read_rows(r, which, r->e->sees));
  Clock start = clock_now();
  UsStatus status = which == kShown ? us_env_set_goal(r->e->answer, r->n, r->slot, r->obs)
                                    : us_env_observe(r->e->answer, r->n, r->slot, r->obs);
  clock_charge(r, US_PART_encode, start);
  return status;
}

// ---- robots that cannot be put into a state ----

// Shows the answering env what the truth shows now. before: (K, A) actions of each slot that led
// here; NULL: a new context.
static UsStatus show_truth(Run* r, const float* before) {
  const UsEvaluation* e = r->e;
  const int pixels = e->sees == US_SEES_PIXELS;
  for (int i = 0; i < r->n; i++) {
    r->obs[i] = (UsObs){.state = r->state + (size_t)i * r->states,
                        .proprio = pixels ? r->proprio + (size_t)i * r->proprios : NULL};
  }
  US_TRY(us_env_look(e->sim, r->n, r->slot, r->obs));
  if (pixels) US_TRY(us_env_render(e->sim, r->n, r->slot, r->pixels));
  for (int i = 0; i < r->n; i++) {
    UsObs* o = &r->obs[i];
    if (pixels) {
      o->pixels = r->pixels + (size_t)i * r->frame;
      o->state = NULL;
    }
    o->first = before == NULL;
    o->action = before ? before + (size_t)i * r->length : NULL;
    o->time = us_dataset_times(e->data)[pair_row(r, i, before ? kStart : kBefore)];
  }
  return us_env_observe(e->answer, r->n, r->slot, r->obs);
}

// Begins the episodes as those of the file began, by their seeds, and plays the block of actions
// that led to the starts there; a model is shown what is seen on the way.
static UsStatus lead_to_start(Run* r) {
  const UsEvaluation* e = r->e;
  const UsDatasetInfo* data = us_dataset_info(e->data);
  const int answers = e->sees != US_SEES_NOTHING;
  uint64_t seeds[r->slots];
  memset(r->action_block, 0, sizeof(float) * r->length * (size_t)r->slots);
  for (int i = 0; i < r->slots; i++) {
    const UsPair* p = &e->pairs->pair[r->first + (i < r->n ? i : 0)];
    seeds[i] = us_collect_seed(data->seed, p->episode, 0);
    memcpy(r->action_block + (size_t)i * r->length,
           us_dataset_actions(e->data) + p->before * data->action, sizeof(float) * r->length);
  }
  us_sim_select(e->sim, r->n, r->slot);
  us_env_reset(e->sim, r->mask, seeds);
  if (us_env_error(e->sim)) return US_IO;
  US_TRY(read_rows(r, kGoal, US_SEES_STATE));
  US_TRY(us_env_set_goal(e->sim, r->n, r->slot, r->obs));
  if (answers) us_env_reset(e->answer, r->mask, r->number);
  if (answers) US_TRY(show_truth(r, NULL));
  us_env_step(e->sim, r->action_block, NULL);
  if (us_env_error(e->sim)) return US_IO;
  if (answers) US_TRY(show_truth(r, r->action_block));
  r->stage = 0;
  return answers ? show_row(r, kShown) : US_OK;
}

// Puts the truth and the answering env into the start rows.
static UsStatus place_at_start(Run* r) {
  UsEnv *sim = r->e->sim, *answer = r->e->answer;
  us_env_reset(sim, r->mask, r->number);
  US_TRY(read_rows(r, kGoal, US_SEES_STATE));
  US_TRY(us_env_set_goal(sim, r->n, r->slot, r->obs));
  US_TRY(read_rows(r, kStart, US_SEES_STATE));
  for (int i = 0; i < r->n; i++) r->obs[i].first = 1;
  US_TRY(us_env_observe(sim, r->n, r->slot, r->obs));
  // The answer: a model has seen what led to the start, the frame a block before, then the start
  // itself. Its first goal comes last.
  if (r->e->sees == US_SEES_NOTHING) return US_OK;
  us_env_reset(answer, r->mask, r->number);
  r->stage = 0;
  US_TRY(show_row(r, kBefore));
  US_TRY(show_row(r, kStart));
  return show_row(r, kShown);
}

UsStatus us_evaluate_place(Run* r) {
  UsResult* to = r->result;
  const UsExec* robot = us_sim_is(r->e->sim) ? us_sim_task(r->e->sim)->exec : NULL;
  UsEnv *sim = r->e->sim, *answer = r->e->answer;
  // The slots of this batch, named by their pairs; in a last batch some have none.
  for (int i = 0; i < r->slots; i++) {
    r->slot[i] = i;
    r->mask[i] = i < r->n;
    r->number[i] = (uint64_t)(r->first + i);
  }
  // Variations of the simulators that take part first: all that follows happens in them.
  if (to->vary.count > 0) {
    const float* values = to->variation + (size_t)r->first * (size_t)to->vary.count;
    US_TRY(us_sim_vary(sim, &to->vary, r->n, r->slot, values));
    if (us_sim_is(answer)) US_TRY(us_sim_vary(answer, &to->vary, r->n, r->slot, values));
  }
  // The truth gets its goal, which is the state at the goal's row, and begins at the start's. A
  // robot that cannot be put there is led there.
  US_TRY(robot && !robot->restores ? lead_to_start(r) : place_at_start(r));
  US_TRY(us_planner_start(r->e->planner, r->n, r->slot, r->number));
  // Outcomes begin with nothing reached, curves with the distance at the start.
  us_env_score(sim, r->n, r->slot, r->distance, NULL);
  int blocks = to->blocks;
  for (int i = 0; i < r->n; i++) {
    UsOutcome* o = &to->outcome[r->first + i];
    float* curve = to->distance + (size_t)(r->first + i) * (blocks + 1);
    *o = (UsOutcome){.first_hit = -1, .finite = 1};
    for (int b = 0; b <= blocks; b++) curve[b] = NAN;
    curve[0] = o->distance = r->distance[i];
  }
  memset(r->history, 0, (size_t)r->slots * blocks * r->block);
  memset(r->objects, 0, (size_t)r->slots * blocks * r->block);
  return US_OK;
}

UsStatus us_evaluate_aim(Run* r, int b) {
  // Sub-goals share the first half of the budget; a plan keeps the goal that it was made for.
  int share = r->e->subgoals ? r->result->blocks / (2 * r->e->subgoals) : 0;
  int stage = share ? b / share : 0;
  if (stage > r->e->subgoals) stage = r->e->subgoals;
  if (stage == r->stage || r->e->sees == US_SEES_NOTHING) return US_OK;
  r->stage = stage;
  return show_row(r, kShown);
}
