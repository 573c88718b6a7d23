// The viewer: films are opened again with the libraries that players use, and a window in Xvfb is
// driven by keys. Its screenshots are compared with the picture drawn in this process, with a
// headless render of the same state and with what stands on the screen.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/scripts/show_help.h"

enum { kSeed = 3 };
static pid_t server;

static void refused(Run r, int code, const char* text) {
  if (r.code == code && lines_of(r.err) == 1 && strstr(r.err, text)) return;
  fail_msg("expected exit %d and a line with \"%s\", found %d: %s", code, text, r.code, r.err);
}

static void wait_ms(int ms) {
  nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

// ---- films ----

// Every film begins and ends with the pictures that the same steps give here.
static void check_film(const char* name, const char* codec, double near) {
  DONE("view --task wall --policy random --seed %d --steps 20 --size %d --record %s", kSeed, kSide,
       path_of(name));
  UsShowConfig config = {.task = "wall", .policy = "random", .seed = kSeed, .mode = US_VIEW_policy};
  Here h = here_open(&config, kSide);
  h.notes = (UsStageNotes){.speed = 1};
  Image first = here_draw(&h);
  for (int i = 0; i < 20; i++) assert_int_equal(us_show_step(&h.show, NULL), US_OK);
  Image last = here_draw(&h);
  Film film = film_read(path_of(name));
  assert_int_equal(film.frames, 21);
  assert_string_equal(film.codec, codec);
  assert_true(fabs(film.seconds - 21 * us_env_info(h.show.sim)->dt) < 0.06);
  double from = image_difference(&first, &film.first), to = image_difference(&last, &film.last);
  if (from > near || to > near) fail_msg("%s: differs by %g at first, %g at last", name, from, to);
  assert_true(image_difference(&first, &last) > 2 * to);
  film_free(&film);
  free(first.pixels);
  free(last.pixels);
  here_close(&h);
  assert_false(us_file_exists(path_of("film.mp4.tmp")) || us_file_exists(path_of("film.gif.tmp")));
}

static void test_mp4(void** state) {
  check_film("film.mp4", "h264", 1.5);
}

static void test_gif(void** state) {
  check_film("film.gif", "gif", 1.0);
}

static void test_sheet(void** state) {
  DONE("view --task wall --policy random --steps 20 --record %s", path_of("sheet.png"));
  Image m = image_png(path_of("sheet.png"));
  assert_int_equal(m.width, 8 * (160 + 6) + 6);  // 11 of the 21 pictures: every second
  assert_int_equal(m.height, 2 * (180 + 6) + 6);
  Image one = image_cut(&m, 6, 6, 180, 160), two = image_cut(&m, 6, 6 + 166, 180, 160);
  assert_true(image_difference(&one, &two) > 0.05);
  free(one.pixels);
  free(two.pixels);
  free(m.pixels);
}

// Eight pictures of 2048 pixels are wider than a PNG of ours: they are made smaller.
static void test_large_sheet(void** state) {
  DONE("view --task wall --policy random --steps 7 --size 2048 --record %s", path_of("large.png"));
  Image m = image_png(path_of("large.png"));
  assert_true(m.width > 16300 && m.width <= US_PICTURE_MOST);
  free(m.pixels);
}

// Ctrl-C in the middle of a film: it is closed and can be played.
static void test_interrupted_film(void** state) {
  char line[2048];
  snprintf(line, sizeof(line),
           "exec '%s' view --task wall --policy random --size 64 --steps 1000000 --record %s 2>%s",
           US_PROGRAM, path_of("cut.mp4"), path_of("stderr"));
  pid_t filming = fork();
  if (filming == 0) {
    execl("/bin/sh", "sh", "-c", line, (char*)NULL);
    _exit(127);
  }
  struct stat file = {0};
  for (int i = 0; i < 1200 && file.st_size < 20000; i++) {
    wait_ms(50);
    stat(path_of("cut.mp4.tmp"), &file);
  }
  int status = -1;
  kill(filming, SIGINT);
  waitpid(filming, &status, 0);
  Run r = {.code = WEXITSTATUS(status)};
  read_into(path_of("stderr"), r.err, sizeof(r.err));
  refused(r, 130, "stopped");
  Film film = film_read(path_of("cut.mp4"));
  assert_true(film.frames > 2);
  film_free(&film);
}

static void test_films_that_cannot_be(void** state) {
  static const char* const kinds[] = {"mp4", "gif", "png"};
  refused(command("view --task wall --record film.avi"), 2, ".mp4, .gif or .png");
  refused(command("view --task wall --episode 1"), 2, "--data is missing");
  refused(command("view --task wall --policy nobody --record x.png"), 2, "expected a policy");
  refused(command("view --plan cem"), 2, "--task, --model or --data");
  for (int i = 0; i < 3; i++) {
    refused(command("view --task wall --steps 3 --record %s/none/x.%s", folder, kinds[i]), 1,
            "none/x.");
    char line[2048], name[16];
    snprintf(name, sizeof(name), "full.%s", kinds[i]);
    snprintf(
        line, sizeof(line),
        "bash -c \"ulimit -f 4; '%s' view --task wall --policy random --steps 400 --record %s\""
        " 2>%s",
        US_PROGRAM, path_of(name), path_of("stderr"));
    Run r = {.code = WEXITSTATUS(system(line))};
    read_into(path_of("stderr"), r.err, sizeof(r.err));
    if (strcmp(kinds[i], "png") != 0) {  // a sheet fits into 4 kB or not
      refused(r, 1, name);
      assert_false(us_file_exists(path_of(name)));
    }
    char left[64];
    snprintf(left, sizeof(left), "%s.tmp", name);
    assert_false(us_file_exists(path_of(left)));
  }
}

static void test_no_display(void** state) {
  char* display = getenv("DISPLAY") ? strdup(getenv("DISPLAY")) : NULL;
  unsetenv("DISPLAY");
  refused(command("view --task wall"), 1, "set DISPLAY, or --record FILE");
  setenv("DISPLAY", ":29999", 1);
  refused(command("view --task wall"), 1, "set DISPLAY, or --record FILE");
  if (display) setenv("DISPLAY", display, 1);
  free(display);
}

// ---- a show ----

// A replay shows the states of the data, and ends with its last row.
static void test_replay(void** state) {
  UsDataset* d;
  assert_int_equal(us_dataset_open(path_of("data.h5"), &d), US_OK);
  UsShowConfig config = {.data = path_of("data.h5"), .episode = 1, .mode = US_VIEW_replay};
  Here h = here_open(&config, 64);
  int64_t row = us_dataset_offsets(d)[1];
  size_t width = (size_t)us_dataset_info(d)->state;
  int steps = 0;
  for (;; steps++) {
    const double* want = us_dataset_states(d) + (size_t)(row + steps) * width;
    assert_memory_equal(h.show.state, want, sizeof(double) * width);
    if (h.show.over) break;
    assert_int_equal(us_show_step(&h.show, NULL), US_OK);
  }
  assert_int_equal(steps, us_dataset_lengths(d)[1] - 1);
  assert_true(h.show.success && h.show.distance < 1e-6);
  assert_int_equal(us_show_reset(&h.show, 0, 0), US_OK);
  assert_int_equal(h.show.episode, 2);
  here_close(&h);
  us_dataset_close(d);
}

// The model observes its context, imagines on, and observes again when it is told to.
static void test_imagination(void** state) {
  UsShowConfig config = {.model = path_of("model"), .seed = kSeed, .mode = US_VIEW_policy};
  Here h = here_open(&config, 64);
  UsShow* s = &h.show;
  assert_non_null(s->dream);
  int context = us_env_info(s->dream)->context, k = s->block;
  size_t size = (size_t)us_env_info(s->dream)->height * (size_t)us_env_info(s->dream)->width * 3;
  uint8_t* before = malloc(size);
  for (int i = 0; i < (context + 1) * k; i++) {
    int observed = i / k + 1 < context ? i / k + 1 : context;
    assert_int_equal(s->imagining, observed == context);
    assert_int_equal(s->imagined, observed < context ? 0 : (i / k + 1 - context) * k);
    memcpy(before, s->picture, size);
    assert_int_equal(us_show_step(s, NULL), US_OK);
    assert_int_equal(memcmp(before, s->picture, size) != 0, (i + 1) % k == 0);
  }
  assert_int_equal(us_show_resync(s), US_OK);
  assert_true(s->imagined == 0 && !s->imagining);
  us_show_set_follow(s, 1);
  for (int i = 0; i < 4 * k; i++) assert_int_equal(us_show_step(s, NULL), US_OK);
  assert_true(s->imagined == 0 && s->imagining);
  free(before);
  here_close(&h);
}

// Planning on the simulator itself reaches the goal of a pair, and the episode then ends.
static void test_plan(void** state) {
  UsShowConfig config = {.data = path_of("data.h5"), .mode = US_VIEW_plan};
  Here h = here_open(&config, 64);
  int solved = 0;
  for (uint64_t seed = 0; seed < 4; seed++) {
    assert_int_equal(us_show_reset(&h.show, seed, 0), US_OK);
    assert_false(h.show.success);
    while (!h.show.over) assert_int_equal(us_show_step(&h.show, NULL), US_OK);
    solved += h.show.first_hit > 0;
  }
  assert_true(solved >= 3);
  here_close(&h);
}

// What is driven is what is played; modes follow each other from where the truth is.
static void test_drive_and_modes(void** state) {
  UsShowConfig config = {.task = "wall", .seed = kSeed};
  Here h = here_open(&config, 64);
  UsShow* s = &h.show;
  const float right[] = {1, 0}, up[] = {0, 2};
  double x = s->state[0], y = s->state[1];
  assert_true(s->has_goal && !s->success);
  for (int i = 0; i < 3; i++) assert_int_equal(us_show_step(s, right), US_OK);
  double moved = s->state[0] - x;
  for (int i = 0; i < 3; i++) assert_int_equal(us_show_step(s, up), US_OK);
  assert_true(moved != 0 || s->state[1] != y);
  assert_true(s->action[0] == 0 && s->action[1] == 1);
  x = s->state[0];
  assert_int_equal(us_show_next_mode(s), US_VIEW_policy);
  assert_int_equal(us_show_set_mode(s, US_VIEW_policy), US_OK);
  assert_int_equal(us_show_next_mode(s), US_VIEW_plan);
  assert_int_equal(us_show_set_mode(s, US_VIEW_plan), US_OK);
  assert_int_equal(us_show_next_mode(s), US_VIEW_drive);  // no data to replay
  assert_true(s->state[0] == x && s->step == 6);
  assert_int_equal(us_show_set_mode(s, US_VIEW_replay), US_UNSUPPORTED);
  double distance = s->distance;
  for (int i = 0; i < 10; i++) assert_int_equal(us_show_step(s, NULL), US_OK);
  assert_true(s->distance < distance);
  here_close(&h);
}

// The states inside a long env step lead from the one before it to the one after it.
static void test_inner_states(void** state) {
  for (int t = 0; us_cli_tasks()[t]; t++) {
    const UsTask* task = us_cli_tasks()[t];
    UsShowConfig config = {.task = task->name, .seed = kSeed, .mode = US_VIEW_policy};
    Here h = here_open(&config, 64);
    UsShow* s = &h.show;
    int nq = (int)us_sim_model(s->sim)->nq, width = us_env_info(s->sim)->state;
    assert_true(s->inner >= 1 && s->inner <= task->frame_skip);
    for (int i = 0; i < 3; i++) {
      assert_int_equal(us_show_step(s, NULL), US_OK);
      const double* last = s->inside + (ptrdiff_t)(s->inner - 1) * width;
      assert_memory_equal(last, s->state, sizeof(double) * (size_t)width);
      for (int k = 1; k < s->inner; k++) {
        const double *a = last - (ptrdiff_t)k * width, *b = a + width;
        for (int q = 0; q < nq; q++) assert_true(isfinite(a[q]) && fabs(b[q] - a[q]) < 1);
      }
    }
    here_close(&h);
  }
}

// ---- the window ----

// Starts Xvfb on a free display with its frame buffer in a file; 0 when there is none.
static int start_server(void) {
  int ends[2];
  char fd[16], number[16] = "", display[32];
  if (system("command -v Xvfb >/dev/null") != 0 || pipe(ends) != 0) return 0;
  server = fork();
  if (server == 0) {
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    close(ends[0]);
    snprintf(fd, sizeof(fd), "%d", ends[1]);
    execlp("Xvfb", "Xvfb", "-displayfd", fd, "-screen", "0", "1100x800x24", "-nolisten", "tcp",
           "-fbdir", folder, "-r", (char*)NULL);  // -r: held keys do not repeat
    _exit(127);
  }
  close(ends[1]);
  for (ssize_t n = 0, got; n < 15 && (got = read(ends[0], number + n, 15 - (size_t)n)) > 0;
       n += got)
    if (memchr(number, '\n', (size_t)(n + got))) break;
  close(ends[0]);
  snprintf(display, sizeof(display), ":%d", atoi(number));
  setenv("DISPLAY", display, 1);
  return number[0] != 0;
}

static pid_t viewer;

// Ends the viewer of a test that failed.
static int stop_viewer(void** state) {
  if (viewer > 0) {
    kill(viewer, SIGKILL);
    waitpid(viewer, NULL, 0);
  }
  viewer = 0;
  return 0;
}

static void press(const char* keys) {
  char line[256];
  snprintf(line, sizeof(line), "xdotool key --delay 60 %s", keys);
  assert_int_equal(system(line), 0);
  wait_ms(150);
}

// Takes a screenshot with the viewer's own key. It shows what all keys before have changed.
static Image shoot(void) {
  unlink(path_of("shot.png"));
  press("v");
  for (int i = 0; i < 1200 && !us_file_exists(path_of("shot.png")); i++) wait_ms(50);
  Image m = image_png(path_of("shot.png"));
  assert_non_null(m.pixels);
  return m;
}

static void start_viewer(const char* mode) {
  char line[2048];
  snprintf(line, sizeof(line),
           "exec '%s' view --model %s %s --seed %d --size %d --seconds 900 --screenshot %s "
           ">/dev/null 2>%s",
           US_PROGRAM, path_of("model"), mode, kSeed, kSide, path_of("shot.png"),
           path_of("stderr"));
  viewer = fork();
  if (viewer == 0) {
    execl("/bin/sh", "sh", "-c", line, (char*)NULL);
    _exit(127);
  }
  assert_int_equal(system("timeout 120 xdotool search --sync --onlyvisible --name Understudy "
                          "windowfocus --sync >/dev/null"),
                   0);
  wait_ms(300);
}

static void end_viewer(void) {
  int status = -1;
  press("Escape");
  for (int i = 0; i < 1200 && waitpid(viewer, &status, WNOHANG) == 0; i++) wait_ms(50);
  if (WIFEXITED(status)) viewer = 0;
  char text[1024];
  read_into(path_of("stderr"), text, sizeof(text));
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("status %d: %s", status, text);
}

// The left panel against a headless render of the same state, the right one against both.
static void check_panels(Here* h, const Image* shot) {
  UsBox p = us_stage_panel(h->stage);
  int y = (int)p.y, x = (int)p.x;
  Image left = image_cut(shot, y, x, kSide, kSide);
  Image right = image_cut(shot, y, x + kSide + 12, kSide, kSide);
  const UsEnvInfo* info = us_env_info(h->show.sim);
  Image plain = image_new(info->height, info->width);
  const int slot = 0;
  assert_int_equal(us_env_render(h->show.sim, 1, &slot, plain.pixels), US_OK);
  double a[3], b[3], at[2], want[2], imagined[2];
  image_mean(&left, a);
  image_mean(&plain, b);
  for (int k = 0; k < 3; k++) assert_true(fabs(a[k] - b[k]) < 8);
  double red = image_red(&left, &at[0], &at[1]), same = image_red(&plain, &want[0], &want[1]);
  assert_true(red > 0.005 && fabs(red / same - 1) < 0.3);
  assert_true(fabs(at[0] - want[0]) < 0.02 && fabs(at[1] - want[1]) < 0.02);
  assert_true(image_red(&right, &imagined[0], &imagined[1]) > 0.001);
  assert_true(image_difference(&left, &right) > 2);
  free(left.pixels);
  free(right.pixels);
  free(plain.pixels);
}

static void check_same(Here* h, const char* when) {
  Image shot = shoot(), want = here_draw(h);
  double d = image_difference(&shot, &want);
  if (d > 0.2) fail_msg("%s: the screenshot differs by %g", when, d);
  free(shot.pixels);
  free(want.pixels);
}

// What stands on the screen, which the X server draws in its own time, differs from a picture by.
static double screen_differs(const Image* shot) {
  double d = 255;
  for (int i = 0; i < 600 && d > 2; i++) {
    if (i) wait_ms(50);
    Image screen = image_screen(path_of("Xvfb_screen0"));
    Image shown = image_cut(&screen, 0, 0, shot->height, shot->width);
    d = image_difference(shot, &shown);
    free(shown.pixels);
    free(screen.pixels);
  }
  return d;
}

// Paused keys: single step, reset and resync give the pictures that the same calls give here.
static void test_keys(void** state) {
  UsShowConfig config = {.model = path_of("model"), .seed = kSeed, .mode = US_VIEW_policy};
  Here h = here_open(&config, kSide);
  start_viewer("--policy random --paused");
  us_show_next_policy(&h.show);
  while (strcmp(us_sim_task(h.show.sim)->policies[h.show.policy].name, "random") != 0) {
    us_show_next_policy(&h.show);
  }
  check_same(&h, "at the start");
  press("n n n n n n n n n n");
  for (int i = 0; i < 10; i++) assert_int_equal(us_show_step(&h.show, NULL), US_OK);
  Image shot = shoot();
  check_panels(&h, &shot);
  check_same(&h, "after ten steps");
  double d = screen_differs(&shot);
  if (d > 2) fail_msg("the window differs from the screenshot by %g", d);
  press("r");
  assert_int_equal(us_show_reset(&h.show, kSeed + 1, 0), US_OK);
  check_same(&h, "after a reset");
  press("h");
  h.notes.help = 1;
  check_same(&h, "with the help");
  free(shot.pixels);
  end_viewer();
  here_close(&h);
}

static void test_pause(void** state) {
  start_viewer("--policy random --paused");
  Image still = shoot(), again = shoot();
  assert_true(image_difference(&still, &again) == 0);
  press("space");
  double moved = 0;
  for (int i = 0; i < 60 && moved <= 0.05; i++) {
    wait_ms(300);
    Image now = shoot();
    moved = image_difference(&still, &now);
    free(now.pixels);
  }
  assert_true(moved > 0.05);
  press("space");
  Image later = shoot(), latest = shoot();
  assert_true(image_difference(&later, &latest) == 0);
  free(still.pixels);
  free(again.pixels);
  free(later.pixels);
  free(latest.pixels);
  end_viewer();
}

// Where the ball stands, from left to right in the simulator's panel.
static double ball(void) {
  double y, x;
  Image shot = shoot(), panel = image_cut(&shot, 56, 12, kSide, kSide);
  image_red(&panel, &y, &x);
  free(shot.pixels);
  free(panel.pixels);
  return x;
}

// Held keys drive: the ball goes to the side that the arrow points to.
static void test_drive_by_keys(void** state) {
  start_viewer("--speed 1");
  assert_int_equal(system("xdotool keydown Left; sleep 1.5; xdotool keyup Left"), 0);
  double left = ball(), right = left;
  assert_int_equal(system("xdotool keydown d"), 0);
  for (int i = 0; i < 60 && right <= left + 0.1; i++) {
    wait_ms(300);
    right = ball();
  }
  assert_int_equal(system("xdotool keyup d"), 0);
  assert_true(right > left + 0.1);
  end_viewer();
}

// Two episodes are driven, of which the second is taken back; a third is being driven at the end.
static void test_collect_by_keys(void** state) {
  char mode[600];
  UsDataset* d;
  snprintf(mode, sizeof(mode), "--collect %s", path_of("driven.h5"));
  start_viewer(mode);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(system("xdotool keydown Right; sleep 1; xdotool keyup Right"), 0);
    press("Return");
  }
  press("BackSpace");
  assert_int_equal(system("xdotool keydown Left; sleep 0.5; xdotool keyup Left"), 0);
  end_viewer();
  assert_int_equal(us_dataset_open(path_of("driven.h5"), &d), US_OK);
  const UsDatasetInfo* info = us_dataset_info(d);
  assert_int_equal(info->episodes, 1);
  assert_string_equal(info->policy, "teleop");
  // It begins with the first move, and all that was pressed was one key.
  const float* a = us_dataset_actions(d);
  int driven = 0;
  for (int64_t i = 0; i < info->rows - 1; i++) {
    assert_true((a[2 * i] == 1 || a[2 * i] == 0) && a[2 * i + 1] == 0);
    driven += a[2 * i] == 1;
  }
  assert_true(a[0] == 1 && driven > 3);
  us_dataset_close(d);
}

static void test_window_ends_by_itself(void** state) {
  Run r = command("view --task wall --policy random --steps 5 --size 64");
  if (r.code != 0) fail_msg("exit %d: %s", r.code, r.err);
  r = command("view --task wall --seconds 0.5 --size 64");
  assert_int_equal(r.code, 0);
}

int main(void) {
  setenv("LP_NUM_THREADS", "0", 0);
  if (!mkdtemp(folder)) return 1;
  if (!start_server()) {
    printf("skipped: there is no Xvfb\n");
    return 77;
  }
  Run made = command("collect --task pointmaze --episodes 24 --steps 60 --seed 1 --out %s",
                     path_of("train.h5"));
  if (made.code == 0) {
    made = command("finetune --data %s --steps 60 --batch 32 --out %s", path_of("train.h5"),
                   path_of("model"));
  }
  if (made.code == 0) {
    made = command("collect --task wall --episodes 6 --steps 60 --seed 2 --out %s",
                   path_of("data.h5"));
  }
  if (made.code != 0) printf("exit %d: %s\n", made.code, made.err);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mp4),
      cmocka_unit_test(test_gif),
      cmocka_unit_test(test_sheet),
      cmocka_unit_test(test_large_sheet),
      cmocka_unit_test(test_interrupted_film),
      cmocka_unit_test(test_films_that_cannot_be),
      cmocka_unit_test(test_no_display),
      cmocka_unit_test(test_replay),
      cmocka_unit_test(test_imagination),
      cmocka_unit_test(test_plan),
      cmocka_unit_test(test_drive_and_modes),
      cmocka_unit_test(test_inner_states),
      cmocka_unit_test_teardown(test_keys, stop_viewer),
      cmocka_unit_test_teardown(test_pause, stop_viewer),
      cmocka_unit_test_teardown(test_drive_by_keys, stop_viewer),
      cmocka_unit_test_teardown(test_collect_by_keys, stop_viewer),
      cmocka_unit_test(test_window_ends_by_itself),
  };
  int failed = cmocka_run_group_tests_name("view", tests, NULL, NULL);
  kill(server, SIGTERM);
  waitpid(server, NULL, 0);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
