// Merge, split and drop: episodes number for number, what is refused, what outlives a failure, and
// that what a model was trained on is known again in whatever file it stands.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <hdf5.h>

#include "datasets/edit.h"
#include "datasets/exchange.h"
#include "datasets/provenance.h"
#include "tests/datasets/toy_dataset.h"
#include "worldmodel/base/progress.h"

static UsEdited made[2];

// The path of a file, as many as a test may name.
static const char* place(const char* name) {
  static char path[64][256];
  static int next;
  next = (next + 1) % 64;
  snprintf(path[next], sizeof(path[next]), "%s/%s", toy_folder(), name);
  return path[next];
}

// A file of episodes first .. first + count - 1 of the toy, after a change of what it says.
static const char* write_part(const char* name, int64_t first, int64_t count, uint64_t seed,
                              void (*change)(UsDatasetInfo* info)) {
  const char* path = place(name);
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  info.seed = seed;
  if (change) change(&info);
  assert_int_equal(us_dataset_create(path, &info, count, TOY_ROWS, 1, &w), US_OK);
  for (int64_t e = first; e < first + count; e++) toy_append(w, e, toy_rows(e, 1));
  assert_int_equal(us_dataset_finish(w), US_OK);
  return path;
}

static UsDataset* open_file(const char* path) {
  UsDataset* d;
  if (us_dataset_open(path, &d) != US_OK) fail_msg("%s", us_message());
  return d;
}

// Episode `at` of the file is the toy's e, in every column.
static void check_episode(UsDataset* d, int64_t at, int64_t e) {
  enum { kFrame = TOY_SIDE * TOY_SIDE * 3 };
  int64_t row = us_dataset_offsets(d)[at];
  int rows = us_dataset_lengths(d)[at];
  assert_int_equal(rows, toy_rows(e, 1));
  for (int t = 0; t < rows; t++, row++) {
    uint8_t frame[kFrame];
    assert_int_equal(us_dataset_pixels(d, row, 1, frame), US_OK);
    for (int i = 0; i < kFrame; i++) assert_int_equal(frame[i], toy_pixel(e, t, i));
    float action = us_dataset_actions(d)[row * TOY_ACTION + 1];
    assert_true(t == rows - 1 ? isnan(action) : action == toy_action(e, t, 1));
    assert_true(us_dataset_proprio(d)[row * TOY_PROPRIO + 2] == toy_proprio(e, t, 2));
    assert_true(us_dataset_states(d)[row * TOY_STATE + 3] == toy_state(e, t, 3));
    assert_true(us_dataset_times(d)[row] == toy_time(e, t));
    assert_int_equal(us_dataset_truncated(d)[row], t == rows - 1);
  }
}

static void refuse(UsStatus status, const char* word, const char* other) {
  assert_int_not_equal(status, US_OK);
  if (!strstr(us_message(), word)) fail_msg("expected \"%s\" in: %s", word, us_message());
  if (!strstr(us_message(), other)) fail_msg("expected \"%s\" in: %s", other, us_message());
  assert_null(strchr(us_message(), '\n'));
}

static void test_merge(void** state) {
  const char *a = write_part("a.h5", 0, 3, 1, NULL), *b = write_part("b.h5", 3, 4, 2, NULL);
  const char *out = place("ab.h5"), *const paths[] = {a, b, NULL};
  assert_int_equal(us_dataset_merge(paths, out, 0, made), US_OK);
  assert_true(made->episodes == 7 && made->repeated == 0);
  UsDataset* d = open_file(out);
  assert_true(us_dataset_info(d)->finished && us_dataset_info(d)->seed == 0);
  assert_string_equal(us_dataset_info(d)->policy, "random");
  assert_int_equal(us_dataset_info(d)->rows, made->rows);
  for (int64_t e = 0; e < 7; e++) check_episode(d, e, e);
  // Two lines, one of each seed.
  const char* sources = us_dataset_sources(d);
  assert_non_null(strstr(sources, " 1 random\n"));
  assert_non_null(strstr(sources, " 2 random\n"));
  us_dataset_close(d);
  // Once more with one of them: told, and its source is named once.
  const char *twice = place("aab.h5"), *const again[] = {a, out, NULL};
  assert_int_equal(us_dataset_merge(again, twice, 0, made), US_OK);
  assert_true(made->episodes == 10 && made->repeated == 3);
  d = open_file(twice);
  int lines = 0;
  for (const char* at = us_dataset_sources(d); *at; at++) lines += *at == '\n';
  assert_int_equal(lines, 2);
  us_dataset_close(d);
  // No run goes on with it.
  UsDatasetInfo info = toy_info();
  UsDatasetWriter* w;
  int64_t done;
  info.seed = 0;
  refuse(us_dataset_resume(out, &info, 9, TOY_ROWS, &done, &w), "made of others", out);
}

static void other_task(UsDatasetInfo* info) {
  snprintf(info->task, sizeof(info->task), "play");
}
static void other_pose(UsDatasetInfo* info) {
  snprintf(info->camera_pose, sizeof(info->camera_pose), "1 2 3");
}
static void other_action(UsDatasetInfo* info) {
  info->action = 1;
}
static void other_size(UsDatasetInfo* info) {
  info->width = info->height = TOY_SIDE - 1;
}
static void other_step(UsDatasetInfo* info) {
  info->dt = 0.1;
}
static void no_actions(UsDatasetInfo* info) {
  info->action = 0;
}
static void other_renderer(UsDatasetInfo* info) {
  snprintf(info->renderer, sizeof(info->renderer), "Chip 1, 4.6 driver 1.2");
}
static void old_renderer(UsDatasetInfo* info) {
  snprintf(info->renderer, sizeof(info->renderer),
           "llvmpipe (LLVM 15.0.6, 256 bits), 4.5 Mesa 22.3.6");
}
static void new_renderer(UsDatasetInfo* info) {
  snprintf(info->renderer, sizeof(info->renderer),
           "llvmpipe (LLVM 15.0.6, 256 bits), 4.5 Mesa 23.1.0");
}

static void test_what_does_not_go_together(void** state) {
  const struct {
    void (*change)(UsDatasetInfo*);
    const char* word;
  } all[] = {{other_task, "task: expected \"toy\" as in "},
             {other_pose, "camera_pose: expected \"\" as in "},
             {other_action, "numbers of an action: expected 2 as in "},
             {no_actions, "numbers of an action: expected 2 as in "},
             {other_size, "height of frames: expected 4 as in "},
             {other_step, "expected rows 0.05 s apart as in "}};
  const char *a = write_part("a.h5", 0, 3, 1, NULL), *out = place("no.h5");
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
    const char *b = write_part("b.h5", 3, 2, 2, all[i].change), *const paths[] = {a, b, NULL};
    refuse(us_dataset_merge(paths, out, 0, made), all[i].word, b);
    assert_non_null(strstr(us_message(), a));
    assert_false(us_file_exists(out));
  }
  const char *drawn = write_part("a.h5", 0, 3, 1, old_renderer),
             *b = write_part("b.h5", 3, 2, 2, other_renderer), *const paths[] = {drawn, b, NULL};
  refuse(us_dataset_merge(paths, out, 0, made), "renderer: expected", b);
  const char *const one[] = {a, NULL}, *const none[] = {a, place("nowhere.h5"), NULL};
  refuse(us_dataset_merge(one, out, 0, made), "at least 2 files", "");
  refuse(us_dataset_merge(none, out, 0, made), "nowhere.h5", "");
  assert_false(us_file_exists(out));
}

// Versions of one renderer are told apart, also behind a drop.
static void test_renderers(void** state) {
  const char *a = write_part("a.h5", 0, 3, 1, old_renderer),
             *b = write_part("b.h5", 3, 3, 2, new_renderer), *both = place("both.h5"),
             *out = place("less.h5"), *const paths[] = {a, b, NULL};
  assert_int_equal(us_dataset_merge(paths, both, 0, made), US_OK);
  UsDataset* d = open_file(both);
  assert_string_equal(us_dataset_info(d)->renderer,
                      "llvmpipe (LLVM 15.0.6, 256 bits), 4.5 Mesa 22.3.6; from episode 3: "
                      "llvmpipe (LLVM 15.0.6, 256 bits), 4.5 Mesa 23.1.0");
  us_dataset_close(d);
  assert_int_equal(us_dataset_drop(both, "1,2", out, 0, made), US_OK);
  d = open_file(out);
  assert_non_null(strstr(us_dataset_info(d)->renderer, "22.3.6; from episode 1: llvmpipe"));
  us_dataset_close(d);
  assert_int_equal(us_dataset_drop(both, "0-2", out, 1, made), US_OK);
  d = open_file(out);
  assert_string_equal(us_dataset_info(d)->renderer,
                      "llvmpipe (LLVM 15.0.6, 256 bits), 4.5 Mesa 23.1.0");
  us_dataset_close(d);
}

static void no_version(UsDatasetInfo* info) {
  info->version[0] = 0;
}

// A file that does not say who wrote it has sources all the same once it is part of another.
static void test_files_without_a_version(void** state) {
  const char *a = write_part("a.h5", 0, 3, 1, no_version), *out = place("less.h5");
  assert_int_equal(us_dataset_drop(a, "0", out, 1, made), US_OK);
  UsDataset* d = open_file(out);
  assert_non_null(strstr(us_dataset_sources(d), " 1 random\n"));
  us_dataset_close(d);
}

static void test_drop(void** state) {
  const char *a = write_part("a.h5", 0, 10, 1, NULL), *out = place("less.h5");
  assert_int_equal(us_dataset_drop(a, "3,7-9", out, 1, made), US_OK);
  assert_int_equal(made->episodes, 6);
  const int64_t kept[] = {0, 1, 2, 4, 5, 6};
  UsDataset* d = open_file(out);
  for (int i = 0; i < 6; i++) check_episode(d, i, kept[i]);
  us_dataset_close(d);
  const char* const wrong[] = {"", "10", "-1", "7-3", "3,", "3;4", "a", "1-", "1 ", "0-9,11"};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
    refuse(us_dataset_drop(a, wrong[i], out, 1, made), "expected episodes of 0 to 9", a);
  }
  refuse(us_dataset_drop(a, "0-9", out, 1, made), "expected an episode to stay", a);
  refuse(us_dataset_drop(a, "1", out, 0, made), "the file exists", out);
  refuse(us_dataset_drop(a, "1", a, 1, made), "expected another file", a);
  // What was there is as it was.
  d = open_file(out);
  assert_int_equal(us_dataset_info(d)->episodes, 6);
  us_dataset_close(d);
}

static void test_split(void** state) {
  const char *a = write_part("a.h5", 0, 10, 1, NULL), *x = place("x.h5"), *y = place("y.h5");
  int64_t first[10];
  for (int seed = 0; seed < 3; seed++) {
    assert_int_equal(us_dataset_split(a, 0.7, seed == 2, x, y, 1, made), US_OK);
    assert_true(made[0].episodes == 7 && made[1].episodes == 3);
    // Together they are the file, each in its order.
    UsDataset *d = open_file(x), *rest = open_file(y);
    int64_t i = 0, k = 0, drawn[10];
    for (int64_t e = 0; e < 10; e++) {
      int here =
          i < 7 && us_dataset_states(d)[us_dataset_offsets(d)[i] * TOY_STATE] == toy_state(e, 0, 0);
      if (here) drawn[i] = e;
      check_episode(here ? d : rest, here ? i++ : k++, e);
    }
    assert_true(i == 7 && k == 3);
    // The same seed draws the same ones, another others.
    if (seed == 0) memcpy(first, drawn, sizeof(first));
    assert_int_equal(memcmp(first, drawn, 7 * sizeof(*drawn)) != 0, seed == 2);
    us_dataset_close(d);
    us_dataset_close(rest);
  }
  const double wrong[] = {0, 1, -1, 0.01, 0.99, NAN, INFINITY};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
    refuse(us_dataset_split(a, wrong[i], 0, x, y, 1, made), "expected a share", a);
  }
  refuse(us_dataset_split(a, 0.5, 0, x, x, 1, made), "--rest: expected another file than --out", x);
  refuse(us_dataset_split(a, 0.5, 0, place("z.h5"), y, 0, made), "the file exists", y);
  assert_false(us_file_exists(place("z.h5")));
}

// ---- failures ----

static int stop_after;

static int stop(void* data) {
  return stop_after-- <= 0;
}

static void test_stopped_or_damaged(void** state) {
  const char *a = write_part("a.h5", 0, 10, 1, NULL), *x = place("p.h5"), *y = place("q.h5");
  int stopped = 0;
  for (int n = 0; n < 40; n += 3) {
    stop_after = n;
    UsHooks before = us_hooks_set((UsHooks){.stop = stop});
    UsStatus status = us_dataset_split(a, 0.5, 0, x, y, 0, made);
    us_hooks_set(before);
    if (status == US_OK) break;
    assert_int_equal(status, US_INTERRUPTED);
    stopped++;
    const char* const gone[] = {"p.h5", "q.h5", "p.h5.part", "q.h5.part", "p.h5.part.tmp"};
    for (size_t i = 0; i < sizeof(gone) / sizeof(*gone); i++) {
      assert_false(us_file_exists(place(gone[i])));
    }
  }
  assert_true(stopped > 2);
  // A frame whose bytes were changed is not taken over.
  uint8_t byte = 0;
  hid_t file = H5Fopen(a, H5F_ACC_RDWR, H5P_DEFAULT), column = H5Dopen2(file, "pixels", 0);
  haddr_t at = H5Dget_offset(column);
  H5Dclose(column);
  H5Fclose(file);
  FILE* f = fopen(a, "r+b");
  fseek(f, (long)at + 5, SEEK_SET);
  fwrite(&byte, 1, 1, f);
  fclose(f);
  const char* out = place("damaged.h5");
  refuse(us_dataset_drop(a, "4", out, 0, made), "expected a frame of checksum", a);
  assert_false(us_file_exists(out));
}

// ---- what was trained on ----

// How many of a held file's episodes notes of training on another say were seen.
static int64_t seen(const char* trained, const char* held) {
  UsDataset *a = open_file(trained), *b = open_file(held);
  int64_t episodes;
  cJSON *notes = cJSON_CreateObject(), *files = cJSON_AddArrayToObject(notes, "data");
  cJSON* file = cJSON_CreateObject();
  assert_int_equal(us_provenance_note(a, file), US_OK);
  cJSON_AddItemToArray(files, file);
  assert_int_equal(us_provenance_seen(b, notes, &episodes), US_OK);
  cJSON_Delete(notes);
  us_dataset_close(a);
  us_dataset_close(b);
  return episodes;
}

// As notes of a version before the marks say.
static int64_t seen_before(const char* trained, const char* held) {
  UsDataset *a = open_file(trained), *b = open_file(held);
  int64_t episodes;
  cJSON* notes = cJSON_CreateObject();
  assert_int_equal(us_provenance_note(a, notes), US_OK);
  cJSON_DeleteItemFromObject(notes, "marks");
  cJSON_DeleteItemFromObject(notes, "seed");
  assert_int_equal(us_provenance_seen(b, notes, &episodes), US_OK);
  cJSON_Delete(notes);
  us_dataset_close(a);
  us_dataset_close(b);
  return episodes;
}

static void test_provenance(void** state) {
  const char *a = write_part("a.h5", 0, 6, 1, NULL), *b = write_part("b.h5", 6, 4, 2, NULL);
  const char *c = write_part("c.h5", 10, 3, 3, NULL), *ab = place("m.h5");
  const char *x = place("x.h5"), *y = place("y.h5"), *less = place("l.h5");
  const char *const paths[] = {a, b, NULL}, *const mixed[] = {b, c, NULL}, *bc = place("bc.h5");
  assert_int_equal(us_dataset_merge(paths, ab, 1, made), US_OK);
  assert_int_equal(us_dataset_merge(mixed, bc, 1, made), US_OK);
  assert_int_equal(us_dataset_split(a, 0.5, 0, x, y, 1, made), US_OK);
  assert_int_equal(us_dataset_drop(a, "0", less, 1, made), US_OK);
  // Two files of other seeds have nothing in common.
  assert_int_equal(seen(a, b), 0);
  assert_int_equal(seen(a, a), 6);
  // Trained on the whole: its parts are known, by versions of before too.
  assert_int_equal(seen(a, less), 5);
  assert_int_equal(seen_before(a, less), 5);
  assert_int_equal(seen(a, x), 3);
  assert_int_equal(seen(ab, c), 0);
  assert_int_equal(seen(ab, a), 6);
  assert_int_equal(seen(ab, b), 4);
  // Of another merge all that may be of theirs: b is named as a source, and shares its marks.
  assert_int_equal(seen(ab, bc), 4);
  // Two parts of one file are what a split is for, but not what they share.
  assert_int_equal(seen(x, y), 0);
  assert_int_equal(seen(x, x), 3);
  assert_int_equal(seen(x, a), 3);
  // The same seed and policy again, with other frames or more rows, starts with the same episodes.
  const char* again = write_part("again.h5", 20, 2, 1, NULL);
  assert_int_equal(seen(x, again), 2);
  assert_int_equal(seen(again, ab), 10);
  // What went through another program is known by its marks.
  char left[US_LEFT_CHARS];
  const char *theirs = place("t.h5"), *back = place("k.h5");
  const UsImport config = {.task = "toy", .overwrite = 1};
  UsVerdict v;
  UsImportNotes notes;
  assert_int_equal(us_dataset_convert(less, theirs, 1, 1, left), US_OK);
  assert_int_equal(us_dataset_import(theirs, back, &config, &v, &notes), US_OK);
  assert_int_equal(seen(back, less), 5);
  assert_int_equal(seen(x, back) + seen(y, back), 5);
  assert_int_equal(seen(c, back), 0);
}

static int teardown(void** state) {
  toy_folder_remove();
  return 0;
}

int main(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_merge),
      cmocka_unit_test(test_what_does_not_go_together),
      cmocka_unit_test(test_renderers),
      cmocka_unit_test(test_files_without_a_version),
      cmocka_unit_test(test_drop),
      cmocka_unit_test(test_split),
      cmocka_unit_test(test_stopped_or_damaged),
      cmocka_unit_test(test_provenance),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
