// Rendering: frames are functions of the state, for any batch, number of threads, worker and env.

#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/env/env_help.h"

enum { N = 7, SIZE = 48, FRAME = SIZE * SIZE * 3 };

static const char* const names[] = {"sim:pointmaze", "sim:wall"};

// In a process of its own, before this one starts OpenGL: no driver gives one line and US_GL.
static void missing_gl_is_one_line(void** state) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  if (child == 0) {
    setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent/egl.json", 1);
    UsEnv* e = NULL;
    UsEnvConfig config = {.pixels = 1};
    UsStatus status = us_env_open("sim:wall", us_tasks, &config, &e);
    const char* text = e ? "opened" : us_message();
    if (write(ends[1], text, strlen(text)) < 0) _exit(99);
    config.pixels = 0;
    if (us_env_open("sim:wall", us_tasks, &config, &e) != US_OK) _exit(98);
    uint8_t pixels[64 * 64 * 3];
    if (us_env_render(e, 1, (int[]){0}, pixels) != US_GL) _exit(97);
    _exit((int)status);
  }
  close(ends[1]);
  char text[1024] = "";
  assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), US_GL);
  assert_one_line(text);
  assert_non_null(strstr(text, "sim:wall"));
  assert_non_null(strstr(text, "libegl1"));
}

static void missing_camera_is_one_line(void** state) {
  UsTask task = us_task_wall;
  task.camera = "nowhere";
  UsEnv* e = NULL;
  assert_int_equal(
      us_env_open("sim:wall", (const UsTask*[]){&task, NULL}, &(UsEnvConfig){.pixels = 1}, &e),
      US_MUJOCO);
  assert_null(e);
  assert_one_line(us_message());
  assert_non_null(strstr(us_message(), "nowhere"));
}

// Frames (N) of seeds 0 .. N - 1 after one block, drawn in envs of n slots.
static void draw(const char* name, int n, UsPool* pool, uint8_t* frames) {
  for (int first = 0; first < N; first += n) {
    UsEnv* e =
        open_env(name, &(UsEnvConfig){.slots = n, .height = SIZE, .pixels = 1, .pool = pool});
    uint64_t seeds[N];
    int slots[N];
    for (int i = 0; i < n; i++) {
      seeds[i] = (uint64_t)(first + i);
      slots[i] = i;
    }
    us_env_reset(e, NULL, seeds);
    float* actions = random_actions(3, 10, 1);
    float played[N * 10];
    for (int i = 0; i < n; i++) memcpy(played + i * 10, actions, sizeof(float) * 10);
    us_env_step(e, played, NULL);
    int now = N - first < n ? N - first : n;
    assert_int_equal(us_env_render(e, now, slots, frames + (size_t)first * FRAME), US_OK);
    free(actions);
    us_env_close(e);
  }
}

static void batches_equal_singles(void** state) {
  uint8_t* single = malloc(N * FRAME);
  uint8_t* batch = malloc(N * FRAME);
  UsPool* pool = us_pool_create(2);
  for (int t = 0; t < US_COUNT(names); t++) {
    memset(single, 0, N * FRAME);
    draw(names[t], 1, NULL, single);
    const int sizes[] = {3, 7};
    for (int k = 0; k < US_COUNT(sizes); k++) {
      for (int p = 0; p < 2; p++) {
        memset(batch, 255, N * FRAME);
        draw(names[t], sizes[k], p ? pool : NULL, batch);
        assert_memory_equal(single, batch, N * FRAME);
      }
    }
  }
  us_pool_destroy(pool);
  free(single);
  free(batch);
}

// Equal states reached by other ways give equal frames, and the picture moves with the state.
static void frames_follow_states(void** state) {
  for (int t = 0; t < US_COUNT(names); t++) {
    UsEnv* e = open_env(names[t], &(UsEnvConfig){.slots = 3, .height = SIZE, .pixels = 1});
    us_env_reset(e, NULL, (uint64_t[]){1, 2, 3});
    float* actions = random_actions(1, 30, 1);
    us_env_step(e, actions, NULL);
    free(actions);
    double now[4];
    get_state(e, 0, now);
    put_state(e, 1, now);
    us_env_fork(e, 0, 1, (int[]){2});
    uint8_t* frames = malloc(4 * FRAME);
    assert_int_equal(us_env_render(e, 4, (int[]){2, 0, 1, 0}, frames), US_OK);
    for (int i = 1; i < 4; i++) assert_memory_equal(frames, frames + i * FRAME, FRAME);
    now[0] += 0.05;
    put_state(e, 1, now);
    UsObs obs = {.pixels = frames};
    assert_int_equal(us_env_look(e, 1, (int[]){1}, &obs), US_OK);
    assert_memory_not_equal(frames, frames + FRAME, FRAME);
    free(frames);
    us_env_close(e);
  }
}

// Where the agent is, weighted by redness: the mean column and row, as fractions of the side.
static void find_agent(const uint8_t* frame, int height, int width, double* x, double* y) {
  double weight = 0;
  *x = *y = 0;
  for (int v = 0; v < height; v++) {
    for (int u = 0; u < width; u++) {
      const uint8_t* p = frame + ((size_t)v * (size_t)width + (size_t)u) * 3;
      double red = p[0] > p[1] + 20 ? p[0] - p[1] : 0;
      weight += red;
      *x += red * (u + 0.5) / width;
      *y += red * (v + 0.5) / height;
    }
  }
  assert_true(weight > 0);
  *x /= weight;
  *y /= weight;
}

// Rows run from top to bottom, columns from left to right, at any size.
static void pictures_show_positions(void** state) {
  const int sizes[] = {64, 33, 256};
  const double metres[] = {3.4, 2.12};  // side of the picture
  for (int t = 0; t < US_COUNT(names); t++) {
    for (int k = 0; k < US_COUNT(sizes); k++) {
      int size = sizes[k];
      UsEnv* e = open_env(names[t], &(UsEnvConfig){.height = size, .pixels = 1});
      uint8_t* frame = malloc((size_t)size * (size_t)size * 3);
      double at[4] = {0.5, 0.8, 0, 0}, x, y;
      put_state(e, 0, at);
      assert_int_equal(us_env_render(e, 1, (int[]){0}, frame), US_OK);
      find_agent(frame, size, size, &x, &y);
      assert_float_equal(x, 0.5 + at[0] / metres[t], 0.3 / size);
      assert_float_equal(y, 0.5 - at[1] / metres[t], 0.3 / size);
      free(frame);
      us_env_close(e);
    }
  }
}

static void sides_may_differ(void** state) {
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.height = 40, .width = 60, .pixels = 1});
  uint8_t frame[40 * 60 * 3];
  double at[4] = {0.5, 0.5, 0, 0}, x, y;
  put_state(e, 0, at);
  assert_int_equal(us_env_render(e, 1, (int[]){0}, frame), US_OK);
  find_agent(frame, 40, 60, &x, &y);
  assert_float_equal(y, 0.5 - 0.5 / 2.12, 0.3 / 40);
  assert_float_equal(x, 0.5 + 0.5 / 2.12 * 40 / 60, 0.3 / 60);
  us_env_close(e);
}

// A context is current while it draws, so that any thread may close it.
static void no_context_stays_current(void** state) {
  UsEnv* e = open_env("sim:wall", &(UsEnvConfig){.height = SIZE, .pixels = 1});
  uint8_t frame[FRAME];
  void* lib = dlopen("libEGL.so.1", RTLD_NOW);
  assert_non_null(lib);
  void* (*current)(void) = (void* (*)(void))dlsym(lib, "eglGetCurrentContext");
  assert_null(current());
  assert_int_equal(us_env_render(e, 1, (int[]){0}, frame), US_OK);
  assert_null(current());
  dlclose(lib);
  us_env_close(e);
}

// Two envs may be open at once, and one may close before the other.
static void envs_do_not_disturb_each_other(void** state) {
  UsPool* pool = us_pool_create(2);
  UsEnv* a = open_env("sim:wall", &(UsEnvConfig){.slots = N, .height = SIZE, .pool = pool});
  UsEnv* b = open_env("sim:pointmaze", &(UsEnvConfig){.slots = N, .height = 20, .pool = pool});
  const uint64_t seeds[N] = {1, 2, 3, 4, 5, 6, 7};
  const int slots[N] = {0, 1, 2, 3, 4, 5, 6};
  us_env_reset(a, NULL, seeds);
  us_env_reset(b, NULL, seeds);
  uint8_t* first = malloc(N * FRAME);
  uint8_t* again = malloc(N * FRAME);
  assert_int_equal(us_env_render(a, N, slots, first), US_OK);
  assert_int_equal(us_env_render(b, N, slots, again), US_OK);
  assert_int_equal(us_env_render(a, N, slots, again), US_OK);
  assert_memory_equal(first, again, N * FRAME);
  us_env_close(b);
  assert_int_equal(us_env_render(a, N, slots, again), US_OK);
  assert_memory_equal(first, again, N * FRAME);
  us_env_close(a);
  us_pool_destroy(pool);
  free(first);
  free(again);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(missing_gl_is_one_line),   cmocka_unit_test(missing_camera_is_one_line),
      cmocka_unit_test(batches_equal_singles),    cmocka_unit_test(frames_follow_states),
      cmocka_unit_test(pictures_show_positions),  cmocka_unit_test(sides_may_differ),
      cmocka_unit_test(no_context_stays_current), cmocka_unit_test(envs_do_not_disturb_each_other),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
