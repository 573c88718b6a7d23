// How well models tell plans apart that begin at the same place, which is what planning asks of
// them. From rows of trajectories that no model has seen, the recorded actions and 15 noisy
// versions of them are played in the simulator and in each model, for 5 blocks:
//
//   drift   squared error of the mean over the plans of a start, over the mean squared change
//   plans   squared error of the differences between plans, over the squared differences
//   rank    rank correlation of the model's distances to where the recorded actions led with the
//           task's own, over the plans of a start
//   best    the share of starts at which the plan that the model calls nearest solves the task,
//           among those at which some of the 15 do and some do not; and its mean distance
//
// Errors are of the encoder's features, which models divide by one number; distances are those that
// planners see (model_folder.h). Of a perfect model, `truth`, the encoder and the distance are
// left.
//
//   bench_plans DATA STARTS MODEL...         all of the task of DATA, with its simulator

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/dataset.h"
#include "env/env.h"
#include "tasks/tasks.h"
#include "worldmodel/base/rank.h"
#include "worldmodel/base/rng.h"
#include "worldmodel/model_folder.h"

enum { kPlans = 16, kBlocks = 5, kText = 4096 };
static const float deviation[] = {0.1f, 0.2f, 0.4f, 0.8f}, carry = 0.9f;  // of the noise, by plan

static void must(UsStatus status) {
  if (status == US_OK) return;
  fprintf(stderr, "bench_plans: %s\n", us_message());
  exit(1);
}

// What a model, or the truth, made of all starts.
typedef struct Sums {
  double drift, change, plans, differences, rank, best, distance;
  int starts, open;  // all; those at which some plans solve the task and some do not
} Sums;

// What the frames (kPlans, dim) that a model imagined say beside the true ones, from `now` (dim).
static void add_errors(int dim, const float* now, const float* of, const float* truth, Sums* s) {
  for (int d = 0; d < dim; d++) {
    double mean[2] = {0, 0};
    for (int i = 0; i < kPlans; i++) {
      mean[0] += (double)of[i * dim + d] / kPlans, mean[1] += (double)truth[i * dim + d] / kPlans;
    }
    for (int i = 0; i < kPlans; i++) {
      double a = (double)of[i * dim + d] - mean[0], b = (double)truth[i * dim + d] - mean[1];
      double moved = (double)truth[i * dim + d] - (double)now[d];
      s->plans += (a - b) * (a - b);
      s->differences += b * b;
      s->drift += (mean[0] - mean[1]) * (mean[0] - mean[1]);
      s->change += moved * moved;
    }
  }
}

// What comes of planning by distances `of` (kPlans) where those of the task are `truth`.
static void add_choice(const float* of, const float* truth, const uint8_t* solved, Sums* s) {
  double both[2][kPlans];
  for (int i = 0; i < kPlans; i++) both[0][i] = (double)of[i], both[1][i] = (double)truth[i];
  // The recorded plan, which leads to the goal itself, is not among those chosen from.
  int best = 1, count = 0;
  for (int i = 1; i < kPlans; i++) {
    if (of[i] < of[best]) best = i;
    count += solved[i];
  }
  s->starts++;
  s->rank += us_rank_correlation(kPlans, both[0], both[1]);
  s->distance += both[1][best];
  if (count == 0 || count == kPlans - 1) return;
  s->open++;
  s->best += solved[best];
}

static void print(const char* name, const Sums* s) {
  printf("%-32s", name);
  if (s->differences > 0) {
    printf(" drift %.3f  plans %.3f ", s->drift / s->change, s->plans / s->differences);
  } else {
    printf(" %-25s", "");
  }
  printf(" rank %.3f  best %.3f  distance %.4f\n", s->rank / s->starts, s->best / s->open,
         s->distance / s->starts);
}

// Puts slot 0 of both into a row as it was reached: the model sees the frames, a block apart, that
// the simulator draws of the recorded states; now (dim) is the last.
static void see_context(UsDataset* data, int64_t row, int context, UsEnv* sim, UsEnv* model,
                        float* now) {
  const int block = us_env_info(sim)->block, action = us_env_info(sim)->action, slot = 0;
  for (int k = context - 1; k >= 0; k--) {
    const int64_t at = row - k * block;
    const double* state = us_dataset_states(data) + at * us_env_info(sim)->state;
    const double time = us_dataset_times(data)[at];
    UsObs seen = {.state = (double*)(uintptr_t)state, .time = time, .first = 1};
    must(us_env_observe(sim, 1, &slot, &seen));
    UsObs look = {.latent = now};
    must(us_env_look(sim, 1, &slot, &look));
    UsObs frame = {.latent = now, .time = time, .first = k == context - 1};
    if (!frame.first) frame.action = us_dataset_actions(data) + (at - block) * action;
    must(us_env_observe(model, 1, &slot, &frame));
  }
}

// The plans (blocks, kPlans, block, action): the recorded actions (steps, action), then those with
// noise that lasts from env step to env step.
static void draw_plans(UsRng* r, const float* actions, int steps, int block, int action,
                       float* plan) {
  for (int i = 0; i < kPlans; i++) {
    for (int a = 0; a < action; a++) {
      float n = us_rng_normal(r);
      for (int t = 0; t < steps; t++) {
        n = carry * n + sqrtf(1 - carry * carry) * us_rng_normal(r);
        float x = actions[t * action + a] + (i ? deviation[i % 4] * n : 0);
        int at = (t / block * kPlans + i) * block + t % block;
        plan[at * action + a] = fminf(fmaxf(x, -1), 1);
      }
    }
  }
}

// One model on all starts; the same seed gives every model the same ones.
static void measure(UsDataset* data, int starts, const char* folder, Sums* of, Sums* truth) {
  const UsDatasetInfo* info = us_dataset_info(data);
  char name[2][kText], encoder[kText];
  snprintf(name[0], kText, "sim:%s", info->task);
  snprintf(name[1], kText, "model:%s", folder);
  us_path_join(encoder, kText, folder, "encoder");
  UsEnv *sim, *model;
  UsEnvConfig c = {.slots = kPlans};
  must(us_env_open(name[1], NULL, &c, &model));
  c.block = us_env_info(model)->block;
  c.encoder = encoder;
  must(us_env_open(name[0], us_tasks, &c, &sim));
  const int block = c.block, action = us_env_info(sim)->action, state = us_env_info(sim)->state;
  const int context = us_env_info(model)->context, move = block * action;
  const int dim = us_env_info(model)->tokens * us_env_info(model)->dim;
  if (info->action != action || info->state != state || dim == 0) {
    fprintf(stderr, "bench_plans: %s: not trajectories of what %s imagines\n",
            us_dataset_path(data), folder);
    exit(1);
  }
  float* latent[2];  // (kPlans, dim) of the model, of the truth
  for (int i = 0; i < 2; i++) latent[i] = malloc((size_t)(kPlans * dim) * sizeof(float));
  float* now = malloc((size_t)dim * sizeof(float));
  float* plan = malloc((size_t)(kBlocks * kPlans * move) * sizeof(float));
  double* end = malloc((size_t)state * sizeof(double));
  int slots[kPlans];
  for (int i = 0; i < kPlans; i++) slots[i] = i;
  UsRng r = us_rng(1, US_RNG_TEST, 0, 0, 0);
  for (int s = 0; s < starts; s++) {
    // A row with a context before it and kBlocks blocks behind it.
    const int before = (context - 1) * block, behind = kBlocks * block;
    const int e = (int)us_rng_below(&r, (uint32_t)info->episodes);
    const int rows = us_dataset_lengths(data)[e];
    if (rows <= before + behind) continue;
    const int64_t row =
        us_dataset_offsets(data)[e] + before + us_rng_below(&r, (uint32_t)(rows - before - behind));
    see_context(data, row, context, sim, model, now);
    us_env_fork(sim, 0, kPlans - 1, slots + 1);
    us_env_fork(model, 0, kPlans - 1, slots + 1);
    draw_plans(&r, us_dataset_actions(data) + row * action, behind, block, action, plan);
    UsObs ends[2][kPlans];
    for (int b = 0; b < kBlocks; b++) {
      us_env_step(sim, plan + b * kPlans * move, NULL);
      us_env_step(model, plan + b * kPlans * move, NULL);
    }
    for (int i = 0; i < kPlans; i++) {
      ends[0][i] = (UsObs){.latent = latent[0] + i * dim};
      ends[1][i] = (UsObs){.latent = latent[1] + i * dim};
    }
    must(us_env_look(model, kPlans, slots, ends[0]));
    must(us_env_look(sim, kPlans, slots, ends[1]));
    add_errors(dim, now, latent[0], latent[1], of);
    // The goal is where the recorded actions led; three ways to say how far the others are from it.
    float distance[3][kPlans];
    uint8_t solved[kPlans];
    UsObs goal = {.state = end}, goals[2][kPlans];
    must(us_env_look(sim, 1, slots, &goal));
    for (int i = 0; i < kPlans; i++) {
      goals[0][i] = (UsObs){.latent = latent[1]};
      goals[1][i] = (UsObs){.state = end};
    }
    must(us_env_set_goal(model, kPlans, slots, goals[0]));
    must(us_env_set_goal(sim, kPlans, slots, goals[1]));
    us_env_score(model, kPlans, slots, distance[0], NULL);
    us_env_score(sim, kPlans, slots, distance[2], solved);
    for (int i = 0; i < kPlans; i++) ends[1][i].first = 1;
    must(us_env_observe(model, kPlans, slots, ends[1]));
    us_env_score(model, kPlans, slots, distance[1], NULL);
    add_choice(distance[0], distance[2], solved, of);
    add_choice(distance[1], distance[2], solved, truth);
  }
  for (int i = 0; i < 2; i++) free(latent[i]);
  free(now);
  free(plan);
  free(end);
  us_env_close(sim);
  us_env_close(model);
}

int main(int argc, char** argv) {
  if (argc < 4) return fprintf(stderr, "bench_plans DATA STARTS MODEL...\n"), 2;
  UsDataset* data;
  must(us_dataset_open(argv[1], &data));
  for (int i = 3; i < argc; i++) {
    Sums of = {0}, truth = {0};
    measure(data, atoi(argv[2]), argv[i], &of, &truth);
    if (of.starts == 0) return fprintf(stderr, "bench_plans: no episode is long enough\n"), 1;
    print(argv[i], &of);
    print("  truth, by its distances", &truth);
    fflush(stdout);
  }
  us_dataset_close(data);
  return 0;
}
