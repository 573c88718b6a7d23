// Goals from outside: each source gives what it holds, the simulator draws what it does not, and
// what is none is refused by name.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "datasets/collect.h"
#include "datasets/goal.h"
#include "env/task.h"
#include "tasks/tasks.h"

enum { kSide = 64, kFrame = kSide * kSide * 3 };

static char folder[] = "/tmp/us_goal_XXXXXX", data[64], png[64];
static UsEnv* sim;

static void read_as(const char* text, UsEnv* with, int side, UsGoal* out) {
  if (us_goal_read(text, with, side, side, out) != US_OK) fail_msg("%s", us_message());
}

static void refuse(const char* text, UsEnv* with, int height, int width, UsStatus status,
                   const char* words) {
  UsGoal g;
  UsStatus found = us_goal_read(text, with, height, width, &g);
  if (found != status || !strstr(us_message(), words)) {
    fail_msg("%s: status %d, %s", text, found, us_message());
  }
  assert_true(!g.pixels && !g.state);
}

// ---- a PNG, by its specification: chunks with CRC-32, stored blocks of deflate ----

static uint32_t crc(uint32_t c, const uint8_t* x, size_t n) {
  for (c = ~c; n--; x++) {
    c ^= *x;
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
  }
  return ~c;
}

static void put_chunk(FILE* f, const char* type, const uint8_t* x, size_t n) {
  uint8_t* all = malloc(n + 4);
  memcpy(all, type, 4);
  if (n) memcpy(all + 4, x, n);
  uint32_t sum = crc(0, all, n + 4), length = (uint32_t)n;
  for (int k = 3; k >= 0; k--) fputc((int)(length >> 8 * k & 255), f);
  fwrite(all, 1, n + 4, f);
  for (int k = 3; k >= 0; k--) fputc((int)(sum >> 8 * k & 255), f);
  free(all);
}

static void write_png(const char* path, const uint8_t* pixels) {
  enum { kRow = 1 + kSide * 3, kAll = kSide * kRow };  // a filter byte before each row
  static uint8_t z[2 + kAll + 5 + 4];
  const uint8_t head[13] = {0, 0, 0, kSide, 0, 0, 0, kSide, 8, 2, 0, 0, 0};
  uint32_t a = 1, b = 0;
  size_t at = 0;
  z[at++] = 0x78, z[at++] = 1, z[at++] = 1;  // zlib; one stored block, the last
  z[at++] = kAll & 255, z[at++] = kAll >> 8, z[at++] = ~kAll & 255, z[at++] = ~kAll >> 8 & 255;
  for (int y = 0; y < kSide; y++) {
    z[at] = 0;
    memcpy(z + at + 1, pixels + (size_t)y * kSide * 3, kSide * 3);
    for (int k = 0; k < kRow; k++) a = (a + z[at + (size_t)k]) % 65521, b = (b + a) % 65521;
    at += kRow;
  }
  for (int k = 1; k >= 0; k--) z[at++] = (uint8_t)(b >> 8 * k);
  for (int k = 1; k >= 0; k--) z[at++] = (uint8_t)(a >> 8 * k);
  FILE* f = fopen(path, "wb");
  fwrite("\x89PNG\r\n\x1a\n", 1, 8, f);
  put_chunk(f, "IHDR", head, sizeof(head));
  put_chunk(f, "IDAT", z, at);
  put_chunk(f, "IEND", NULL, 0);
  fclose(f);
}

// ---- the sources ----

static void test_row(void** state) {
  char text[96];
  UsDataset* d;
  UsGoal g;
  static uint8_t want[kFrame];
  assert_int_equal(us_dataset_open(data, &d), US_OK);
  assert_int_equal(us_dataset_pixels(d, 17, 1, want), US_OK);
  snprintf(text, sizeof(text), "%s:17", data);
  assert_true(us_goal_has_state(text));
  read_as(text, NULL, kSide, &g);
  assert_true(g.states == 4 && g.height == kSide && g.width == kSide);
  assert_memory_equal(g.state, us_dataset_states(d) + 17 * 4, 4 * sizeof(double));
  assert_memory_equal(g.pixels, want, kFrame);
  us_goal_free(&g);
  us_goal_free(&g);  // again is fine
  // No frame where none is wanted.
  read_as(text, sim, 0, &g);
  assert_true(g.state && !g.pixels && us_goal_obs(&g).state == g.state);
  us_goal_free(&g);
  us_dataset_close(d);
  snprintf(text, sizeof(text), "%s:9999", data);
  refuse(text, sim, kSide, kSide, US_USAGE, "9999");
  snprintf(text, sizeof(text), "%s:3", data);
  refuse(text, NULL, 32, 32, US_FORMAT, "32 x 32");
  UsEnv* other;
  assert_int_equal(us_env_open("sim:wall", us_tasks, NULL, &other), US_OK);
  refuse(text, other, 0, 0, US_FORMAT, "wall");
  us_env_close(other);
}

// A state is drawn where a frame is wanted, and the simulator does not notice.
static void test_state(void** state) {
  const double there[4] = {-1, -1, 0, 0};
  const int slot = 0;
  UsGoal g;
  static uint8_t want[kFrame];
  void *before = malloc(us_env_save_size(sim)), *after = malloc(us_env_save_size(sim));
  us_env_reset(sim, NULL, (uint64_t[]){3});
  us_env_save(sim, slot, before);
  assert_true(us_goal_has_state("-1,-1,0,0") && !us_goal_has_state("goal.png"));
  read_as("-1,-1,0,0.0e0", sim, kSide, &g);
  us_env_save(sim, slot, after);
  assert_memory_equal(before, after, us_env_save_size(sim));
  assert_memory_equal(g.state, there, sizeof(there));
  const UsObs at = {.state = (double*)there, .first = 1};
  assert_int_equal(us_env_observe(sim, 1, &slot, &at), US_OK);
  assert_int_equal(us_env_render(sim, 1, &slot, want), US_OK);
  assert_memory_equal(g.pixels, want, kFrame);
  us_goal_free(&g);
  // Without a simulator a state is all that there is.
  read_as("1,2,3", NULL, kSide, &g);
  assert_true(g.states == 3 && !g.pixels);
  us_goal_free(&g);
  refuse("1,2,3", sim, 0, 0, US_FORMAT, "4 numbers");
  refuse("1,2,3,1e999", sim, 0, 0, US_FORMAT, "finite");
  refuse("1,1,0,0", sim, 32, 32, US_USAGE, "32 x 32");
  free(before);
  free(after);
}

static void test_picture(void** state) {
  static uint8_t want[kFrame];
  const int slot = 0;
  UsGoal g;
  us_env_reset(sim, NULL, (uint64_t[]){3});
  assert_int_equal(us_env_render(sim, 1, &slot, want), US_OK);
  write_png(png, want);
  assert_false(us_goal_has_state(png));
  read_as(png, sim, kSide, &g);
  assert_true(g.height == kSide && g.width == kSide && !g.state);
  assert_memory_equal(g.pixels, want, kFrame);
  us_goal_free(&g);
  read_as(png, NULL, 32, &g);
  assert_int_equal(g.width, 32);
  us_goal_free(&g);
  // A simulator has no use for it.
  const UsObs obs = {.pixels = want};
  assert_int_equal(us_env_set_goal(sim, 1, &slot, &obs), US_UNSUPPORTED);
  refuse(png, sim, 0, 0, US_UNSUPPORTED, "found a picture");
  refuse(png, sim, 32, 64, US_UNSUPPORTED, "square");
  refuse("/nowhere.png", sim, kSide, kSide, US_IO, "/nowhere.png");
  refuse("1,2,", sim, kSide, kSide, US_IO, "1,2,");
  assert_int_equal(truncate(png, 40), 0);
  refuse(png, sim, kSide, kSide, US_FORMAT, png);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  snprintf(data, sizeof(data), "%s/a.h5", folder);
  snprintf(png, sizeof(png), "%s/goal.png", folder);
  UsCollectConfig c = us_collect_defaults();
  UsCollectResult made;
  c.task = "pointmaze", c.tasks = us_tasks, c.episodes = 2, c.steps = 12, c.out = data;
  if (us_collect(&c, &made) != US_OK) return 1;
  if (us_env_open("sim:pointmaze", us_tasks, NULL, &sim) != US_OK) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_row), cmocka_unit_test(test_state),
                                     cmocka_unit_test(test_picture)};
  int failed = cmocka_run_group_tests_name("goal", tests, NULL, NULL);
  us_env_close(sim);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
