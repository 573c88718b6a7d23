// collect --vary and eval as a user runs them: what a file records makes its frames and states
// again bit for bit, for any number of threads; evaluation plays every pair in its own variation.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <hdf5.h>
#include <math.h>

#include "datasets/dataset.h"
#include "env/sim.h"
#include "tasks/tasks.h"
#include "tests/scripts/program.h"

static char folder[] = "/tmp/understudy-vary-XXXXXX";

#define command(code, ...) run_expecting(folder, code, __VA_ARGS__)

static void collect(const char* name, const char* options) {
  command(0, "collect --task pointmaze --steps 20 --size 32 --overwrite --out %s/%s %s", folder,
          name, options);
}

static UsDataset* open_data(const char* name) {
  char path[512];
  UsDataset* d;
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  if (us_dataset_open(path, &d) != US_OK) fail_msg("%s", us_message());
  return d;
}

static void hash(const char* name, char hex[US_HASH_CHARS]) {
  char path[512];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  assert_int_equal(us_hash_file(path, hex), US_OK);
}

static void threads_batches_and_stops_change_nothing(void** state) {
  char one[US_HASH_CHARS], two[US_HASH_CHARS], rest[US_HASH_CHARS], more[US_HASH_CHARS];
  collect("one.h5", "--vary all --episodes 19 --threads 1");
  collect("two.h5", "--vary all --episodes 19 --threads 4");
  collect("rest.h5", "--vary all --episodes 5 --threads 1");
  command(0,
          "collect --task pointmaze --steps 20 --size 32 --vary all --episodes 19 --resume --out "
          "%s/rest.h5",
          folder);
  collect("more.h5", "--vary all --episodes 19 --vary-range test");
  hash("one.h5", one);
  hash("two.h5", two);
  hash("rest.h5", rest);
  hash("more.h5", more);
  assert_string_equal(one, two);
  assert_string_equal(one, rest);
  assert_string_not_equal(one, more);
  Run r = command(1,
                  "collect --task pointmaze --steps 20 --size 32 --vary light --episodes 30 "
                  "--resume --out %s/one.h5",
                  folder);
  assert_non_null(strstr(r.err, "variation: expected \"light_level,light_warmth\""));
}

// Playing a file's actions from its first states, in its variations, gives its states and frames.
static void files_can_be_played_again(void** state) {
  collect("played.h5", "--vary all --vary-range all --episodes 4");
  UsDataset* d = open_data("played.h5");
  const UsDatasetInfo* info = us_dataset_info(d);
  UsEnvConfig config = {.slots = 1, .block = 1, .height = 32, .pixels = 1};
  UsEnv* sim;
  UsVary vary;
  assert_int_equal(us_env_open("sim:pointmaze", us_tasks, &config, &sim), US_OK);
  assert_int_equal(us_vary_read("names", info->variation_names, info->variation, sim, &vary),
                   US_OK);
  uint8_t want[32 * 32 * 3], found[32 * 32 * 3];
  const int slot = 0;
  const uint64_t seed = 0;
  double now[16];
  int differs = 0;
  for (int64_t row = 0; row < info->rows; row++) {
    if (row % 21 == 0) {
      us_env_reset(sim, NULL, &seed);
      us_sim_vary(sim, &vary, 1, &slot, us_dataset_variation(d) + row * info->variation);
      UsObs obs = {.state = (double*)us_dataset_states(d) + row * info->state, .first = 1};
      assert_int_equal(us_env_observe(sim, 1, &slot, &obs), US_OK);
    }
    UsObs obs = {.state = now, .pixels = found};
    assert_int_equal(us_env_look(sim, 1, &slot, &obs), US_OK);
    assert_memory_equal(now, us_dataset_states(d) + row * info->state, sizeof(double) * 4);
    assert_int_equal(us_dataset_pixels(d, row, 1, want), US_OK);
    assert_memory_equal(want, found, sizeof(want));
    us_sim_vary(sim, &(UsVary){0}, 1, &slot, NULL);  // the numbers matter
    assert_int_equal(us_env_render(sim, 1, &slot, found), US_OK);
    differs += memcmp(want, found, sizeof(want)) != 0;
    us_sim_vary(sim, &vary, 1, &slot, us_dataset_variation(d) + row * info->variation);
    if (row % 21 < 20) us_env_step(sim, us_dataset_actions(d) + row * info->action, NULL);
  }
  assert_int_equal(differs, info->rows);
  us_env_close(sim);
  us_dataset_close(d);
}

// A visual variation leaves the trajectories of the same seed as they are; nothing leaves no trace.
static void visual_factors_change_frames_alone(void** state) {
  collect("plain.h5", "--episodes 4");
  collect("seen.h5", "--episodes 4 --vary visual");
  UsDataset *a = open_data("plain.h5"), *b = open_data("seen.h5");
  const UsDatasetInfo* info = us_dataset_info(a);
  size_t rows = (size_t)info->rows;
  uint8_t *p = malloc(rows * 32 * 32 * 3), *q = malloc(rows * 32 * 32 * 3);
  assert_int_equal(info->variation, 0);
  assert_memory_equal(us_dataset_states(a), us_dataset_states(b), rows * 4 * sizeof(double));
  assert_int_equal(us_dataset_pixels(a, 0, info->rows, p), US_OK);
  assert_int_equal(us_dataset_pixels(b, 0, info->rows, q), US_OK);
  assert_memory_not_equal(p, q, rows * 32 * 32 * 3);
  free(p), free(q);
  us_dataset_close(a);
  us_dataset_close(b);
}

static void lines_of_errors(void** state) {
  const char* const wrong[][2] = {
      {"--vary colur", "--vary: expected factors of pointmaze (light_level,"},
      {"--vary light --vary-range held", "expected train, test or all, found \"held\""},
      {"--vary-range test", "expected --vary too"}};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    Run r =
        command(2, "collect --task pointmaze --episodes 1 --out %s/no.h5 %s", folder, wrong[i][0]);
    assert_int_equal(lines_of(r.err), 1);
    if (!strstr(r.err, wrong[i][1])) fail_msg("expected \"%s\" in: %s", wrong[i][1], r.err);
  }
  Run r = command(0, "collect --task wall --vary help");
  assert_non_null(strstr(r.out, "colour_object"));
  assert_non_null(strstr(r.out, "radius of the disc"));
  assert_null(strstr(r.out, "damping"));  // the scene has none
  collect("said.h5", "--episodes 2 --vary size,mass --vary-range test");
  r = command(0, "inspect %s/said.h5", folder);
  assert_non_null(strstr(r.out, "varies size,mass (range test)"));
}

// ---- evaluation ----

static cJSON* evaluate(const char* name, const char* options) {
  char path[512];
  cJSON* json;
  command(0, "eval --episodes 12 --oracle-pairs 12 --samples 32 --json %s/%s %s", folder, name,
          options);
  assert_int_equal(us_json_read(us_path_join(path, sizeof(path), folder, name), &json), US_OK);
  return json;
}

static const cJSON* row(const cJSON* json, const char* name, const char* what) {
  json = cJSON_GetObjectItemCaseSensitive(json, "rows");
  json = cJSON_GetObjectItemCaseSensitive(json, name);
  return cJSON_GetObjectItemCaseSensitive(json, what);
}

static const char* text(const cJSON* json, const char* name) {
  const char* value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
  return value ? value : "(none)";
}

static void same_row(const cJSON* a, const cJSON* b, const char* name, int same) {
  for (int i = 0; i < 2; i++) {
    const char* what = i ? "first_hit_step" : "distance";
    assert_non_null(row(a, name, what));
    int equal = cJSON_Compare(row(a, name, what), row(b, name, what), 1);
    if (same) assert_true(equal);
    if (!same && i == 0) assert_false(equal);
  }
}

static void evaluation_plays_the_variation_of_the_file(void** state) {
  command(0,
          "collect --task pointmaze --episodes 12 --steps 40 --size 32 --seed 3 --vary physical "
          "--vary-range test --out %s/held.h5",
          folder);
  char options[512];
  snprintf(options, sizeof(options), "--data %s/held.h5 --rows random,oracle", folder);
  cJSON* a = evaluate("a.json", options);
  assert_string_equal(text(a, "vary"), "damping,mass,strength,size");
  assert_string_equal(text(a, "vary_range"), "test");
  snprintf(options, sizeof(options), "--data %s/held.h5 --rows random,oracle --batch 5 --threads 1",
           folder);
  cJSON* b = evaluate("b.json", options);
  same_row(a, b, "random", 1);
  same_row(a, b, "oracle", 1);
  snprintf(options, sizeof(options),
           "--data %s/held.h5 --rows random,oracle --vary mass --vary-range test", folder);
  cJSON* c = evaluate("c.json", options);
  same_row(a, c, "random", 0);
  assert_string_equal(text(c, "vary"), "mass");
  snprintf(options, sizeof(options),
           "--data %s/held.h5 --rows random,oracle --vary mass --vary-range test --batch 5",
           folder);
  cJSON* d = evaluate("d.json", options);
  same_row(c, d, "random", 1);
  same_row(c, d, "oracle", 1);
  assert_true(row(a, "oracle", "first_hit") != NULL);
  const cJSON* rate = cJSON_GetObjectItemCaseSensitive(row(a, "oracle", "first_hit"), "rate");
  assert_true(rate->valuedouble > 0.7);  // it plans in the variation that it plays in
  cJSON_Delete(a), cJSON_Delete(b), cJSON_Delete(c), cJSON_Delete(d);
}

// Names that fit the numbers of a row as far as a dataset can tell, but are not those of factors.
static void foreign_names_are_refused_in_one_line(void** state) {
  command(0,
          "collect --task pointmaze --episodes 12 --steps 40 --size 32 --vary size,mass --out "
          "%s/foreign.h5",
          folder);
  const char* const names[][2] = {{"mass,camera", "found \"camera\""},
                                  {"all,mass", "found \"all\""},
                                  {"mass,mass", "found mass twice"},
                                  {"mass,", "found \"\""}};
  char path[512];
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    us_path_join(path, sizeof(path), folder, "foreign.h5");
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t attribute = H5Aopen(file, "variation_names", H5P_DEFAULT);
    hid_t type = H5Aget_type(attribute);
    char room[1024] = "";
    assert_true(H5Tget_size(type) <= sizeof(room));
    strcpy(room, names[i][0]);
    assert_true(H5Awrite(attribute, type, room) >= 0);
    H5Tclose(type), H5Aclose(attribute), H5Fclose(file);
    for (int how = 0; how < 3; how++) {
      const char* const line[] = {"eval --rows random --episodes 4 --json %s/f.json --data %s",
                                  "view --record %s/f.png --data %s",
                                  "view --record %s/f.png --plan cem --data %s"};
      char text[1024];
      snprintf(text, sizeof(text), line[how], folder, path);
      Run r = command(1, "%s", text);
      assert_int_equal(lines_of(r.err), 1);
      if (!strstr(r.err, path) || !strstr(r.err, names[i][1])) {
        fail_msg("expected \"%s: ... %s\" in: %s", path, names[i][1], r.err);
      }
    }
  }
}

// The model sees the frames of the variation: other light, other plans; drawn light equals the
// light of a file that was collected in it where the numbers are 0.
static void models_see_the_variation(void** state) {
  command(0, "collect --task pointmaze --episodes 12 --steps 40 --seed 1 --out %s/t.h5", folder);
  command(0, "collect --task pointmaze --episodes 12 --steps 40 --seed 2 --out %s/h.h5", folder);
  command(0, "finetune --data %s/t.h5 --mode full --steps 20 --batch 16 --out %s/model", folder,
          folder);
  char options[512];
  const char* const more[] = {"", "--vary light_level", "--vary light_level --batch 5",
                              "--vary mass"};
  cJSON* json[4];
  for (int i = 0; i < 4; i++) {
    char name[32];
    snprintf(name, sizeof(name), "m%d.json", i);
    snprintf(options, sizeof(options),
             "--model %s/model --data %s/h.h5 --rows model,random --films 3 %s", folder, folder,
             more[i]);
    json[i] = evaluate(name, options);
  }
  same_row(json[0], json[1], "model", 0);
  same_row(json[0], json[1], "random", 1);  // light moves nothing
  same_row(json[1], json[2], "model", 1);
  same_row(json[0], json[3], "random", 0);
  assert_string_equal(text(json[0], "vary"), "(none)");
  char a[US_HASH_CHARS], b[US_HASH_CHARS];
  hash("m0.json.films", a);
  hash("m1.json.films", b);
  assert_string_not_equal(a, b);
  for (int i = 0; i < 4; i++) cJSON_Delete(json[i]);
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_batches_and_stops_change_nothing),
      cmocka_unit_test(files_can_be_played_again),
      cmocka_unit_test(visual_factors_change_frames_alone),
      cmocka_unit_test(lines_of_errors),
      cmocka_unit_test(evaluation_plays_the_variation_of_the_file),
      cmocka_unit_test(foreign_names_are_refused_in_one_line),
      cmocka_unit_test(models_see_the_variation),
  };
  int failed = cmocka_run_group_tests_name("vary", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
