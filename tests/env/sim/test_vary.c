// Factors of variation in the physics: what each changes and leaves alone, and that a slot's
// variation goes wherever the slot goes.

#include <math.h>
#include <stdio.h>

#include "env/factors.h"
#include "tests/env/vary_help.h"

enum { N = 5, BLOCKS = 3, MOST = 64 * 1024 };

// Whether slot 0 in the variation (names = x) moves as slot 1 in the scene as it is.
static int moves_alike(UsEnv* e, const char* names, float x) {
  const UsEnvInfo* info = us_env_info(e);
  us_env_reset(e, NULL, (uint64_t[]){5, 5});
  us_env_fork(e, 1, 1, (int[]){0});  // the same start, whatever the factor makes of it
  vary_slot(e, 0, names, x);
  size_t length = (size_t)(info->block * info->action);
  float* actions = random_actions(2, length * BLOCKS, 1);
  float* both = malloc(sizeof(float) * 2 * length);
  double* state = malloc(sizeof(double) * 2 * (size_t)info->state);
  for (int b = 0; b < BLOCKS; b++) {
    memcpy(both, actions + (size_t)b * length, sizeof(float) * length);
    memcpy(both + length, both, sizeof(float) * length);
    us_env_step(e, both, NULL);
  }
  get_state(e, 0, state);
  get_state(e, 1, state + info->state);
  int same = memcmp(state, state + info->state, sizeof(double) * (size_t)info->state) == 0;
  free(actions), free(both), free(state);
  us_sim_vary(e, &(UsVary){0}, 1, (int[]){0}, NULL);
  return same;
}

static UsEnv* open_task(const UsTask* t, int slots) {
  char name[128];
  snprintf(name, sizeof(name), "sim:%s", t->name);
  return open_env(name, &(UsEnvConfig){.slots = slots});
}

static void visual_factors_leave_physics_alone(void** state) {
  for (int t = 0; us_tasks[t]; t++) {
    UsEnv* e = open_task(us_tasks[t], 2);
    const UsFactor* const* list;
    int count = us_sim_factors(e, &list), changed = 0;
    assert_int_equal(moves_alike(e, "all", 0), 1);
    for (int i = 0; i < count; i++) {
      int alike = moves_alike(e, list[i]->name, 0.9f) && moves_alike(e, list[i]->name, -0.9f);
      if (!list[i]->physical) assert_int_equal(alike, 1);
      changed += !alike;
    }
    assert_true(changed >= 1);
    us_env_close(e);
  }
}

// Half the mass, twice the damping, as an independent formula has them.
static void numbers_are_what_the_summaries_say(void** state) {
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = 4, .block = 1});
  const mjModel* m = us_sim_model(e);
  const double h = m->opt.timestep, gear = 100, push = 0.01;
  const double kilos = m->body_mass[mj_name2id(m, mjOBJ_BODY, "ball")];
  const char* const names[] = {"mass", "damping", "strength"};
  us_env_reset(e, NULL, (uint64_t[]){0, 0, 0, 0});
  for (int i = 0; i < 3; i++) vary_slot(e, i + 1, names[i], 1);
  float actions[4 * 2] = {0};
  for (int i = 0; i < 4; i++) {
    double start[4] = {1, 1, 0, 0};
    put_state(e, i, start);
    actions[2 * i] = (float)push;
  }
  us_env_step(e, actions, NULL);
  for (int i = 0; i < 4; i++) {
    double mass = kilos * (i == 1 ? exp2(0.7) : 1), damping = i == 2 ? 2 : 1;
    double force = gear * (double)actions[0] * (i == 3 ? 1.25 : 1), v = 0, now[4];
    for (int k = 0; k < us_task_pointmaze.frame_skip; k++)
      v += h * (force - damping * v) / (mass + h * damping);
    get_state(e, i, now);
    assert_float_equal(now[2], v, 1e-9);
  }
  us_env_close(e);
}

// A pendulum that falls onto the limit of its joint, of a given density.
static UsEnv* open_pendulum(double density, char* scene, size_t size, UsTask* task) {
  snprintf(scene, size,
           "<mujoco><option timestep='0.005'/><worldbody><camera name='side'/><body>"
           "<joint name='along' type='hinge' axis='0 1 0' limited='true' range='-30 30'/>"
           "<geom type='capsule' size='.05' fromto='0 0 0 .5 0 .2' density='%.17g'/></body>"
           "</worldbody><actuator><motor joint='along'/></actuator></mujoco>",
           density);
  *task = task_slide;
  task->scene = scene;
  UsEnv* e = NULL;
  UsStatus status = us_env_open("sim:slide", (const UsTask*[]){task, NULL}, NULL, &e);
  if (status != US_OK) fail_msg("%s", us_message());
  return e;
}

// A varied mass moves as a scene that was compiled with it: inertias, and the constants that the
// solver takes from them, follow.
static void mass_is_that_of_another_scene(void** state) {
  char scene[2][1024];
  UsTask task[2];
  UsEnv* a = open_pendulum(1000, scene[0], sizeof(scene[0]), &task[0]);
  UsEnv* b = open_pendulum(1000 * exp2(-0.7), scene[1], sizeof(scene[1]), &task[1]);
  us_env_reset(a, NULL, (uint64_t[]){1});
  us_env_reset(b, NULL, (uint64_t[]){1});
  vary_slot(a, 0, "mass", -1);
  double x[2], y[2];
  put_state(a, 0, (double[]){-0.3, 0});
  put_state(b, 0, (double[]){-0.3, 0});
  const float actions[5] = {0.3f, 0.3f, 0.3f, 0.3f, 0.3f};
  for (int k = 0; k < 10; k++) {
    us_env_step(a, actions, NULL);
    us_env_step(b, actions, NULL);
  }
  get_state(a, 0, x);
  get_state(b, 0, y);
  assert_true(y[0] > 0.5);
  for (int i = 0; i < 2; i++) assert_float_equal(x[i], y[i], 1e-9);
  us_env_close(a);
  us_env_close(b);
}

// A block on a floor, pushed for 1 s, comes to rest after v^2 / (2 mu g).
static void friction_brakes(void** state) {
  UsEnv* e = NULL;
  UsEnvConfig config = {.slots = 3, .block = 1};
  assert_int_equal(us_env_open("sim:slide", (const UsTask*[]){&task_slide, NULL}, &config, &e),
                   US_OK);
  us_env_reset(e, NULL, (uint64_t[]){0, 0, 0});
  const float x[3] = {-1, 0, 1}, actions[3] = {0};
  for (int i = 0; i < 3; i++) {
    vary_slot(e, i, "friction", x[i]);
    put_state(e, i, (double[]){0, 0.0, 1, 0});
  }
  for (int k = 0; k < 200; k++) us_env_step(e, actions, NULL);
  for (int i = 0; i < 3; i++) {
    double now[4], mu = 0.4 * exp2((double)x[i]);
    get_state(e, i, now);
    assert_float_equal(now[0], 1 / (2 * mu * 9.81), 0.01);
  }
  us_env_close(e);
}

// A ball of another size is stopped by the wall at its own radius.
static void size_is_felt_at_walls(void** state) {
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = 3, .block = 1});
  us_env_reset(e, NULL, (uint64_t[]){0, 0, 0});
  const float x[3] = {-1, 0, 1};
  for (int i = 0; i < 3; i++) vary_slot(e, i, "size", x[i]);
  for (int i = 0; i < 3; i++) put_state(e, i, (double[]){1, 1, 0, 0});
  const float actions[6] = {0.1f, 0, 0.1f, 0, 0.1f, 0};
  for (int k = 0; k < 60; k++) us_env_step(e, actions, NULL);
  for (int i = 0; i < 3; i++) {
    double now[4];
    get_state(e, i, now);
    assert_float_equal(now[0], 1.5 - 0.1 * (1 + 0.4 * (double)x[i]), 0.01);
  }
  us_env_close(e);
}

static int grow(mjModel* m, double x) {
  us_factor_resize(m, "mover", 1 + x);
  return 1;
}

// Geoms of another size are found by every stage of collision detection: a body of `pieces` of a
// shape runs into a fixed one alike.
static void meet(const char* shape, int pieces) {
  static const UsFactor own[] = {{"size", "of the mover", 1, grow}, {NULL, NULL, 0, NULL}};
  char scene[4096] = "", geoms[1024] = "";
  for (int i = 0; i < pieces; i++) {
    size_t used = strlen(geoms);
    snprintf(geoms + used, sizeof(geoms) - used, "<geom type='%s' size='.1 .1 .1' pos='0 %g 0'/>",
             shape, 0.5 * i);
  }
  snprintf(scene, sizeof(scene),
           "<mujoco><option timestep='0.005' gravity='0 0 0'/><worldbody><camera name='side'/>"
           "<body name='mover'><joint name='along' type='slide' axis='1 0 0' damping='50'/>%s"
           "</body><body pos='1 0 0'>%s</body></worldbody>"
           "<actuator><motor joint='along' gear='20'/></actuator></mujoco>",
           geoms, geoms);
  UsTask task = task_slide;
  task.scene = scene;
  task.factors = own;
  UsEnv* e = NULL;
  UsStatus status = us_env_open("sim:slide", (const UsTask*[]){&task, NULL},
                                &(UsEnvConfig){.slots = 3, .block = 1}, &e);
  if (status != US_OK) fail_msg("%s", us_message());
  us_env_reset(e, NULL, (uint64_t[]){0, 0, 0});
  const float x[3] = {-0.5f, 0, 1}, actions[3] = {1, 1, 1};
  for (int i = 0; i < 3; i++) vary_slot(e, i, "size", x[i]);
  for (int i = 0; i < 3; i++) put_state(e, i, (double[]){0, 0});
  for (int k = 0; k < 400; k++) us_env_step(e, actions, NULL);
  for (int i = 0; i < 3; i++) {
    double now[2];
    get_state(e, i, now);
    assert_float_equal(now[0], 0.9 - 0.1 * (1 + (double)x[i]), 0.01);
  }
  us_env_close(e);
}

static void resized_geoms_collide(void** state) {
  const char* const shapes[] = {"sphere", "capsule", "cylinder", "box", "ellipsoid"};
  for (int i = 0; i < US_COUNT(shapes); i++) {
    meet(shapes[i], 1);
    meet(shapes[i], 4);
  }
}

// What a goal means does not depend on the variation.
static void measures_mean_the_same(void** state) {
  for (int t = 0; us_tasks[t]; t++) {
    UsEnv* e = open_task(us_tasks[t], 2);
    const UsEnvInfo* info = us_env_info(e);
    for (int k = 0; k < 4; k++) {
      us_env_reset(e, NULL, (uint64_t[]){(uint64_t)k, (uint64_t)k + 10});
      double* goal = malloc(sizeof(double) * (size_t)info->state);
      double* now = malloc(sizeof(double) * (size_t)info->state);
      get_state(e, 0, now);
      get_state(e, 1, goal);
      float distance[2];
      for (int i = 0; i < 2; i++) {
        vary_slot(e, 0, "all", i ? 0.8f : -0.8f);
        put_state(e, 0, now);
        put_state(e, 1, now);
        UsObs obs[2] = {{.state = goal}, {.state = goal}};
        assert_int_equal(us_env_set_goal(e, 2, (int[]){0, 1}, obs), US_OK);
        us_env_score(e, 2, (int[]){0, 1}, distance, NULL);
        assert_true(distance[0] > 0);
        assert_memory_equal(&distance[0], &distance[1], sizeof(float));
      }
      free(goal), free(now);
    }
    us_env_close(e);
  }
}

// ---- a slot and its variation ----

// Plays BLOCKS blocks from the present in one slot: out (S).
static void play_on(UsEnv* e, int slot, double* out) {
  const UsEnvInfo* info = us_env_info(e);
  size_t length = (size_t)(info->block * info->action);
  float* actions = random_actions(9, length * BLOCKS, 1);
  float* all = calloc((size_t)info->slots * length, sizeof(float));
  for (int b = 0; b < BLOCKS; b++) {
    memcpy(all + (size_t)slot * length, actions + (size_t)b * length, sizeof(float) * length);
    us_env_step(e, all, NULL);
  }
  get_state(e, slot, out);
  free(actions), free(all);
}

static void variations_go_with_the_slot(void** state) {
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = N});
  UsEnv* other = open_env("sim:pointmaze", NULL);
  char* bytes = malloc(us_env_save_size(e));
  char* plain = malloc(us_env_save_size(e));
  double want[4], got[4], base[4];
  us_env_reset(e, NULL, (uint64_t[]){1, 2, 3, 4, 5});
  us_env_save(e, 1, plain);
  play_on(e, 1, base);
  vary_slot(e, 1, "physical", 0.9f);
  us_env_restore(e, 1, plain);  // of a time without variation
  play_on(e, 1, got);
  assert_memory_equal(base, got, sizeof(got));

  us_env_restore(e, 1, plain);
  vary_slot(e, 1, "physical", 0.9f);
  us_env_save(e, 1, bytes);
  us_env_fork(e, 1, 2, (int[]){0, 3});
  play_on(e, 1, want);
  assert_memory_not_equal(base, want, sizeof(got));
  for (int slot = 0; slot < N; slot++) {
    if (slot != 0 && slot != 3) us_env_restore(e, slot, bytes);
    if (slot == 3) us_env_fork(e, 2, 1, (int[]){3});  // of one that has played on, then the bytes
    if (slot == 3) us_env_restore(e, slot, bytes);
    play_on(e, slot, got);
    assert_memory_equal(want, got, sizeof(got));
  }
  us_env_restore(other, 0, bytes);  // an env that knew no variation yet
  play_on(other, 0, got);
  assert_memory_equal(want, got, sizeof(got));

  us_env_restore(e, 1, plain);
  us_env_fork(e, 1, 1, (int[]){2});  // away from a variation
  play_on(e, 2, got);
  assert_memory_equal(base, got, sizeof(got));
  free(bytes), free(plain);
  us_env_close(e);
  us_env_close(other);
}

static void variations_outlive_resets(void** state) {
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = 2});
  double a[4], b[4], c[4];
  us_env_reset(e, NULL, (uint64_t[]){1, 2});
  vary_slot(e, 0, "mass,damping", -1);
  play_on(e, 0, a);
  us_env_reset(e, NULL, (uint64_t[]){1, 2});
  play_on(e, 0, b);
  assert_memory_equal(a, b, sizeof(a));
  us_env_reset(e, NULL, (uint64_t[]){1, 2});
  char* bytes = malloc(us_env_save_size(e));
  us_env_save(e, 0, bytes);
  us_env_restore(e, 1, bytes);
  free(bytes);
  play_on(e, 1, b);
  assert_memory_equal(a, b, sizeof(a));
  us_sim_vary(e, &(UsVary){0}, 1, (int[]){0}, NULL);
  us_env_reset(e, NULL, (uint64_t[]){1, 2});
  play_on(e, 0, c);
  assert_memory_not_equal(a, c, sizeof(a));
  us_env_close(e);
}

// A rollout of a slot in a variation gives the rewards of stepping that slot, and leaves slots
// without one as they are in an env of their own.
static void rollouts_use_the_slot_model(void** state) {
  enum { SAMPLES = 60, H = 2 };  // more copies than the simulator plays at once
  UsPool* pool = us_pool_create(2);
  UsEnv* e = open_env("sim:pointmaze", &(UsEnvConfig){.slots = N, .pool = pool});
  const UsEnvInfo* info = us_env_info(e);
  size_t length = (size_t)(info->block * info->action);
  int slots[N];
  us_env_reset(e, NULL, (uint64_t[]){1, 2, 3, 4, 5});
  double goal[4] = {0.3, 1, 0, 0};
  for (int i = 0; i < N; i++) {
    slots[i] = i;
    if (i != 2) vary_slot(e, i, "all", (float)i / N - 0.5f);
    assert_int_equal(us_env_set_goal(e, 1, &i, &(UsObs){.state = goal}), US_OK);
  }
  float* actions = random_actions(1, N * SAMPLES * H * length, 1);
  float* rewards = malloc(sizeof(float) * N * SAMPLES * H);
  float* all = malloc(sizeof(float) * N * length);
  us_env_rollout(e, N, slots, SAMPLES, H, actions, rewards);
  const int samples[] = {0, 1, SAMPLES - 1};
  char* bytes[N];
  for (int i = 0; i < N; i++) us_env_save(e, i, bytes[i] = malloc(us_env_save_size(e)));
  for (int k = 0; k < US_COUNT(samples); k++) {
    for (int i = 0; i < N; i++) us_env_restore(e, i, bytes[i]);
    for (int h = 0; h < H; h++) {
      float reward[N];
      for (int i = 0; i < N; i++) {
        size_t from = ((size_t)i * SAMPLES + (size_t)samples[k]) * H + (size_t)h;
        memcpy(all + (size_t)i * length, actions + from * length, sizeof(float) * length);
      }
      us_env_step(e, all, &(UsStep){.reward = reward});
      for (int i = 0; i < N; i++) {
        float want = rewards[(i * SAMPLES + samples[k]) * H + h];
        assert_memory_equal(&reward[i], &want, sizeof(float));
      }
    }
  }
  for (int i = 0; i < N; i++) free(bytes[i]);
  free(actions), free(rewards), free(all);
  us_env_close(e);
  us_pool_destroy(pool);
}

// ---- choosing and drawing ----

static void names_choose_factors(void** state) {
  UsEnv* e = open_env("sim:pointmaze", NULL);
  const UsFactor* const* list;
  int count = us_sim_factors(e, &list);
  char text[1024];
  UsVary v = choose(e, "mass,camera_roll,camera,mass");
  us_vary_names(&v, e, text, sizeof(text));
  assert_string_equal(text, "mass,camera_roll,camera_x,camera_y,camera_zoom");
  assert_int_equal(choose(e, "all").count, count);
  assert_int_equal(choose(e, "visual,physical").count, count);
  assert_int_equal(choose(e, "light").count, 2);  // the scene has no lights to tilt
  const char* const wrong[] = {
      "colur", "", "mass,", ",mass", "camera_", "mass camera", "light_angle", "friction", "cam"};
  for (int i = 0; i < US_COUNT(wrong); i++) {
    assert_int_equal(us_vary_choose("--vary", wrong[i], e, &v), US_USAGE);
    assert_one_line(us_message());
    assert_non_null(strstr(us_message(), "--vary: expected factors of pointmaze ("));
    assert_non_null(strstr(us_message(), "colour_object"));
    assert_non_null(strstr(us_message(), "size"));
  }
  UsVaryRange range;
  assert_int_equal(us_vary_range("--vary-range", "held", &range), US_USAGE);
  assert_string_equal(us_message(), "--vary-range: expected train, test or all, found \"held\"");
  us_env_close(e);
}

static void refuse_names(UsEnv* e, const char* names, int width, const char* found) {
  UsVary v = {.count = 1};
  assert_int_equal(us_vary_read("held.h5", names, width, e, &v), US_FORMAT);
  assert_int_equal(v.count, 0);
  assert_one_line(us_message());
  assert_true(strncmp(us_message(), "held.h5: expected ", 18) == 0);
  if (!strstr(us_message(), found)) fail_msg("expected \"%s\" in: %s", found, us_message());
}

// A file's names are as many as its numbers: what --vary takes beside names is none there.
static void names_of_files_are_factors_one_by_one(void** state) {
  UsEnv* e = open_env("sim:pointmaze", NULL);
  char text[1024];
  UsVary all = choose(e, "all"), v;
  us_vary_names(&all, e, text, sizeof(text));
  assert_int_equal(us_vary_read("held.h5", text, all.count, e, &v), US_OK);
  assert_memory_equal(&v, &all, sizeof(v));
  assert_int_equal(us_vary_read("held.h5", "mass,camera_roll", 2, e, &v), US_OK);
  us_vary_names(&v, e, text, sizeof(text));
  assert_string_equal(text, "mass,camera_roll");
  const char* const wrong[] = {"camera", "light",       "visual",   "physical", "all",
                               "colur",  "light_angle", "friction", "camera_",  "mas"};
  for (int i = 0; i < US_COUNT(wrong); i++) {
    char names[64], found[64];
    snprintf(names, sizeof(names), "mass,%s", wrong[i]);
    snprintf(found, sizeof(found), ", each by its own name, found \"%s\"", wrong[i]);
    refuse_names(e, names, 2, "factors of pointmaze (light_level,");
    refuse_names(e, names, 2, found);
    refuse_names(e, wrong[i], choose(e, "all").count, found);
  }
  refuse_names(e, "", 0, "found \"\"");
  refuse_names(e, "mass,", 2, "found \"\"");
  refuse_names(e, "mass,\n", 2, "found \"\\n\"");
  refuse_names(e, "mass,size,mass", 3, "every factor once, found mass twice");
  refuse_names(e, "mass,size", 3, "a name for each of 3 factors a row, found 2");
  refuse_names(e, "mass,size", 1, "a name for each of 1 factors a row, found 2");
  us_env_close(e);
}

static void ranges_are_disjoint(void** state) {
  enum { DRAWS = 2000 };
  const double low[] = {0, 0.75, 0}, high[] = {0.7, 1, 1};
  UsEnv* e = open_env("sim:wall", NULL);
  UsVary v = choose(e, "all");
  for (int r = 0; r < US_VARY_COUNT; r++) {
    double least = 2, most = 0, sum = 0;
    for (int k = 0; k < DRAWS; k++) {
      float values[US_FACTORS];
      us_vary_draw(&v, e, (UsVaryRange)r, (uint64_t)k, values);
      for (int i = 0; i < v.count; i++) {
        double x = fabs((double)values[i]);
        assert_true(x >= low[r] - 1e-6 && x <= high[r] + 1e-6);
        least = fmin(least, x);
        most = fmax(most, x);
        sum += (double)values[i];
      }
    }
    assert_true(least < low[r] + 0.01 && most > high[r] - 0.01);
    assert_true(fabs(sum / DRAWS / v.count) < 0.03);
  }
  us_env_close(e);
}

// A number depends on the seed and its name, not on its company.
static void draws_do_not_depend_on_company(void** state) {
  UsEnv* e = open_env("sim:pointmaze", NULL);
  UsVary all = choose(e, "all"), one = choose(e, "damping");
  float values[US_FACTORS], value, other;
  for (uint64_t seed = 0; seed < 20; seed++) {
    us_vary_draw(&all, e, US_VARY_train, seed, values);
    us_vary_draw(&one, e, US_VARY_train, seed, &value);
    us_vary_draw(&one, e, US_VARY_train, seed + 1, &other);
    int at = 0;
    while (all.factor[at] != one.factor[0]) at++;
    assert_memory_equal(&values[at], &value, sizeof(float));
    assert_memory_not_equal(&other, &value, sizeof(float));
    for (int i = 0; i < all.count; i++) {
      for (int k = 0; k < i; k++) assert_true(values[i] != values[k]);
    }
  }
  us_env_close(e);
}

// Over episodes the numbers of two factors have nothing to do with each other.
static void factors_are_independent(void** state) {
  enum { DRAWS = 4000 };
  UsEnv* e = open_env("sim:pointmaze", NULL);
  UsVary v = choose(e, "all");
  double product[US_FACTORS][US_FACTORS] = {{0}};
  for (int k = 0; k < DRAWS; k++) {
    float x[US_FACTORS];
    us_vary_draw(&v, e, US_VARY_test, (uint64_t)k << 32 | (uint64_t)k, x);
    for (int i = 0; i < v.count; i++) {
      for (int j = 0; j < i; j++) product[i][j] += (double)(x[i] * x[j]);
    }
  }
  for (int i = 0; i < v.count; i++) {
    for (int j = 0; j < i; j++) assert_true(fabs(product[i][j] / DRAWS) < 0.06);
  }
  us_env_close(e);
}

// ---- a task's own ----

static int lift(mjModel* m, double x) {
  m->opt.gravity[2] = x;
  return 1;
}

static void tasks_can_replace_and_drop_general_factors(void** state) {
  static const UsFactor own[] = {{"mass", "not the general one", 1, lift},
                                 {"camera_x", "makes no sense", 0, NULL},
                                 {NULL, NULL, 0, NULL}};
  UsTask task = us_task_wall;
  task.factors = own;
  UsEnv* e = NULL;
  assert_int_equal(us_env_open("sim:wall", (const UsTask*[]){&task, NULL}, NULL, &e), US_OK);
  const UsFactor* const* list;
  int count = us_sim_factors(e, &list), masses = 0;
  for (int i = 0; i < count; i++) {
    assert_string_not_equal(list[i]->name, "camera_x");
    if (strcmp(list[i]->name, "mass") != 0) continue;
    assert_ptr_equal(list[i], own);
    masses++;
  }
  assert_int_equal(masses, 1);
  us_env_close(e);

  const UsFactor twice[] = {own[0], own[0], own[2]}, nameless[] = {{"a,b", "", 0, lift}, own[2]};
  const UsFactor* const wrong[] = {twice, nameless};
  for (int i = 0; i < 2; i++) {
    task.factors = wrong[i];
    assert_int_equal(us_env_open("sim:wall", (const UsTask*[]){&task, NULL}, NULL, &e),
                     US_UNSUPPORTED);
    assert_one_line(us_message());
    assert_non_null(strstr(us_message(), "factors["));
  }
}

// Numbers that no factor has, and slots that there are none of, are refused and change nothing.
static void refused_values(void** state) {
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.slots = 2});
  const UsVary one = {.count = 1};
  const mjModel* before = us_sim_slot_model(e, 1);
  assert_int_equal(us_sim_vary(e, &one, 2, (int[]){0, 1}, (float[]){0.5f, 1.5f}), US_USAGE);
  assert_non_null(strstr(us_message(), "sim:wall: expected factors of variation in -1 .. 1"));
  assert_int_equal(us_sim_vary(e, &one, 1, (int[]){1}, (float[]){NAN}), US_USAGE);
  assert_int_equal(us_sim_vary(e, &one, 1, (int[]){2}, (float[]){0}), US_USAGE);
  assert_ptr_equal(us_sim_slot_model(e, 0), before);
  assert_int_equal(us_sim_vary(e, &one, 1, (int[]){1}, (float[]){1}), US_OK);
  assert_ptr_not_equal(us_sim_slot_model(e, 1), before);
  us_env_close(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refused_values),
      cmocka_unit_test(visual_factors_leave_physics_alone),
      cmocka_unit_test(numbers_are_what_the_summaries_say),
      cmocka_unit_test(mass_is_that_of_another_scene),
      cmocka_unit_test(friction_brakes),
      cmocka_unit_test(size_is_felt_at_walls),
      cmocka_unit_test(resized_geoms_collide),
      cmocka_unit_test(measures_mean_the_same),
      cmocka_unit_test(variations_go_with_the_slot),
      cmocka_unit_test(variations_outlive_resets),
      cmocka_unit_test(rollouts_use_the_slot_model),
      cmocka_unit_test(names_choose_factors),
      cmocka_unit_test(names_of_files_are_factors_one_by_one),
      cmocka_unit_test(ranges_are_disjoint),
      cmocka_unit_test(factors_are_independent),
      cmocka_unit_test(draws_do_not_depend_on_company),
      cmocka_unit_test(tasks_can_replace_and_drop_general_factors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
