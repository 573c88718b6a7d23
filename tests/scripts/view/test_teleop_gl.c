// What is driven is what is recorded: the very actions and states, episode by episode, with the
// last taken back, gone on with later, in a simulator and on a robot behind a pipe.

#include <unistd.h>

#include "datasets/robots.h"
#include "scripts/view/view_teleop.h"
#include "tasks/exec_task.h"
#include "tests/scripts/show_help.h"

enum { LONGEST = 12 };

// Drives `steps` steps of an action of its own, and gives the state behind them.
static void drive(UsTeleop* t, UsShow* show, int steps, float x, float y, double* last) {
  const float action[US_TASK_ACTIONS] = {x, y};
  assert_int_equal(us_show_reset(show, us_teleop_seed(t), 0), US_OK);
  assert_int_equal(us_teleop_begin(t), US_OK);
  assert_false(us_teleop_has_begun(t));
  for (int i = 0; i < steps; i++) {
    assert_int_equal(us_show_step(show, action), US_OK);
    assert_int_equal(us_teleop_note(t), US_OK);
  }
  if (last) memcpy(last, show->state, 2 * sizeof(double));
}

static void keep(UsTeleop* t, int expected) {
  int kept;
  assert_int_equal(us_teleop_keep(t, &kept), US_OK);
  assert_int_equal(kept, expected);
}

static UsTeleop* teleop_open(Here* h, const char* task, const char* file, int resume) {
  UsShowConfig config = {.task = task, .seed = 5};
  UsTeleop* t;
  *h = here_open(&config, 64);
  UsTeleopConfig c = {
      .out = path_of(file), .episodes = 4, .longest = LONGEST, .resume = resume, .seed = 5};
  if (us_teleop_open(&c, &h->show, &t) != US_OK) fail_msg("%s", us_message());
  return t;
}

// Episode e of a file: its length, and an action of it that all its steps have.
static void check_episode(const UsDataset* d, int e, int length, float x, float y,
                          const double* last) {
  const UsDatasetInfo* info = us_dataset_info(d);
  const int64_t from = us_dataset_offsets(d)[e];
  assert_int_equal(us_dataset_lengths(d)[e], length);
  for (int i = 0; i < length; i++) {
    const float* a = us_dataset_actions(d) + (from + i) * info->action;
    if (i < length - 1) assert_true(a[0] == x && a[1] == y);
    if (i == length - 1) assert_true(isnan(a[0]) && isnan(a[1]));
    assert_int_equal(us_dataset_truncated(d)[from + i], i == length - 1);
  }
  const double* end = us_dataset_states(d) + (from + length - 1) * info->state;
  assert_memory_equal(end, last, 2 * sizeof(double));
}

// Episodes of a file, in a simulator or of a robot.
static void check_recording(const char* task, const char* file) {
  double last[3][2];
  Here h;
  UsTeleop* t = teleop_open(&h, task, file, 0);
  drive(t, &h.show, 5, 0.5f, -1, last[0]);
  keep(t, 1);
  drive(t, &h.show, 7, -0.25f, 0, NULL);
  keep(t, 1);
  // The last is taken back; what nobody drove, or is given up, is not kept.
  drive(t, &h.show, 0, 0, 0, NULL);
  keep(t, 0);
  assert_int_equal(us_teleop_count(t), 2);
  assert_int_equal(us_teleop_undo(t), 1);
  assert_int_equal(us_teleop_undo(t), 0);
  assert_int_equal(us_teleop_count(t), 1);
  drive(t, &h.show, 3, 1, 1, NULL);
  assert_int_equal(us_teleop_undo(t), 0);
  // A longer one ends by itself.
  drive(t, &h.show, LONGEST, 0.75f, 0.5f, last[1]);
  assert_true(us_teleop_is_full(t));
  keep(t, 1);
  assert_int_equal(us_teleop_close(t), US_OK);
  here_close(&h);
  // Another run goes on behind them.
  t = teleop_open(&h, task, file, 1);
  assert_int_equal(us_teleop_count(t), 2);
  drive(t, &h.show, 4, 0, 0.5f, last[2]);
  keep(t, 1);
  assert_false(us_teleop_is_complete(t));
  assert_int_equal(us_teleop_close(t), US_OK);
  here_close(&h);
  UsDataset* d;
  assert_int_equal(us_dataset_open(path_of(file), &d), US_OK);
  assert_int_equal(us_dataset_info(d)->episodes, 3);
  assert_string_equal(us_dataset_info(d)->policy, "teleop");
  check_episode(d, 0, 6, 0.5f, -1, last[0]);
  check_episode(d, 1, LONGEST + 1, 0.75f, 0.5f, last[1]);
  check_episode(d, 2, 5, 0, 0.5f, last[2]);
  us_dataset_close(d);
  DONE("dataset verify %s", path_of(file));
}

static void test_simulator(void** state) {
  check_recording("wall", "wall.h5");
  // Frames are those of the states: the first row's of the first episode.
  Here h;
  UsDataset* d;
  const int slot = 0;
  UsShowConfig config = {.task = "wall", .seed = 1};
  h = here_open(&config, 64);
  assert_int_equal(us_dataset_open(path_of("wall.h5"), &d), US_OK);
  const UsDatasetInfo* info = us_dataset_info(d);
  const size_t bytes = (size_t)info->height * (size_t)info->width * 3;
  uint8_t *kept = malloc(bytes), *drawn = malloc(bytes);
  UsObs obs = {.state = (double*)us_dataset_states(d), .first = 1};
  assert_int_equal(us_env_observe(h.show.sim, 1, &slot, &obs), US_OK);
  assert_int_equal(us_env_render(h.show.sim, 1, &slot, drawn), US_OK);
  assert_int_equal(us_dataset_pixels(d, 0, 1, kept), US_OK);
  assert_memory_equal(kept, drawn, bytes);
  free(kept);
  free(drawn);
  us_dataset_close(d);
  here_close(&h);
}

static void test_robot(void** state) {
  const char* const argv[] = {"view", "--task",
                              "exec:python3 " US_SOURCE_DIR "/tests/scripts/robot.py", NULL};
  char* task = NULL;
  const struct poptOption table[] = {{"task", 0, POPT_ARG_STRING, &task, 0, NULL, NULL},
                                     POPT_TABLEEND};
  if (system("python3 -c 1 >/dev/null 2>&1") != 0) skip();
  assert_int_equal(us_cli_parse(3, (const char**)argv, table, "", "", NULL, 0), -1);
  check_recording(task, "robot.h5");
  us_cli_close_tasks();
  free(task);
}

// A robot of one's own is kept with what is driven, as collect keeps it.
static void test_robot_is_kept(void** state) {
  FILE* f = fopen(path_of("slide.xml"), "w");
  fputs(
      "<mujoco><worldbody><body><joint name='x' type='slide' range='-1 1'/>"
      "<joint name='y' type='slide' axis='0 1 0' range='-1 1'/><geom size='.2'/></body>"
      "</worldbody><actuator><motor joint='x'/><motor joint='y'/></actuator></mujoco>",
      f);
  fclose(f);
  char option[256];
  snprintf(option, sizeof(option), "mjcf:%s", path_of("slide.xml"));
  const char* const argv[] = {"view", "--task", option, NULL};
  char* task = NULL;
  const struct poptOption table[] = {{"task", 0, POPT_ARG_STRING, &task, 0, NULL, NULL},
                                     POPT_TABLEEND};
  assert_int_equal(us_cli_parse(3, (const char**)argv, table, "", "", NULL, 0), -1);
  Here h;
  UsRobot kept = {0};
  UsTeleop* t = teleop_open(&h, task, "slide.h5", 0);
  drive(t, &h.show, 3, 1, 0, NULL);
  keep(t, 1);
  assert_int_equal(us_teleop_close(t), US_OK);
  here_close(&h);
  us_cli_close_tasks();
  free(task);
  assert_int_equal(us_data_robot(path_of("slide.h5"), &kept), US_OK);
  assert_true(kept.count > 0);
  us_robot_free(&kept);
}

// Without an episode no file is left; one that is there is not replaced by accident.
static void test_nothing_kept(void** state) {
  Here h;
  UsTeleop* t = teleop_open(&h, "wall", "none.h5", 0);
  drive(t, &h.show, 3, 1, 1, NULL);
  assert_int_equal(us_teleop_close(t), US_OK);
  assert_false(us_file_exists(path_of("none.h5")) || us_file_exists(path_of("none.h5.tmp")));
  UsTeleopConfig c = {.out = path_of("wall.h5"), .episodes = 4, .longest = LONGEST};
  assert_int_equal(us_teleop_open(&c, &h.show, &t), US_IO);
  assert_non_null(strstr(us_message(), "--resume goes on"));
  here_close(&h);
}

static void test_words(void** state) {
  static const char* const wrong[] = {"--policy random", "--plan cem", "--record x.png",
                                      "--resume --overwrite"};
  for (int i = 0; i < 4; i++) {
    Run r = command("view --task wall --collect %s %s", path_of("x.h5"), wrong[i]);
    assert_int_equal(r.code, 2);
    assert_int_equal(lines_of(r.err), 1);
  }
  assert_int_equal(command("view --task wall --resume").code, 2);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_simulator),     cmocka_unit_test(test_robot),
      cmocka_unit_test(test_robot_is_kept), cmocka_unit_test(test_nothing_kept),
      cmocka_unit_test(test_words),
  };
  int failed = cmocka_run_group_tests_name("teleop", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
