// Robots behind a pipe. The robot is this program itself, run with a word that says how it behaves:
// well, or badly in one of many ways. What goes wrong is one line; nothing is left behind.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env/exec.h"
#include "env/sim.h"
#include "tasks/exec_task.h"
#include "worldmodel/base/progress.h"

enum { SIDE = 8, BYTES = SIDE * SIDE * 3 };
static char self[4096], notes[] = "/tmp/understudy-exec-XXXXXX";

static int open_files(void) {
  int n = 0;
  DIR* d = opendir("/proc/self/fd");
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

// ---- the robot ----

static const char* word;  // how it behaves
static FILE* log_file;    // what it was told

static int is(const char* w) {
  return strcmp(word, w) == 0;
}

static const char hello[] =
    "{\"understudy\": 1, \"name\": \"toy\", \"low\": [0, -4], \"high\": [2, 4], \"safe\": [0.5, "
    "0], "
    "\"state\": 3, \"dt\": 0.1, \"height\": 8, \"width\": 8, \"tolerance\": [0.5, 0, 0.5], "
    "\"copies\": 4, \"timeout\": %s, \"restore\": true%s}\n";

static void say_hello(void) {
  if (is("never")) pause();
  if (is("mute")) exit(3);
  if (is("noise")) puts("Loading driver 3.2 ...");
  const int late = is("close") || is("hang") || is("short") || is("deaf");
  printf(hello, late ? "0.15" : "20", is("judge") ? ", \"success\": true" : "");
  fflush(stdout);
}

// The numbers of `key` in a question. Fails the robot where there are not n.
static void numbers_of(const char* line, const char* key, int n, double* out) {
  const char* at = strstr(line, key);
  char* end;
  at = strchr(at, '[') + 1;
  for (int i = 0; i < n; i++, at = end + 1) out[i] = strtod(at, &end);
}

// One wrong answer to an action, in the way that the word says; 0: there is none.
static int misbehave(const char* line) {
  if (!strstr(line, "act\"")) return 0;
  if (is("die")) raise(SIGKILL);
  if (is("exit")) exit(7);
  if (is("close")) return close(1), pause();
  if (is("hang")) return pause();
  if (is("error")) return printf("{\"error\": \"joint 2 is hot\\n\"}\n");
  if (is("garbage")) return printf("\x1b[2J\xff\xfe what?\n");
  if (is("nan")) return printf("{\"state\": [1, NaN, 2], \"frame\": 192}\n");
  if (is("null")) return printf("{\"state\": [1, null, 2], \"frame\": 192}\n");
  if (is("few")) return printf("{\"state\": [1, 2], \"frame\": 192}\n");
  if (is("many")) return printf("{\"state\": [1, 2, 3, 4], \"frame\": 192}\n");
  if (is("list")) return printf("[1, 2, 3]\n");
  if (is("nothing")) return printf("{}\n");
  if (is("time")) return printf("{\"state\": [1, 2, 3], \"time\": \"now\", \"frame\": 192}\n");
  if (is("frameless")) return printf("{\"state\": [1, 2, 3]}\n");
  if (is("small")) return printf("{\"state\": [1, 2, 3], \"frame\": 48}\n");
  if (is("huge")) return printf("{\"state\": [1, 2, 3], \"frame\": 1e300}\n");
  if (is("short")) return printf("{\"state\": [1, 2, 3], \"frame\": 192}\nonly this");
  if (is("cut"))
    return printf("{\"state\": [1, 2, 3], \"frame\": 192}\nno"), fflush(stdout), exit(0), 0;
  for (int i = 0; is("endless") && i < 3 << 20; i++) putchar('x');
  return is("endless");
}

static int robot(void) {
  static char line[1 << 16];
  static uint8_t frame[BYTES];
  double state[3] = {0}, action[2];
  int judged = 0, goal = 0;
  fprintf(log_file, "files %d\n", open_files());
  fflush(log_file);
  say_hello();
  while (!is("deaf") && fgets(line, sizeof(line), stdin)) {
    fprintf(log_file, "%s", line);
    fflush(log_file);
    if (strstr(line, "\"bye\"")) break;
    if (misbehave(line)) {
      fflush(stdout);
      while (getchar() != EOF) {
      }
      break;
    }
    if (strstr(line, "\"reset\"")) {
      state[0] = strtol(strstr(line, "seed\": ") + 7, NULL, 10);
      state[1] = state[2] = goal = 0;
      if (strstr(line, "state")) numbers_of(line, "state", 3, state);
    }
    if (strstr(line, "act\"")) {
      numbers_of(line, "action", 2, action);
      state[1] += action[0];
      state[2] += action[1];
    }
    if (strstr(line, "\"goal\"")) goal = 1;
    judged = goal && state[1] > 1.5;
    memset(frame, (int)(10 * state[1]), BYTES);
    int drawn = strstr(line, "\"frame\": true") != NULL;
    printf("{\"state\": [%.17g, %.17g, %.17g]%s", state[0], state[1], state[2],
           drawn ? ", \"frame\": 192" : "");
    if (is("judge")) printf(", \"success\": %s, \"distance\": 42", judged ? "true" : "false");
    printf("}\n");
    if (drawn) fwrite(frame, 1, BYTES, stdout);
    fflush(stdout);
  }
  if (is("deaf")) sleep(60);
  fprintf(log_file, "end\n");
  fclose(log_file);
  return 0;
}

// ---- what all tests use ----

static const UsTask* task;
static UsEnv* env;

static UsStatus start(const char* how, int slots, int block) {
  char command[US_EXEC_COMMAND], name[128];
  const UsEnvConfig config = {.slots = slots, .block = block, .pixels = 1};
  snprintf(command, sizeof(command), "exec '%.400s' robot %s '%s'", self, how, notes);
  US_TRY(us_exec_open(command, &task));
  snprintf(name, sizeof(name), "sim:%s", task->name);
  return us_env_open(name, (const UsTask* const[]){task, NULL}, &config, &env);
}

static void stop(void) {
  us_env_close(env);
  us_exec_close(task);
  env = NULL;
  task = NULL;
  // No child is left, not even a dead one.
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
  assert_int_equal(errno, ECHILD);
}

// What the robots were told since the last call.
static const char* told(void) {
  static char text[1 << 16];
  FILE* f = fopen(notes, "r+");
  text[fread(text, 1, sizeof(text) - 1, f)] = 0;
  assert_int_equal(ftruncate(fileno(f), 0), 0);
  fclose(f);
  return text;
}

static int is_line(const char* text) {
  for (const char* c = text; *c; c++) {
    if ((unsigned char)*c < ' ') return 0;
  }
  return text[0] != 0;
}

// ---- a robot that behaves ----

static void test_episode(void** state) {
  const uint64_t seeds[] = {7, 9};
  const int slots[] = {0, 1};
  const float actions[2][2][2] = {{{-1, 0.5f}, {1, NAN}}, {{3, -3}, {0, 0}}};
  assert_int_equal(start("well", 2, 2), US_OK);
  us_env_reset(env, NULL, seeds);
  us_env_step(env, &actions[0][0][0], NULL);
  assert_null(us_env_error(env));
  // Units are the robot's: 0 .. 2 and -4 .. 4; beyond is the end, and no number the safe one.
  double states[2][3];
  float proprio[2][3];
  uint8_t pixels[2][BYTES];
  UsObs obs[2] = {{.state = states[0], .proprio = proprio[0]}, {.state = states[1]}};
  assert_int_equal(us_env_look(env, 2, slots, obs), US_OK);
  assert_int_equal(us_env_render(env, 2, slots, pixels[0]), US_OK);
  const double expected[2][3] = {{7, 2, 2}, {9, 3, -4}};
  assert_memory_equal(states, expected, sizeof(expected));
  assert_true(proprio[0][2] == 2 && fabs(obs[0].time - 0.2) < 1e-12);
  assert_true(pixels[0][0] == 20 && pixels[1][BYTES - 1] == 30);
  // Frames come with the last step of a block alone; who does not play is told to stop.
  const char* log = told();
  int files[2];
  // The second copy has nothing of the first.
  assert_int_equal(sscanf(strstr(log, "files"), "files %d", &files[0]), 1);
  assert_int_equal(sscanf(strstr(strstr(log, "files") + 1, "files"), "files %d", &files[1]), 1);
  assert_int_equal(files[0], files[1]);
  assert_non_null(strstr(log, "\"seed\": 7, \"frame\": true"));
  assert_null(strstr(log, "observe"));
  us_sim_select(env, 1, slots);
  assert_string_equal(told(), "{\"do\": \"stop\"}\n");
  stop();
  log = told();
  assert_non_null(strstr(log, "{\"do\": \"bye\"}\n"));
  assert_non_null(strstr(strstr(log, "end\n") + 1, "end\n"));
}

// Goals are about the numbers that have a tolerance, by their tolerance.
static void test_tolerance(void** state) {
  const uint64_t seed = 3;
  const int slot = 0;
  float distance, action[2] = {-1, 0};
  uint8_t success;
  assert_int_equal(start("well", 1, 1), US_OK);
  assert_int_equal(task->measure, 2);
  us_env_reset(env, NULL, &seed);
  us_env_step(env, action, NULL);
  double near[] = {3.4, 99, -0.4}, far[] = {3, 0, 0.6};
  assert_int_equal(us_env_set_goal(env, 1, &slot, &(UsObs){.state = near}), US_OK);
  us_env_score(env, 1, &slot, &distance, &success);
  assert_true(success == 1 && fabsf(distance - 0.8f) < 1e-6f);
  assert_int_equal(us_env_set_goal(env, 1, &slot, &(UsObs){.state = far}), US_OK);
  us_env_score(env, 1, &slot, NULL, &success);
  assert_int_equal(success, 0);
  stop();
}

static void test_own_judgement(void** state) {
  const uint64_t seed = 3;
  const int slot = 0;
  float distance, action[2] = {0, 0};
  uint8_t success[2];
  double goal[] = {1, 2, 3};
  assert_int_equal(start("judge", 1, 1), US_OK);
  us_env_reset(env, NULL, &seed);
  assert_int_equal(us_env_set_goal(env, 1, &slot, &(UsObs){.state = goal}), US_OK);
  for (int i = 0; i < 2; i++) us_env_step(env, action, &(UsStep){.success = success + i});
  us_env_score(env, 1, &slot, &distance, NULL);
  assert_true(success[0] == 0 && success[1] == 1 && distance == 42);
  assert_non_null(strstr(told(), "{\"do\": \"goal\", \"state\": [1, 2, 3]}"));
  stop();
}

// What a slot was saved in it goes on from, and rollouts are played by the robot.
static void test_restore(void** state) {
  const uint64_t seeds[] = {1, 2};
  const int slots[] = {0, 1}, first = 0;
  double goal[] = {1, 1, 1}, now[3];
  float actions[2][2] = {{0, 0}, {0.5f, 0.25f}}, rewards[2];
  assert_int_equal(start("well", 2, 1), US_OK);
  us_env_reset(env, NULL, seeds);
  UsObs obs[2] = {{.state = goal}, {.state = goal}};
  assert_int_equal(us_env_set_goal(env, 2, slots, obs), US_OK);
  us_env_rollout(env, 1, &first, 2, 1, actions[0], rewards);
  assert_null(us_env_error(env));
  // A reward is minus the distance, of (1, 0) and (1, 1) to (1, 1) in tolerances of 0.5.
  assert_true(fabsf(rewards[0] + (float)sqrt(2)) < 1e-6f && fabsf(rewards[1]) < 1e-6f);
  assert_int_equal(us_env_look(env, 1, &first, &(UsObs){.state = now}), US_OK);
  assert_true(now[0] == 1 && now[1] == 0 && now[2] == 0);
  stop();
}

// A caller that is killed: the robot sees the end of its input, and ends.
static void test_killed_caller(void** state) {
  told();
  pid_t child = fork();
  if (child == 0) {
    const uint64_t seed = 3;
    const float action[2] = {0};
    if (start("well", 1, 1) != US_OK) _exit(1);
    us_env_reset(env, NULL, &seed);
    us_env_step(env, action, NULL);
    raise(SIGKILL);
  }
  int how;
  assert_int_equal(waitpid(child, &how, 0), child);
  assert_true(WIFSIGNALED(how));
  char log[1 << 12] = "";
  for (int i = 0; i < 500 && !strstr(log, "end\n"); i++) {
    usleep(10000);
    strncat(log, told(), sizeof(log) - strlen(log) - 1);
  }
  assert_non_null(strstr(log, "end\n"));
  assert_null(strstr(log, "bye"));
}

// ---- hellos ----

static void test_hellos(void** state) {
  static const char* const wrong[][2] = {
      {"", "ended, with exit code 0"},
      {"hello", "\"hello\""},
      {"{\"understudy\": 2}", "\"understudy\""},
      {"{\"understudy\": 1, \"name\": \"a b\", \"state\": 1, \"dt\": 1}", "letters"},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 0, \"dt\": 1}", "\"state\""},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 1000000000, \"dt\": 1}", "\"state\""},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 1, \"dt\": 0}", "\"dt\""},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 1, \"dt\": 1, \"height\": 99999999, "
       "\"width\": 64}",
       "\"height\""},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 1, \"dt\": 1, \"height\": 64}", "8 x 8"},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 1, \"dt\": 1}", "\"low\""},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 1, \"dt\": 1, \"low\": [1], \"high\": [1]}",
       "low < high"},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 1, \"dt\": 1, \"low\": [0], \"high\": []}",
       "\"high\": 1 finite numbers"},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 1, \"dt\": 1, \"low\": [0], \"high\": [1], "
       "\"safe\": [2]}",
       "safe between"},
      {"{\"understudy\": 1, \"name\": \"a\", \"state\": 1, \"dt\": 1, \"low\": [0], \"high\": [1], "
       "\"tolerance\": [-1]}",
       "\"tolerance\""},
  };
  for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
    char command[US_EXEC_COMMAND];
    UsExec* x;
    snprintf(command, sizeof(command), "printf '%%s\\n' '%s'", wrong[i][0]);
    if (i == 0) snprintf(command, sizeof(command), "true");
    assert_int_not_equal(us_exec_greet(command, &x), US_OK);
    const char* said = us_message();
    if (!is_line(said) || !strstr(said, wrong[i][1]) || strncmp(said, "exec:", 5) != 0) {
      fail_msg("hello %zu: expected a line with %s, found: %s", i, wrong[i][1], said);
    }
  }
  // One that judges in no way is refused where somebody asks.
  UsExec blind = {.command = "x"};
  assert_int_equal(us_exec_need_judge(&blind), US_UNSUPPORTED);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

// ---- robots that do not behave ----

static void test_hostile(void** state) {
  static const char* const way[][2] = {
      {"noise", "Loading driver"},
      {"mute", "exit code 3"},
      {"die", "ended by signal 9"},
      {"exit", "exit code 7"},
      {"close", "nothing within 0.15 s"},
      {"hang", "nothing within 0.15 s"},
      {"error", "joint 2 is hot"},
      {"garbage", "a line of JSON"},
      {"nan", "finite numbers"},
      {"null", "number 1"},
      {"few", "found 2"},
      {"many", "found 4"},
      {"list", "found \"[1, 2, 3]\""},
      {"nothing", "\"state\": 3 finite numbers, found none"},
      {"time", "\"time\": a finite number"},
      {"frameless", "\"frame\": 192"},
      {"small", "found 48"},
      {"huge", "found 1e+300"},
      {"short", "192 bytes of a frame"},
      {"cut", "192 bytes of a frame"},
      {"endless", "more than 1 MB"},
      {"deaf", "nothing within 1.5 s"},
  };
  const uint64_t seeds[] = {1, 2};
  const float actions[2][2] = {{0}};
  const int before = open_files();
  for (size_t i = 0; i < sizeof(way) / sizeof(*way); i++) {
    UsStatus status = start(way[i][0], 2, 1);
    char said[1024];
    if (status == US_OK) {
      us_env_reset(env, NULL, seeds);
      if (!us_env_error(env)) us_env_step(env, actions[0], NULL);
      const UsEnvError* error = us_env_error(env);
      snprintf(said, sizeof(said), "%s", error ? error->text : "nothing");
      // What is asked later is refused as well, and nothing hangs.
      float reward[2];
      us_env_step(env, actions[0], &(UsStep){.reward = reward});
      if (error) assert_true(isinf(reward[error->slot]));
    } else {
      snprintf(said, sizeof(said), "%s", us_message());
    }
    if (!is_line(said) || !strstr(said, way[i][1]) || !strstr(said, "exec:") ||
        !strstr(said, "expected")) {
      fail_msg("%s: expected a line with %s, found: %s", way[i][0], way[i][1], said);
    }
    stop();
  }
  assert_int_equal(open_files(), before);
}

// What the config asks for and the robot has not.
static void test_config(void** state) {
  assert_int_equal(start("well", 5, 1), US_USAGE);
  assert_non_null(strstr(us_message(), "at most 4 slots"));
  char name[128];
  snprintf(name, sizeof(name), "sim:%s", task->name);
  const UsTask* const tasks[] = {task, NULL};
  assert_int_equal(us_env_open(name, tasks, &(UsEnvConfig){.height = 64}, &env), US_USAGE);
  assert_non_null(strstr(us_message(), "frames of 8 x 8"));
  assert_int_equal(us_env_open(name, tasks, &(UsEnvConfig){.camera = "left"}, &env), US_USAGE);
  // By its command too.
  snprintf(name, sizeof(name), "exec:%.100s", task->exec->command);
  assert_int_equal(us_env_open(name, tasks, NULL, &env), US_OK);
  assert_true(us_sim_is(env));
  stop();
}

int main(int argc, char** argv) {
  if (argc > 3 && strcmp(argv[1], "robot") == 0) {
    word = argv[2];
    log_file = fopen(argv[3], "a");
    alarm(60);  // whatever becomes of the test
    return log_file ? robot() : 8;
  }
  ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
  self[n > 0 ? n : 0] = 0;
  close(mkstemp(notes));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_episode),       cmocka_unit_test(test_tolerance),
      cmocka_unit_test(test_own_judgement), cmocka_unit_test(test_restore),
      cmocka_unit_test(test_killed_caller), cmocka_unit_test(test_hellos),
      cmocka_unit_test(test_hostile),       cmocka_unit_test(test_config),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(notes);
  return failed;
}
