#ifndef UNDERSTUDY_ENV_HELP_H_
#define UNDERSTUDY_ENV_HELP_H_

// What the tests of envs share.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "env/env.h"
#include "env/sim.h"
#include "tasks/tasks.h"
#include "worldmodel/base/rng.h"

#define US_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static inline UsEnv* open_env(const char* name, const UsEnvConfig* config) {
  UsEnv* e = NULL;
  UsStatus status = us_env_open(name, us_tasks, config, &e);
  if (status != US_OK) print_message("%s\n", us_message());
  assert_int_equal(status, US_OK);
  assert_non_null(e);
  return e;
}

// Uniform actions (n) in [-scale, scale] of stream `id`.
static inline float* random_actions(uint64_t id, size_t n, double scale) {
  float* a = malloc(sizeof(float) * n);
  assert_non_null(a);
  UsRng rng = us_rng(7, US_RNG_TEST, id, 0, 0);
  for (size_t i = 0; i < n; i++) a[i] = (float)us_rng_range(&rng, -scale, scale);
  return a;
}

static inline void assert_one_line(const char* message) {
  assert_true(message[0] != 0);
  assert_null(strchr(message, '\n'));
}

// Gives one slot a state and the time 0.
static inline void put_state(UsEnv* e, int slot, double* state) {
  UsObs obs = {.state = state, .first = 1};
  assert_int_equal(us_env_observe(e, 1, &slot, &obs), US_OK);
}

// Reads one slot's state.
static inline void get_state(UsEnv* e, int slot, double* state) {
  UsObs obs = {.state = state};
  assert_int_equal(us_env_look(e, 1, &slot, &obs), US_OK);
}

#endif  // UNDERSTUDY_ENV_HELP_H_
