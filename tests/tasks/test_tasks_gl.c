// Frames of every task, built in or of a plugin: the picture depends on the state, on all of its
// measures and on nothing else.

#include "tests/tasks/contract.h"

enum { N = 6 };

static void frames_depend_on_states(void** state) {
  const UsTask* const* tasks = contract_tasks();
  for (int t = 0; tasks[t]; t++) {
    UsEnv* e = contract_open(tasks[t], &(UsEnvConfig){.slots = N, .pixels = 1});
    const UsEnvInfo* info = us_env_info(e);
    size_t frame = (size_t)info->height * (size_t)info->width * 3;
    const uint64_t seeds[N] = {1, 2, 3, 4, 5, 6};
    const int slots[N] = {0, 1, 2, 3, 4, 5};
    uint8_t* first = malloc(N * frame);
    uint8_t* again = malloc(N * frame);
    us_env_reset(e, NULL, seeds);
    assert_int_equal(us_env_render(e, N, slots, first), US_OK);
    float* actions = random_actions(1, (size_t)(N * info->block * info->action), 1);
    us_env_step(e, actions, NULL);
    assert_int_equal(us_env_render(e, N, slots, again), US_OK);
    for (int i = 0; i < N; i++) {
      assert_memory_not_equal(first + (size_t)i * frame, again + (size_t)i * frame, frame);
      if (i) assert_memory_not_equal(first, first + (size_t)i * frame, frame);
    }
    us_env_reset(e, NULL, seeds);
    assert_int_equal(us_env_render(e, N, slots, again), US_OK);
    assert_memory_equal(first, again, N * frame);
    free(first), free(again), free(actions);
    us_env_close(e);
  }
}

// At the default size what moves between two frames is seen: some pixels change a lot.
static void motion_is_visible(void** state) {
  const UsTask* const* tasks = contract_tasks();
  for (int t = 0; tasks[t]; t++) {
    UsEnv* e = contract_open(tasks[t], &(UsEnvConfig){.slots = 2, .pixels = 1});
    const UsEnvInfo* info = us_env_info(e);
    size_t frame = (size_t)info->height * (size_t)info->width * 3;
    uint8_t* frames = malloc(2 * frame);
    us_env_reset(e, NULL, (uint64_t[]){1, 20});
    assert_int_equal(us_env_render(e, 2, (int[]){0, 1}, frames), US_OK);
    int strong = 0;
    for (size_t i = 0; i < frame; i++) {
      strong += abs((int)frames[i] - (int)frames[frame + i]) > 100;
    }
    assert_true(strong >= 40);
    free(frames);
    us_env_close(e);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(frames_depend_on_states),
      cmocka_unit_test(motion_is_visible),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
