// The simulator env: exact copies, batches, errors as values.

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "env/env_class.h"
#include "tests/env/env_help.h"

static const char* const names[] = {"sim:pointmaze", "sim:wall"};

// ---- memory: calls that must not allocate are counted ----

static volatile int counting, allocations;

#ifndef US_SANITIZED
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t n, size_t size);
void* __libc_realloc(void* p, size_t size);
void* __libc_memalign(size_t align, size_t size);

static void count_one(void) {
  if (counting) __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
}
void* malloc(size_t size) {
  count_one();
  return __libc_malloc(size);
}
void* calloc(size_t n, size_t size) {
  count_one();
  return __libc_calloc(n, size);
}
void* realloc(void* p, size_t size) {
  count_one();
  return __libc_realloc(p, size);
}
void* aligned_alloc(size_t align, size_t size) {
  count_one();
  return __libc_memalign(align, size);
}
#endif

static void hot_calls_allocate_nothing(void** state) {
  enum { N = 8, SAMPLES = 40, HORIZON = 2 };
  UsPool* pool = us_pool_create(2);
  counting = 1;
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.slots = N, .pool = pool});
  counting = 0;
#ifndef US_SANITIZED
  assert_true(allocations > 10);  // the counter works, inside MuJoCo too
#endif
  uint64_t seeds[N] = {0};
  us_env_reset(e, NULL, seeds);
  float* actions = random_actions(2, N * SAMPLES * HORIZON * 10, 1);
  float rewards[N * SAMPLES * HORIZON], reward[N], distance[N];
  int slots[N], steps[N] = {0};
  for (int i = 0; i < N; i++) slots[i] = i;
  char* bytes = malloc(us_env_save_size(e));
  for (int round = 0; round < 2; round++) {  // the first round may warm up
    allocations = 0;
    counting = 1;
    us_env_reset(e, NULL, seeds);
    us_sim_policy(e, 0, steps, actions);
    us_env_step(e, actions, &(UsStep){.reward = reward});
    us_env_rollout(e, N, slots, SAMPLES, HORIZON, actions, rewards);
    us_env_score(e, N, slots, distance, NULL);
    us_env_save(e, 0, bytes);
    us_env_restore(e, 1, bytes);
    us_env_fork(e, 0, 2, slots + 2);
    counting = 0;
  }
  assert_int_equal(allocations, 0);
  free(bytes);
  free(actions);
  us_env_close(e);
  us_pool_destroy(pool);
}

// ---- save, restore, fork ----

static void restore_is_exact(void** state) {
  for (int t = 0; t < US_COUNT(names); t++) {
    UsEnv* e = open_env(names[t], &(UsEnvConfig){.slots = 3, .limit = 1000});
    UsEnv* other = open_env(names[t], &(UsEnvConfig){.slots = 2, .limit = 1000});
    const UsEnvInfo* info = us_env_info(e);
    const uint64_t seeds[3] = {11, 12, 13};
    us_env_reset(e, NULL, seeds);
    us_env_reset(other, NULL, seeds);
    double goal[4] = {0.5, 0.7, 0, 0};
    assert_int_equal(us_env_set_goal(e, 1, (int[]){1}, &(UsObs){.state = goal}), US_OK);
    size_t size = us_env_save_size(e);
    size_t block = (size_t)(info->block * info->action);
    float* actions = random_actions(3, 40 * 3 * block, 1.5);
    char *saved = malloc(size), *first = malloc(size), *again = malloc(size);
    int steps[3] = {0};
    float asked[6], asked_again[6];
    us_sim_policy(e, 0, steps, asked);  // the policy's memory is part of the slot
    for (int b = 0; b < 20; b++) us_env_step(e, actions + (size_t)b * 3 * block, NULL);
    us_env_save(e, 1, saved);
    for (int b = 20; b < 40; b++) us_env_step(e, actions + (size_t)b * 3 * block, NULL);
    us_env_save(e, 1, first);
    us_sim_policy(e, 0, (int[]){7, 7, 7}, asked);
    assert_memory_not_equal(saved, first, size);

    us_env_restore(e, 1, saved);
    us_env_save(e, 1, again);
    assert_memory_equal(saved, again, size);
    for (int b = 20; b < 40; b++) us_env_step(e, actions + (size_t)b * 3 * block, NULL);
    us_env_save(e, 1, again);
    assert_memory_equal(first, again, size);
    us_sim_policy(e, 0, (int[]){7, 7, 7}, asked_again);
    assert_memory_equal(asked + 2, asked_again + 2, 2 * sizeof(float));

    us_env_restore(other, 0, saved);  // another env, another slot
    for (int b = 20; b < 40; b++) {
      float pair[2 * 64];
      memcpy(pair, actions + ((size_t)b * 3 + 1) * block, sizeof(float) * block);
      memset(pair + block, 0, sizeof(float) * block);
      us_env_step(other, pair, NULL);
    }
    us_env_save(other, 0, again);
    assert_memory_equal(first, again, size);

    us_env_fork(e, 1, 3, (int[]){0, 1, 2});
    for (int i = 0; i < 3; i++) {
      us_env_save(e, i, again);
      us_env_save(e, 1, first);
      assert_memory_equal(first, again, size);
    }
    free(saved), free(first), free(again), free(actions);
    us_env_close(other);
    us_env_close(e);
  }
}

// ---- batches ----

enum { MOST = 64, BLOCKS = 3, SAMPLES = 9, HORIZON = 2, BLOCK = 10, DEPTH = 18 };

typedef struct Result {
  float observation[BLOCKS][MOST][4], reward[BLOCKS][MOST];
  uint8_t success[BLOCKS][MOST][5], terminated[BLOCKS][MOST], truncated[BLOCKS][MOST];
  float rewards[MOST][DEPTH];
  float policy[MOST][2];
} Result;

// Plays slots first .. first + n - 1 of the common experiment in one env of n slots.
static void play(const char* name, int first, int n, UsPool* pool, const float* actions,
                 const float* imagined, Result* out) {
  UsEnv* e = open_env(name, &(UsEnvConfig){.slots = n, .pool = pool, .limit = 12});
  uint64_t seeds[MOST];
  int slots[MOST], steps[MOST];
  double goal[4] = {0.6, 0.7, 0, 0};
  UsObs goals[MOST];
  float* played = malloc(sizeof(float) * (size_t)n * BLOCK);
  for (int i = 0; i < n; i++) {
    seeds[i] = (uint64_t)(first + i) * 31;
    slots[i] = i;
    steps[i] = first + i;
    goals[i] = (UsObs){.state = goal};
  }
  us_env_reset(e, NULL, seeds);
  assert_int_equal(us_env_set_goal(e, n, slots, goals), US_OK);
  for (int b = 0; b < BLOCKS; b++) {
    memcpy(played, actions + ((size_t)b * MOST + (size_t)first) * BLOCK,
           sizeof(float) * (size_t)n * BLOCK);
    us_env_step(e, played,
                &(UsStep){.observation = out->observation[b][first],
                          .reward = &out->reward[b][first],
                          .success = out->success[b][first],
                          .terminated = &out->terminated[b][first],
                          .truncated = &out->truncated[b][first]});
  }
  us_env_rollout(e, n, slots, SAMPLES, HORIZON, imagined + (size_t)first * DEPTH * BLOCK,
                 out->rewards[first]);
  us_sim_policy(e, 0, steps, out->policy[first]);
  free(played);
  us_env_close(e);
}

static void batches_equal_singles(void** state) {
  float* actions = random_actions(4, (size_t)BLOCKS * MOST * BLOCK, 1.3);
  float* imagined = random_actions(5, (size_t)MOST * DEPTH * BLOCK, 1.3);
  Result* single = calloc(1, sizeof(Result));
  Result* batch = calloc(1, sizeof(Result));
  UsPool* pools[2] = {us_pool_create(1), us_pool_create(2)};
  for (int t = 0; t < US_COUNT(names); t++) {
    memset(single, 0, sizeof(*single));
    for (int i = 0; i < MOST; i++) play(names[t], i, 1, NULL, actions, imagined, single);
    const int sizes[] = {1, 7, 64};
    for (int k = 0; k < US_COUNT(sizes); k++) {
      for (int p = 0; p < 2; p++) {
        memset(batch, 0, sizeof(*batch));
        for (int first = 0; first < MOST; first += sizes[k]) {
          int n = MOST - first < sizes[k] ? MOST - first : sizes[k];
          play(names[t], first, n, pools[p], actions, imagined, batch);
        }
        assert_memory_equal(single, batch, sizeof(*single));
      }
    }
    assert_true(single->reward[0][0] < 0 && single->rewards[5][3] < 0);
    assert_int_equal(single->truncated[1][0], 0);
    assert_int_equal(single->truncated[2][0], 1);
  }
  us_pool_destroy(pools[0]);
  us_pool_destroy(pools[1]);
  free(single), free(batch), free(actions), free(imagined);
}

static void rollout_equals_steps(void** state) {
  for (int t = 0; t < US_COUNT(names); t++) {
    UsEnv* e = open_env(names[t], &(UsEnvConfig){.slots = 2});
    us_env_reset(e, NULL, (uint64_t[]){5, 6});
    double goal[4] = {-0.6, 0.7, 0, 0};
    assert_int_equal(us_env_set_goal(e, 1, (int[]){1}, &(UsObs){.state = goal}), US_OK);
    float* actions = random_actions(6, 8 * 10, 1);
    float rewards[8], played[20] = {0}, reward[2];
    us_env_rollout(e, 1, (int[]){1}, 1, 8, actions, rewards);
    for (int h = 0; h < 8; h++) {
      memcpy(played + 10, actions + h * 10, sizeof(float) * 10);
      us_env_step(e, played, &(UsStep){.reward = reward});
      assert_true(reward[1] == rewards[h]);
      assert_true(reward[0] == 0);  // no goal
    }
    free(actions);
    us_env_close(e);
  }
}

// ---- goals, masks, observations ----

static void goals_and_success(void** state) {
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.slots = 2, .block = 4});
  us_env_reset(e, NULL, (uint64_t[]){1, 2});
  double start[4] = {0.5, 0, 0, 0}, goal[4] = {0.7, 0, 0, 0};
  put_state(e, 0, start);
  UsObs obs = {.state = goal};
  assert_int_equal(us_env_set_goal(e, 1, (int[]){0}, &obs), US_OK);
  float distance[2];
  uint8_t success[2], held[2][4], terminated[2];
  us_env_score(e, 2, (int[]){0, 1}, distance, success);
  assert_float_equal(distance[0], 0.2, 1e-6);
  assert_float_equal(distance[1], 0, 0);
  assert_int_equal(success[0], 0);
  // 1.25 m/s * 0.05 s: in within one env step, out again later.
  float actions[2][4][2] = {{{1, 0}, {1, 0}, {-1, 0}, {-1, 0}}};
  us_env_step(e, actions[0][0], &(UsStep){.success = held[0], .terminated = terminated});
  assert_int_equal(held[0][0], 0);
  assert_int_equal(held[0][1], 1);
  assert_int_equal(held[0][2], 1);
  assert_int_equal(held[0][3], 0);
  assert_int_equal(held[1][1], 0);
  assert_int_equal(terminated[0], 0);
  // A masked reset leaves the other slot as it is and clears the goal.
  double before[4], after[4];
  get_state(e, 1, before);
  us_env_reset(e, (uint8_t[]){1, 0}, (uint64_t[]){9, 9});
  get_state(e, 1, after);
  assert_memory_equal(before, after, sizeof(after));
  us_env_score(e, 1, (int[]){0}, distance, success);
  assert_float_equal(distance[0], 0, 0);
  // An observation needs the state.
  assert_int_equal(us_env_observe(e, 1, (int[]){0}, &(UsObs){.time = 1}), US_UNSUPPORTED);
  assert_one_line(us_message());
  assert_int_equal(us_env_set_goal(e, 1, (int[]){0}, &(UsObs){.time = 1}), US_UNSUPPORTED);
  us_env_close(e);
}

static void look_shows_what_was_observed(void** state) {
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = 2});
  us_env_reset(e, NULL, (uint64_t[]){1, 2});
  double put[4] = {0.25, 1.125, -2, 3}, got[4], measure[2];
  float proprio[4];
  int slot = 1;
  assert_int_equal(us_env_observe(e, 1, &slot, &(UsObs){.state = put, .time = 2.5, .first = 1}),
                   US_OK);
  UsObs obs = {.state = got, .proprio = proprio};
  assert_int_equal(us_env_look(e, 1, &slot, &obs), US_OK);
  assert_memory_equal(put, got, sizeof(put));
  assert_true(obs.time == 2.5);
  for (int i = 0; i < 4; i++) assert_true(proprio[i] == (float)put[i]);
  assert_int_equal(us_sim_measure(e, 1, put, measure), US_OK);
  assert_true(measure[0] == 0.25 && measure[1] == 1.125);
  us_env_close(e);
}

// An observation leaves nothing of what the slot went through before.
static void observe_forgets_the_past(void** state) {
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = 2});
  us_env_reset(e, NULL, (uint64_t[]){1, 1});
  float* actions = random_actions(8, 20, 1);
  for (int b = 0; b < 10; b++) us_env_step(e, actions, NULL);
  double put[4] = {0.25, 1.125, -2, 3};
  put_state(e, 0, put);
  put_state(e, 1, put);
  size_t size = us_env_save_size(e);
  char *a = malloc(size), *b = malloc(size);
  us_env_save(e, 0, a);
  us_env_save(e, 1, b);
  assert_memory_equal(a, b, size);
  free(a), free(b), free(actions);
  us_env_close(e);
}

// ---- what a task's functions are given ----

static void read_body(const mjModel* m, const mjData* d, double* out) {
  const mjtNum* at = d->xpos + 3 * mj_name2id(m, mjOBJ_BODY, "ball");
  out[0] = at[0];
  out[1] = at[1];
}

static void act_body(const mjModel* m, const mjData* d, UsRng* rng, double* memory, float* action) {
  const mjtNum* at = d->xpos + 3 * mj_name2id(m, mjOBJ_BODY, "ball");
  action[0] = (float)(at[0] - d->qpos[0]);
  action[1] = (float)(at[1] - d->qpos[1]);
}

static void control_body(const mjModel* m, mjData* d, const float* action) {
  float away[2];
  act_body(m, d, NULL, NULL, away);
  for (int i = 0; i < 2; i++) d->ctrl[i] = action[i] + 10 * away[i];
}

// A task that reads positions of bodies sees what one that reads joints sees.
static void kinematics_are_current(void** state) {
  const UsPolicy policies[] = {{"body", "finds its body", act_body}, {NULL, NULL, NULL}};
  UsTask task = us_task_pointmaze;
  task.name = "body";
  task.read_measure = read_body;
  task.control = control_body;
  task.policies = policies;
  const UsTask* tasks[] = {&task, &us_task_pointmaze, NULL};
  const char* both[2] = {"sim:body", "sim:pointmaze"};
  float reward[2][8][2], rewards[2][12], first[2][2];
  float* actions = random_actions(9, 8 * 20, 0.3);
  for (int k = 0; k < 2; k++) {
    UsEnv* e = NULL;
    assert_int_equal(us_env_open(both[k], tasks, &(UsEnvConfig){.slots = 2}, &e), US_OK);
    us_env_reset(e, NULL, (uint64_t[]){1, 2});
    double goals[2][4] = {{1, 1, 0, 0}, {-1, -1, 0, 0}};
    UsObs obs[2] = {{.state = goals[0]}, {.state = goals[1]}};
    assert_int_equal(us_env_set_goal(e, 2, (int[]){0, 1}, obs), US_OK);
    us_env_score(e, 2, (int[]){0, 1}, first[k], NULL);
    for (int b = 0; b < 8; b++) {
      us_env_step(e, actions + b * 20, &(UsStep){.reward = reward[k][b]});
      float asked[4];
      if (k == 0) {
        us_sim_policy(e, 0, (int[]){b, b}, asked);
        for (int i = 0; i < 4; i++) assert_true(asked[i] == 0);
      }
    }
    us_env_rollout(e, 2, (int[]){0, 1}, 2, 3, actions, rewards[k]);
    us_env_close(e);
  }
  assert_memory_equal(first[0], first[1], sizeof(first[0]));
  assert_memory_equal(reward[0], reward[1], sizeof(reward[0]));
  assert_memory_equal(rewards[0], rewards[1], sizeof(rewards[0]));
  free(actions);
}

static void control_strong(const mjModel* m, mjData* d, const float* action) {
  d->qvel[0] = action[0];
  d->qvel[1] = action[1];
}

static void actions_are_clipped(void** state) {
  UsTask task = us_task_pointmaze;
  task.control = control_strong;
  UsEnv* e = NULL;
  assert_int_equal(us_env_open("sim:pointmaze", (const UsTask*[]){&task, NULL},
                               &(UsEnvConfig){.slots = 2, .block = 1}, &e),
                   US_OK);
  double put[4] = {1, 0, 0, 0}, got[2][4];
  put_state(e, 0, put);
  put_state(e, 1, put);
  us_env_step(e, (float[]){3, -2, 1, -1}, NULL);
  get_state(e, 0, got[0]);
  get_state(e, 1, got[1]);
  assert_memory_equal(got[0], got[1], sizeof(got[0]));
  us_env_close(e);
}

// ---- numbers that fail ----

static void not_finite_is_a_value(void** state) {
  char folder[] = "/tmp/understudy_sim_XXXXXX", old[4096];
  assert_non_null(getcwd(old, sizeof(old)));
  assert_non_null(mkdtemp(folder));
  assert_int_equal(chdir(folder), 0);
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = 3});
  us_env_reset(e, NULL, (uint64_t[]){1, 2, 3});
  double bad[4] = {NAN, 0, 0, 0}, goal[4] = {1, 1, 0, 0};
  put_state(e, 1, bad);
  UsObs goals[3] = {{.state = goal}, {.state = goal}, {.state = goal}};
  assert_int_equal(us_env_set_goal(e, 3, (int[]){0, 1, 2}, goals), US_OK);
  float actions[3 * 10] = {0}, reward[3], rewards[3 * 2];
  uint8_t terminated[3], success[3 * 5];
  us_env_step(e, actions,
              &(UsStep){.reward = reward, .terminated = terminated, .success = success});
  assert_true(reward[1] == -INFINITY && isfinite(reward[0]) && isfinite(reward[2]));
  assert_int_equal(terminated[1], 1);
  for (int k = 0; k < 5; k++) assert_int_equal(success[5 + k], 0);
  float imagined[3 * 2 * 10] = {0};
  us_env_rollout(e, 3, (int[]){0, 1, 2}, 1, 2, imagined, rewards);
  assert_true(rewards[2] == -INFINITY && rewards[3] == -INFINITY && isfinite(rewards[0]));
  us_env_reset(e, NULL, (uint64_t[]){1, 2, 3});
  us_env_step(e, actions, &(UsStep){.reward = reward, .terminated = terminated});
  assert_true(reward[1] == 0);
  assert_int_equal(terminated[1], 0);
  us_env_close(e);
  assert_int_not_equal(access("MUJOCO_LOG.TXT", F_OK), 0);
  assert_int_equal(chdir(old), 0);
  rmdir(folder);
}

static void control_with_error(const mjModel* m, mjData* d, const float* action) {
  double state[1] = {0};
  if (action[0] > 0.9f) mj_setState(m, d, state, 1 << 30);  // MuJoCo raises an error
  d->ctrl[0] = action[0];
}

static void mujoco_errors_stay_in_their_slot(void** state) {
  UsTask task = us_task_pointmaze;
  task.name = "broken";
  task.control = control_with_error;
  const UsTask* tasks[] = {&task, NULL};
  UsEnv* e = NULL;
  assert_int_equal(us_env_open("sim:broken", tasks, &(UsEnvConfig){.slots = 2}, &e), US_OK);
  us_env_reset(e, NULL, (uint64_t[]){1, 2});
  double before[4], after[4];
  get_state(e, 1, before);
  float actions[20] = {0}, reward[2], rewards[2];
  uint8_t terminated[2];
  actions[10 + 6] = 1;  // the fourth env step of the second slot
  assert_null(us_env_error(e));
  us_env_step(e, actions, &(UsStep){.reward = reward, .terminated = terminated});
  const UsEnvError* error = us_env_error(e);
  assert_true(error && error->slot == 1 && error->step == 3);
  assert_one_line(error->text);
  assert_true(reward[0] == 0 && reward[1] == -INFINITY);
  assert_int_equal(terminated[0], 0);
  assert_int_equal(terminated[1], 1);
  get_state(e, 1, after);
  assert_memory_equal(before, after, sizeof(after));
  us_env_reset(e, (uint8_t[]){1, 0}, (uint64_t[]){1, 2});
  assert_non_null(us_env_error(e));  // the other slot's
  us_env_reset(e, (uint8_t[]){0, 1}, (uint64_t[]){1, 2});
  assert_null(us_env_error(e));
  us_env_rollout(e, 2, (int[]){0, 1}, 1, 1, actions, rewards);
  assert_true(rewards[0] == 0 && rewards[1] == -INFINITY);
  assert_true(us_env_error(e) && us_env_error(e)->slot == 1);
  actions[10 + 6] = 0;
  us_env_step(e, actions, &(UsStep){.reward = reward, .terminated = terminated});
  assert_true(reward[1] == 0);
  us_env_close(e);
}

// ---- scenes that fail ----

static void expect_refusal(UsTask* task, UsStatus status, const char* part) {
  const UsTask* tasks[] = {task, NULL};
  char name[64];
  snprintf(name, sizeof(name), "sim:%s", task->name);
  UsEnv* e = (UsEnv*)1;
  assert_int_equal(us_env_open(name, tasks, NULL, &e), status);
  assert_null(e);
  assert_one_line(us_message());
  assert_non_null(strstr(us_message(), task->name));
  assert_non_null(strstr(us_message(), part));
}

static void bad_tasks(void** state) {
  UsTask task = us_task_wall;
  task.name = "bent";
  task.scene = "<mujoco><worldbody><geom tpye='sphere'/></worldbody></mujoco>";
  expect_refusal(&task, US_MUJOCO, "tpye");
  task.scene = "this is not MJCF";
  expect_refusal(&task, US_MUJOCO, "refuses the scene");
  task.scene = "<mujoco><worldbody><body><joint/></body></worldbody></mujoco>";
  expect_refusal(&task, US_MUJOCO, "mass");
  task = us_task_wall;
  task.control = NULL;
  task.action = 3;
  expect_refusal(&task, US_MUJOCO, "expected 3 controls");
  task = us_task_wall;
  task.struct_size--;
  expect_refusal(&task, US_UNSUPPORTED, "ABI");
  task = us_task_wall;
  task.mujoco = 330;
  expect_refusal(&task, US_MUJOCO, "330");
  task = us_task_wall;
  task.frame_skip = 0;
  expect_refusal(&task, US_UNSUPPORTED, "frame_skip");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hot_calls_allocate_nothing),
      cmocka_unit_test(restore_is_exact),
      cmocka_unit_test(batches_equal_singles),
      cmocka_unit_test(rollout_equals_steps),
      cmocka_unit_test(goals_and_success),
      cmocka_unit_test(look_shows_what_was_observed),
      cmocka_unit_test(observe_forgets_the_past),
      cmocka_unit_test(kinematics_are_current),
      cmocka_unit_test(actions_are_clipped),
      cmocka_unit_test(not_finite_is_a_value),
      cmocka_unit_test(mujoco_errors_stay_in_their_slot),
      cmocka_unit_test(bad_tasks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
