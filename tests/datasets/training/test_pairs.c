// Start / goal pairs: the goal lies ahead in the same episode, none is solved at the start, and the
// list depends on the seed alone. Trajectories are played in the simulator, without frames.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "datasets/pairs.h"
#include "env/sim.h"
#include "tasks/tasks.h"
#include "tests/datasets/toy_dataset.h"

enum { kEpisodes = 12, kRows = 61, kBlock = 5, kAhead = 25, kCount = 24 };

typedef struct Fixture {
  UsEnv* sim;
  UsDataset* data;
} Fixture;

// Records kEpisodes episodes of a task; slot e plays episode e.
static void record(const char* task, const char* path, Fixture* f) {
  char name[64];
  snprintf(name, sizeof(name), "sim:%s", task);
  UsEnvConfig config = {.slots = kEpisodes, .block = 1};
  assert_int_equal(us_env_open(name, us_tasks, &config, &f->sim), US_OK);
  const UsEnvInfo* info = us_env_info(f->sim);
  UsDatasetInfo d = {.action = info->action, .proprio = 0, .state = info->state, .dt = info->dt};
  snprintf(d.task, sizeof(d.task), "%s", task);
  uint64_t seeds[kEpisodes];
  int step[kEpisodes], slots[kEpisodes];
  static double states[kEpisodes][kRows][32], times[kRows];
  static float actions[kEpisodes][kRows][8], act[kEpisodes * 8], rewards[kRows];
  static uint8_t zero[kRows];
  for (int e = 0; e < kEpisodes; e++) {
    seeds[e] = (uint64_t)e;
    slots[e] = e;
  }
  us_env_reset(f->sim, NULL, seeds);
  for (int t = 0; t < kRows; t++) {
    UsObs obs[kEpisodes] = {{0}};
    for (int e = 0; e < kEpisodes; e++) {
      step[e] = t;
      obs[e].state = (double*)states[e] + t * info->state;
    }
    assert_int_equal(us_env_look(f->sim, kEpisodes, slots, obs), US_OK);
    times[t] = t * info->dt;
    us_sim_policy(f->sim, 0, step, act);
    us_env_step(f->sim, act, NULL);
    for (int e = 0; e < kEpisodes; e++) {
      memcpy((float*)actions[e] + t * info->action, act + e * info->action,
             sizeof(float) * (size_t)info->action);
    }
  }
  UsDatasetWriter* w;
  assert_int_equal(us_dataset_create(path, &d, kEpisodes, kRows, 1, &w), US_OK);
  for (int e = 0; e < kEpisodes; e++) {
    UsEpisode episode = {kRows,   NULL, actions[e][0], NULL,  states[e][0],
                         rewards, zero, zero,          times, NULL};
    assert_int_equal(us_dataset_append(w, &episode), US_OK);
  }
  assert_int_equal(us_dataset_finish(w), US_OK);
  assert_int_equal(us_dataset_open(path, &f->data), US_OK);
}

static Fixture maze, wall;

static int setup(void** state) {
  record("pointmaze", toy_path("maze.h5"), &maze);
  record("wall", toy_path("wall.h5"), &wall);
  return 0;
}

static int teardown(void** state) {
  us_dataset_close(maze.data);
  us_dataset_close(wall.data);
  us_env_close(maze.sim);
  us_env_close(wall.sim);
  toy_folder_remove();
  return 0;
}

static UsPairs draw(const Fixture* f, uint64_t seed, int count, int keep_solved) {
  UsPairs p;
  UsStatus status = us_pairs_draw(f->data, f->sim, seed, count, kBlock, kAhead, keep_solved, &p);
  if (status != US_OK) print_error("%s\n", us_message());
  assert_int_equal(status, US_OK);
  assert_int_equal(p.count, count);
  return p;
}

static void measure(const Fixture* f, int64_t row, double* out) {
  us_sim_measure(f->sim, 1, us_dataset_states(f->data) + row * us_dataset_info(f->data)->state,
                 out);
}

static void check_pairs(const Fixture* f, const UsPairs* p) {
  const UsTask* task = us_sim_task(f->sim);
  const mjModel* m = us_sim_model(f->sim);
  for (int i = 0; i < p->count; i++) {
    const UsPair* q = &p->pair[i];
    int64_t first = us_dataset_offsets(f->data)[q->episode];
    assert_true(q->before >= first && q->goal < first + us_dataset_lengths(f->data)[q->episode]);
    assert_true(q->start == q->before + kBlock && q->goal == q->start + kAhead);
    double from[US_TASK_MEASURES], to[US_TASK_MEASURES];
    measure(f, q->start, from);
    measure(f, q->goal, to);
    assert_false(task->success(m, from, to));
    assert_true(fabs((double)q->distance - task->distance(m, from, to)) < 1e-6);
    if (task->hard) assert_int_equal(q->hard, task->hard(m, from, to) != 0);
    for (int j = 0; j < i; j++) assert_true(p->pair[j].start != q->start);
  }
}

static void test_pairs_hold_what_they_say(void** state) {
  const Fixture* both[2] = {&maze, &wall};
  for (int i = 0; i < 2; i++) {
    UsPairs p = draw(both[i], 7, kCount, 0);
    check_pairs(both[i], &p);
    us_pairs_free(&p);
    assert_int_equal(p.count, 0);
    us_pairs_free(&p);
  }
}

static void test_one_pair_an_episode_first(void** state) {
  UsPairs p = draw(&maze, 7, kEpisodes, 1);
  int given[kEpisodes] = {0};
  for (int i = 0; i < p.count; i++) assert_int_equal(++given[p.pair[i].episode], 1);
  us_pairs_free(&p);
  p = draw(&maze, 7, 2 * kEpisodes, 1);
  memset(given, 0, sizeof(given));
  for (int i = 0; i < p.count; i++) assert_true(++given[p.pair[i].episode] <= 2);
  assert_int_equal(p.solved_at_start, 0);
  us_pairs_free(&p);
}

// Episodes whose draw was solved try again before any other gives a second pair.
static void test_retries_come_before_second_pairs(void** state) {
  enum { kFewer = kEpisodes - 2, kNear = 8 };
  int solved = 0;
  for (uint64_t seed = 0; seed < 12; seed++) {
    UsPairs p;
    assert_int_equal(us_pairs_draw(wall.data, wall.sim, seed, kFewer, kBlock, kNear, 0, &p), US_OK);
    int given[kEpisodes] = {0};
    for (int i = 0; i < p.count; i++) assert_int_equal(++given[p.pair[i].episode], 1);
    solved += p.solved_at_start;
    us_pairs_free(&p);
  }
  assert_true(solved > 12);
}

static void test_seed_alone(void** state) {
  UsPairs a = draw(&wall, 3, kCount, 0), b = draw(&wall, 3, kCount, 0);
  UsPairs other = draw(&wall, 4, kCount, 0), fewer = draw(&wall, 3, kCount / 2, 0);
  assert_string_equal(a.hash, b.hash);
  assert_int_equal(a.solved_at_start, b.solved_at_start);
  assert_string_not_equal(a.hash, other.hash);
  assert_string_not_equal(a.hash, fewer.hash);
  for (int i = 0; i < kCount; i++) {
    assert_memory_equal(&a.pair[i].before, &b.pair[i].before, 3 * sizeof(int64_t));
    if (i < fewer.count) assert_int_equal(a.pair[i].start, fewer.pair[i].start);
  }
  us_pairs_free(&a);
  us_pairs_free(&b);
  us_pairs_free(&other);
  us_pairs_free(&fewer);
}

static void test_solved_ones_are_counted(void** state) {
  UsPairs p;
  // One step ahead nothing has moved far, so all is solved.
  assert_int_equal(us_pairs_draw(maze.data, maze.sim, 1, 4, kBlock, 1, 0, &p), US_FORMAT);
  assert_null(p.pair);
  assert_non_null(strstr(us_message(), "maze.h5"));
  assert_int_equal(us_pairs_draw(maze.data, maze.sim, 1, 4, kBlock, 1, 1, &p), US_OK);
  assert_int_equal(p.solved_at_start, 0);
  us_pairs_free(&p);
  p = draw(&wall, 2, kCount, 0);
  UsPairs kept = draw(&wall, 2, kCount, 1);
  int solved = 0;
  for (int i = 0; i < kept.count; i++) {
    double from[US_TASK_MEASURES], to[US_TASK_MEASURES];
    measure(&wall, kept.pair[i].start, from);
    measure(&wall, kept.pair[i].goal, to);
    solved += us_sim_task(wall.sim)->success(us_sim_model(wall.sim), from, to);
  }
  assert_true((p.solved_at_start > 0) == (solved > 0));
  us_pairs_free(&p);
  us_pairs_free(&kept);
}

static void test_farther_half_is_hard(void** state) {
  UsTask plain = *us_sim_task(maze.sim);
  plain.hard = NULL;
  const UsTask* const list[] = {&plain, NULL};
  UsEnv* sim;
  UsEnvConfig config = {.slots = 1, .block = 1};
  assert_int_equal(us_env_open("sim:pointmaze", list, &config, &sim), US_OK);
  UsPairs p;
  assert_int_equal(us_pairs_draw(maze.data, sim, 5, kCount, kBlock, kAhead, 0, &p), US_OK);
  float nearest_hard = INFINITY, farthest_easy = 0;
  int hard = 0;
  for (int i = 0; i < p.count; i++) {
    hard += p.pair[i].hard;
    if (p.pair[i].hard) nearest_hard = fminf(nearest_hard, p.pair[i].distance);
    if (!p.pair[i].hard) farthest_easy = fmaxf(farthest_easy, p.pair[i].distance);
  }
  assert_int_equal(hard, kCount / 2);
  assert_true(nearest_hard >= farthest_easy);
  us_pairs_free(&p);
  us_env_close(sim);
}

static void test_refusals(void** state) {
  UsPairs p;
  assert_int_equal(us_pairs_draw(maze.data, wall.sim, 1, 4, kBlock, kAhead, 0, &p), US_FORMAT);
  assert_non_null(strstr(us_message(), "expected a dataset of wall, found one of pointmaze"));
  assert_int_equal(us_pairs_draw(maze.data, maze.sim, 1, 4, kBlock, kRows, 0, &p), US_FORMAT);
  assert_int_equal(us_pairs_draw(maze.data, maze.sim, 1, 1000, kBlock, kAhead, 1, &p), US_FORMAT);
  assert_non_null(strstr(us_message(), "expected 1000 pairs"));
}

// A row before the start by a block, a goal ahead: an episode of 61 rows has room for 61 - 5 - 25
// starts. Every one of them is found, and one more is refused with these numbers.
static void test_every_start_counts(void** state) {
  enum { kStarts = kEpisodes * (kRows - kBlock - kAhead) };
  UsPairs p;
  assert_int_equal(us_pairs_draw(maze.data, maze.sim, 1, kStarts, kBlock, kAhead, 1, &p), US_OK);
  assert_int_equal(p.count, kStarts);
  for (int i = 0; i < p.count; i++) {
    for (int k = 0; k < i; k++) assert_true(p.pair[i].start != p.pair[k].start);
  }
  us_pairs_free(&p);
  assert_int_equal(us_pairs_draw(maze.data, maze.sim, 1, kStarts + 1, kBlock, kAhead, 1, &p),
                   US_FORMAT);
  assert_non_null(strstr(us_message(),
                         "expected 373 pairs, found 372: each takes an episode of at "
                         "least 31 rows (5 before the start, the goal 25 later), as "
                         "12 of 12 are, the longest of 61; they have 372 starts"));
  // An episode of exactly as many rows as a pair takes gives one.
  int ahead = kRows - kBlock - 1;
  assert_int_equal(us_pairs_draw(maze.data, maze.sim, 1, kEpisodes, kBlock, ahead, 1, &p), US_OK);
  us_pairs_free(&p);
  assert_int_equal(us_pairs_draw(maze.data, maze.sim, 1, 1, kBlock, ahead + 1, 0, &p), US_FORMAT);
  assert_non_null(strstr(us_message(),
                         "expected 1 pairs that are not solved at the start, found 0: "
                         "each takes an episode of at least 62 rows"));
  assert_non_null(strstr(us_message(), "as 0 of 12 are, the longest of 61"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pairs_hold_what_they_say),
      cmocka_unit_test(test_one_pair_an_episode_first),
      cmocka_unit_test(test_retries_come_before_second_pairs),
      cmocka_unit_test(test_seed_alone),
      cmocka_unit_test(test_solved_ones_are_counted),
      cmocka_unit_test(test_farther_half_is_hard),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_every_start_counts),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
