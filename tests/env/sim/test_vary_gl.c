// Factors of variation in frames: what is seen and what is not, slot by slot.

#include <math.h>
#include <stdio.h>

#include "env/factors.h"
#include "tests/env/vary_help.h"

enum { SIZE = 48, FRAME = SIZE * SIZE * 3, N = 6 };

static const UsTask* const tasks[] = {&us_task_pointmaze, &us_task_wall, &task_slide, NULL};

static UsEnv* open_task(const UsTask* t, int slots, UsPool* pool) {
  char name[128];
  snprintf(name, sizeof(name), "sim:%s", t->name);
  UsEnv* e = NULL;
  UsEnvConfig config = {.slots = slots, .height = SIZE, .pixels = 1, .pool = pool};
  UsStatus status = us_env_open(name, (const UsTask*[]){t, NULL}, &config, &e);
  if (status != US_OK) fail_msg("%s", us_message());
  return e;
}

// Draws slot 0 with the factors of these names at x. frame (FRAME)
static void draw(UsEnv* e, const char* names, float x, uint8_t* frame) {
  vary_slot(e, 0, names, x);
  assert_int_equal(us_env_render(e, 1, (int[]){0}, frame), US_OK);
}

static int is_general(const UsFactor* f) {
  for (const UsFactor* g = us_factors; g->name; g++) {
    if (g == f) return 1;
  }
  return 0;
}

// What a task calls visual is seen, at both ends and differently; general physics is not.
static void check_frames(const UsTask* t) {
  uint8_t *plain = malloc(FRAME), *low = malloc(FRAME), *high = malloc(FRAME);
  UsEnv* e = open_task(t, 1, NULL);
  us_env_reset(e, NULL, (uint64_t[]){3});
  assert_int_equal(us_env_render(e, 1, (int[]){0}, plain), US_OK);
  draw(e, "all", 0, low);
  assert_memory_equal(plain, low, FRAME);
  const UsFactor* const* list;
  int count = us_sim_factors(e, &list);
  for (int i = 0; i < count; i++) {
    draw(e, list[i]->name, -0.7f, low);
    draw(e, list[i]->name, 0.7f, high);
    int seen = memcmp(plain, low, FRAME) && memcmp(plain, high, FRAME) && memcmp(low, high, FRAME);
    int hidden = !memcmp(plain, low, FRAME) && !memcmp(plain, high, FRAME);
    if (!list[i]->physical && !seen) fail_msg("%s: %s is not seen", t->name, list[i]->name);
    if (list[i]->physical && is_general(list[i]) && !hidden) {
      fail_msg("%s: %s is seen", t->name, list[i]->name);
    }
  }
  us_sim_vary(e, &(UsVary){0}, 1, (int[]){0}, NULL);
  assert_int_equal(us_env_render(e, 1, (int[]){0}, low), US_OK);
  assert_memory_equal(plain, low, FRAME);
  us_env_close(e);
  free(plain), free(low), free(high);
}

static void visual_factors_are_seen_and_physical_ones_are_not(void** state) {
  for (int t = 0; us_tasks[t]; t++) check_frames(us_tasks[t]);
  check_frames(&task_slide);
}

static double mean(const uint8_t* frame, int channel) {
  double sum = 0;
  for (int i = 0; i < SIZE * SIZE; i++) sum += frame[3 * i + channel];
  return sum / (SIZE * SIZE);
}

// Darker is darker, bluish is bluish, a zoom makes the ball larger, a shift moves it.
static void factors_do_what_their_summaries_say(void** state) {
  uint8_t *plain = malloc(FRAME), *frame = malloc(FRAME);
  for (int t = 0; tasks[t]; t++) {
    UsEnv* e = open_task(tasks[t], 1, NULL);
    us_env_reset(e, NULL, (uint64_t[]){3});
    assert_int_equal(us_env_render(e, 1, (int[]){0}, plain), US_OK);
    draw(e, "light_level", -1, frame);
    for (int c = 0; c < 3; c++) assert_true(mean(frame, c) < 0.65 * mean(plain, c));
    draw(e, "light_warmth", -1, frame);
    assert_true(mean(frame, 0) < 0.85 * mean(plain, 0));
    assert_true(mean(frame, 2) > mean(plain, 2));
    draw(e, "light_warmth", 1, frame);
    assert_true(mean(frame, 2) < 0.85 * mean(plain, 2));
    us_env_close(e);
  }
  free(plain), free(frame);
}

// Where what is red stands in a frame: column and row of its middle, and its weight.
static void find_red(const uint8_t* frame, double* x, double* y, double* weight) {
  *x = *y = *weight = 0;
  for (int i = 0; i < SIZE * SIZE; i++) {
    double red = frame[3 * i] > frame[3 * i + 1] + 60 ? 1 : 0;
    *weight += red;
    *x += red * (i % SIZE);
    *y += red * (i / SIZE);
  }
  *x /= *weight;
  *y /= *weight;
}

static void cameras_move_and_sizes_grow(void** state) {
  uint8_t* frame = malloc(FRAME);
  UsEnv* e = open_task(&us_task_pointmaze, 1, NULL);
  double x, y, w, px, py, pw;
  put_state(e, 0, (double[]){1, 0, 0, 0});
  us_env_render(e, 1, (int[]){0}, frame);
  find_red(frame, &px, &py, &pw);
  draw(e, "camera_x", 1, frame);
  find_red(frame, &x, &y, &w);
  assert_float_equal(x - px, 0.03 * SIZE, 0.3);
  assert_float_equal(y, py, 0.3);
  draw(e, "camera_y", 1, frame);
  find_red(frame, &x, &y, &w);
  assert_float_equal(py - y, 0.03 * SIZE, 0.3);
  draw(e, "camera_zoom", 1, frame);
  find_red(frame, &x, &y, &w);
  assert_float_equal((x - SIZE / 2.0) / (px - SIZE / 2.0), 1 / 0.94, 0.03);
  draw(e, "size", 1, frame);
  find_red(frame, &x, &y, &w);
  assert_true(w / pw > 1.7 && w / pw < 2.2);
  draw(e, "colour_object", 1, frame);
  find_red(frame, &x, &y, &w);
  assert_false(w > 0);
  us_env_close(e);
  free(frame);
}

// Every slot is drawn in its own variation, whatever the batch, the order and the threads.
static void slots_keep_to_themselves(void** state) {
  uint8_t *want = malloc(N * FRAME), *got = malloc(N * FRAME);
  UsPool* pool = us_pool_create(2);
  for (int t = 0; tasks[t]; t++) {
    UsEnv* one = open_task(tasks[t], 1, NULL);
    UsVary v = choose(one, "all");
    float values[N * US_FACTORS];
    for (int i = 0; i < N; i++) {
      us_vary_draw(&v, one, US_VARY_all, (uint64_t)i, values + i * v.count);
      us_sim_vary(one, i % 3 ? &v : &(UsVary){0}, 1, (int[]){0}, values + i * v.count);
      us_env_reset(one, NULL, (uint64_t[]){(uint64_t)i});
      assert_int_equal(us_env_render(one, 1, (int[]){0}, want + i * FRAME), US_OK);
    }
    us_env_close(one);
    for (int p = 0; p < 2; p++) {
      UsEnv* e = open_task(tasks[t], N + 1, p ? pool : NULL);
      int slots[N];
      uint64_t seeds[N + 1] = {0};
      for (int i = N - 1; i >= 0; i--) {
        slots[i] = N - i;
        seeds[N - i] = (uint64_t)i;
        if (i % 3) us_sim_vary(e, &v, 1, &slots[i], values + i * v.count);
      }
      us_env_reset(e, NULL, seeds);
      assert_int_equal(us_env_render(e, N, slots, got), US_OK);
      assert_memory_equal(want, got, N * FRAME);
      us_env_fork(e, slots[1], 1, (int[]){0});
      UsObs obs = {.pixels = got};
      assert_int_equal(us_env_look(e, 1, (int[]){0}, &obs), US_OK);
      assert_memory_equal(want + FRAME, got, FRAME);
      us_env_close(e);
    }
  }
  us_pool_destroy(pool);
  free(want), free(got);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(visual_factors_are_seen_and_physical_ones_are_not),
      cmocka_unit_test(factors_do_what_their_summaries_say),
      cmocka_unit_test(cameras_move_and_sizes_grow),
      cmocka_unit_test(slots_keep_to_themselves),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
