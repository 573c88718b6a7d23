// Drawing pairs: the episodes are put into a random order once; then level after level every
// episode may give one pair more, with a few rounds of tries for those whose draw was already
// solved; what chance then has not found is taken in order. Pair i is therefore the same whatever
// `count` is, and an episode gives a second pair only when every other has given one or cannot.

#include "datasets/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "env/exec.h"
#include "env/sim.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/rng.h"

enum { kRounds = 16 };

typedef struct Drawer {
  const UsDataset* data;
  UsEnv* sim;
  const UsTask* task;
  uint64_t seed;
  int count, block, ahead, keep_solved;
  int64_t* order;  // (E) episodes, shuffled
  int* given;      // (E) pairs that an episode gave
  uint64_t draws;  // so far, which names the next draw's stream
  UsPairs* out;
  UsProgress bar;
} Drawer;

// Start rows of an episode: with a block before them and the goal behind them.
// A robot that cannot be put into a state gets there by the first actions of the episode, so that
// there is one.
static int64_t candidates(const Drawer* d, int64_t episode) {
  int64_t n = us_dataset_lengths(d->data)[episode] - d->block - d->ahead;
  return n > 1 && d->task->exec && !d->task->exec->restores ? 1 : n;
}

// Adds the pair of a start row, unless it is solved there; *gave: 1 when it was added.
static UsStatus add_pair(Drawer* d, int64_t episode, int64_t start, int* gave) {
  // What the task measures at both ends says whether there is anything left to do.
  *gave = 0;
  UsPair pair = {start - d->block, start, start + d->ahead, (int32_t)episode, 0, 0};
  int width = us_dataset_info(d->data)->state;
  const double* states = us_dataset_states(d->data);
  double from[d->task->measure], to[d->task->measure];
  const mjModel* m = us_sim_model(d->sim);
  US_TRY(us_sim_measure(d->sim, 1, states + pair.start * width, from));
  const double* goal = d->out->goal;
  US_TRY(us_sim_measure(d->sim, 1, goal ? goal : states + pair.goal * width, to));
  if (!d->keep_solved && d->task->success(m, from, to)) return US_OK;
  // How far it is, and whether the task calls that hard.
  pair.distance = (float)d->task->distance(m, from, to);
  if (d->task->hard) pair.hard = d->task->hard(m, from, to) != 0;
  d->out->pair[d->out->count++] = pair;
  *gave = 1;
  return US_OK;
}

// One draw from an episode; *gave: 1 when it gave a pair.
static UsStatus try_episode(Drawer* d, int64_t episode, int* gave) {
  *gave = 0;
  UsRng rng = us_rng(d->seed, US_RNG_PAIRS, d->draws++, 0, 0);
  int64_t start = us_dataset_offsets(d->data)[episode] + d->block +
                  us_rng_below(&rng, (uint32_t)candidates(d, episode));
  for (int i = 0; i < d->out->count; i++) {
    if (d->out->pair[i].start == start) return US_OK;
  }
  US_TRY(add_pair(d, episode, start, gave));
  d->out->solved_at_start += !*gave;
  return US_OK;
}

// Where chance finds no more: every start that was not drawn, in the order of episodes.
static UsStatus take_rest(Drawer* d) {
  const UsDatasetInfo* info = us_dataset_info(d->data);
  uint8_t* taken = calloc((size_t)info->rows + 1, 1);
  if (!taken) return us_fail(US_MEMORY, "out of memory");
  for (int i = 0; i < d->out->count; i++) taken[d->out->pair[i].start] = 1;
  UsStatus status = US_OK;
  for (int64_t i = 0; i < info->episodes && status == US_OK; i++) {
    int64_t e = d->order[i], first = us_dataset_offsets(d->data)[e] + d->block;
    for (int64_t k = 0; k < candidates(d, e) && d->out->count < d->count && status == US_OK; k++) {
      int gave;
      if (!taken[first + k]) status = add_pair(d, e, first + k, &gave);
    }
    if (status == US_OK) {
      status = us_progress_step(&d->bar, d->out->count, us_dataset_path(d->data));
    }
  }
  free(taken);
  return status;
}

// Every episode gives its `level`-th pair, if it can.
static UsStatus draw_level(Drawer* d, int level) {
  int64_t episodes = us_dataset_info(d->data)->episodes;
  for (int round = 0; round < kRounds; round++) {
    for (int64_t i = 0; i < episodes; i++) {
      int64_t e = d->order[i];
      US_TRY(us_progress_step(&d->bar, d->out->count, us_dataset_path(d->data)));
      if (d->given[e] >= level || candidates(d, e) < 1) continue;
      // Its draws are named by their number, so pair i does not depend on `count`.
      int gave;
      US_TRY(try_episode(d, e, &gave));
      d->given[e] += gave;
      if (d->out->count == d->count) return US_OK;
    }
  }
  return US_OK;
}

// Order for qsort: far ones first, then early ones.
static int farther(const void* a, const void* b) {
  const UsPair *x = *(UsPair*const*)a, *y = *(UsPair*const*)b;
  if (x->distance != y->distance) return x->distance < y->distance ? 1 : -1;
  return x->start < y->start ? -1 : x->start > y->start;
}

// Marks the farther half; ties go to the earlier row.
static UsStatus mark_far(UsPairs* p) {
  UsPair** list = calloc((size_t)p->count, sizeof(UsPair*));
  if (!list) return us_fail(US_MEMORY, "out of memory");
  for (int i = 0; i < p->count; i++) list[i] = &p->pair[i];
  qsort(list, (size_t)p->count, sizeof(UsPair*), farther);
  for (int i = 0; i < p->count / 2; i++) list[i]->hard = 1;
  free(list);
  return US_OK;
}

// Says what a pair needs and what there was of it.
static UsStatus too_few(const Drawer* d) {
  int64_t episodes = us_dataset_info(d->data)->episodes, starts = 0, fit = 0;
  int longest = 0;
  for (int64_t e = 0; e < episodes; e++) {
    int64_t found = candidates(d, e);
    fit += found > 0;
    starts += found > 0 ? found : 0;
    if (us_dataset_lengths(d->data)[e] > longest) longest = us_dataset_lengths(d->data)[e];
  }
  return us_fail(US_FORMAT,
                 "%s: expected %d pairs%s, found %d: each takes an episode of at least %d rows (%d "
                 "before the start, the goal %d later), as %lld of %lld are, the longest of %d; "
                 "they have %lld starts",
                 us_dataset_path(d->data), d->count,
                 d->keep_solved ? "" : " that are not solved at the start", d->out->count,
                 d->block + d->ahead + 1, d->block, d->ahead, (long long)fit, (long long)episodes,
                 longest, (long long)starts);
}

// A goal of all pairs is part of what names them.
static void hash_goal(const Drawer* d) {
  char both[2 * US_HASH_CHARS];
  memcpy(both, d->out->hash, US_HASH_CHARS);
  us_hash_bytes(d->out->goal, (size_t)us_dataset_info(d->data)->state * sizeof(double),
                both + US_HASH_CHARS);
  us_hash_bytes(both, sizeof(both), d->out->hash);
}

// Level after level until there are enough, or no chance finds one more.
static UsStatus draw_all(Drawer* d) {
  UsPairs* out = d->out;
  int64_t episodes = us_dataset_info(d->data)->episodes;
  d->order = calloc((size_t)episodes, sizeof(*d->order));
  d->given = calloc((size_t)episodes, sizeof(*d->given));
  out->pair = calloc((size_t)d->count, sizeof(UsPair));
  if (!d->order || !d->given || !out->pair) return us_fail(US_MEMORY, "out of memory");
  // The order: Fisher and Yates, by a stream of its own.
  UsRng rng = us_rng(d->seed, US_RNG_PAIRS, 0, 0, 1);
  for (int64_t e = 0; e < episodes; e++) d->order[e] = e;
  for (int64_t e = episodes - 1; e > 0; e--) {
    int64_t other = us_rng_below(&rng, (uint32_t)(e + 1)), kept = d->order[e];
    d->order[e] = d->order[other];
    d->order[other] = kept;
  }
  for (int level = 1; out->count < d->count; level++) {
    int before = out->count;
    US_TRY(draw_level(d, level));
    // A level that gave nothing: what is left is taken in order.
    if (out->count > before) continue;
    US_TRY(take_rest(d));
    if (out->count < d->count) {
      us_progress_end(&d->bar);
      return too_few(d);
    }
  }
  us_progress_end(&d->bar);
  // A task that does not say what is hard: the farther half is.
  if (!d->task->hard) US_TRY(mark_far(out));
  // The pairs are named by the rows that they take from the file.
  int64_t* rows = calloc((size_t)out->count, 3 * sizeof(int64_t));
  if (!rows) return us_fail(US_MEMORY, "out of memory");
  for (int i = 0; i < out->count; i++) {
    rows[3 * i] = out->pair[i].before;
    rows[3 * i + 1] = out->pair[i].start;
    rows[3 * i + 2] = out->pair[i].goal;
  }
  us_hash_bytes(rows, (size_t)out->count * 3 * sizeof(int64_t), out->hash);
  free(rows);
  if (out->goal) hash_goal(d);
  return US_OK;
}

UsStatus us_pairs_draw(const UsDataset* data, UsEnv* sim, uint64_t seed, int count, int block,
                       int ahead, int keep_solved, UsPairs* out) {
  return us_pairs_draw_to(data, sim, seed, count, block, ahead, keep_solved, NULL, out);
}

UsStatus us_pairs_draw_to(const UsDataset* data, UsEnv* sim, uint64_t seed, int count, int block,
                          int ahead, int keep_solved, const double* goal, UsPairs* out) {
  *out = (UsPairs){0};
  US_ASSERT(count >= 1 && block >= 0 && ahead >= 1);
  // A simulator of another task than the file's is refused.
  const UsDatasetInfo* info = us_dataset_info(data);
  const UsEnvInfo* env = us_env_info(sim);
  if (info->task[0] && strcmp(info->task, env->task) != 0) {
    return us_fail(US_FORMAT, "%s: expected a dataset of %s, found one of %s",
                   us_dataset_path(data), env->task, info->task);
  }
  if (info->state != env->state) {
    return us_fail(US_FORMAT, "%s: expected states of %d numbers for %s, found %d",
                   us_dataset_path(data), env->state, env->task, info->state);
  }
  Drawer d = {.data = data,
              .sim = sim,
              .task = us_sim_task(sim),
              .seed = seed,
              .count = count,
              .block = block,
              .ahead = ahead,
              .keep_solved = keep_solved,
              .out = out,
              .bar = us_progress_start("pairs", "pairs", count, 0)};
  UsStatus status = US_OK;
  if (goal) {
    const size_t bytes = (size_t)info->state * sizeof(double);
    out->goal = malloc(bytes);
    if (out->goal) memcpy(out->goal, goal, bytes);
    if (!out->goal) status = us_fail(US_MEMORY, "out of memory");
  }
  if (status == US_OK) status = draw_all(&d);
  free(d.order);
  free(d.given);
  if (status != US_OK) us_pairs_free(out);
  return status;
}

void us_pairs_free(UsPairs* p) {
  if (!p) return;
  free(p->pair);
  free(p->goal);
  *p = (UsPairs){0};
}
