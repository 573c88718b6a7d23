// Settings lists: defaults, ranges, texts, JSON and keys come out of one list.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/settings.h"

#define THING_SETTINGS(X)                                                 \
  X(INT, horizon, 5, 1, 1000, RESULT, "N", "blocks imagined")             \
  X(FLOAT, first_weight, 0.2, 0, 0.9, RESULT, "X", "weight of the first") \
  X(REAL, rate, 2e-3, 0, 1, RESULT, "X", "peak learning rate")            \
  X(SEED, seed, 1, 0, 0, RESULT, "S", "names all random numbers")         \
  X(FLAG, cold, 0, 0, 1, RESULT, NULL, "every plan starts anew")          \
  X(INT, threads, 0, 0, 64, FREE, "N", "threads; 0: one a processor")     \
  X(TEXT, out, NULL, 0, 0, FREE, "DIR", "the folder to write")

typedef struct Thing {
  THING_SETTINGS(US_SETTING_FIELD)
  void* behind;
} Thing;

#define US_SETTING_OF Thing
static const UsSetting list[] = {THING_SETTINGS(US_SETTING_ROW) US_SETTING_END};
#undef US_SETTING_OF

static Thing fresh(void) {
  Thing t;
  memset(&t, 0xa5, sizeof(t));
  us_settings_default(list, &t);
  return t;
}

static void test_defaults(void** state) {
  Thing t = fresh();
  assert_int_equal(t.horizon, 5);
  assert_true(t.first_weight == 0.2f && t.rate == 2e-3 && t.seed == 1);
  assert_int_equal(t.cold, 0);
  assert_null(t.out);
  assert_int_equal(us_settings_check(list, &t), US_OK);
}

static void test_ranges_name_the_option(void** state) {
  Thing t = fresh();
  t.first_weight = 0.9f;  // the float of the bound lies inside
  assert_int_equal(us_settings_check(list, &t), US_OK);
  t.first_weight = NAN;
  assert_int_equal(us_settings_check(list, &t), US_USAGE);
  assert_non_null(strstr(us_message(), "--first-weight: expected a finite number from 0 to 0.9"));
  t = fresh();
  t.horizon = 0;
  assert_int_equal(us_settings_check(list, &t), US_USAGE);
  assert_string_equal(us_message(), "--horizon: expected a whole number from 1 to 1000, found 0");
}

static void test_texts(void** state) {
  static const struct {
    const char *name, *text;
    UsStatus status;
  } cases[] = {{"horizon", "12", US_OK},
               {"horizon", "0", US_USAGE},
               {"horizon", "1.5", US_USAGE},
               {"horizon", "", US_USAGE},
               {"horizon", " 3", US_USAGE},
               {"horizon", "3x", US_USAGE},
               {"first-weight", "0.5", US_OK},
               {"first-weight", "nan", US_USAGE},
               {"rate", "1e-4", US_OK},
               {"rate", "-1", US_USAGE},
               {"seed", "9223372036854775807", US_OK},
               {"seed", "-1", US_USAGE},
               {"seed", "9223372036854775808", US_USAGE},
               {"cold", "1", US_OK},
               {"cold", "2", US_USAGE},
               {"out", "here", US_OK}};
  Thing t = fresh();
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const UsSetting* s = us_setting_find(list, cases[i].name);
    assert_non_null(s);
    assert_int_equal(us_setting_set(s, &t, cases[i].text), cases[i].status);
  }
  assert_int_equal(t.horizon, 12);
  assert_true(t.seed == INT64_MAX && t.rate == 1e-4 && t.cold == 1);
  assert_string_equal(t.out, "here");
  assert_null(us_setting_find(list, "horizo"));
  assert_null(us_setting_find(list, "horizons"));
}

static char* key_of(const Thing* t) {
  cJSON* o = cJSON_CreateObject();
  us_settings_key(list, t, o);
  char* text = cJSON_PrintUnformatted(o);
  cJSON_Delete(o);
  return text;
}

// Each setting that a result depends on changes the key, each other does not.
static void test_key(void** state) {
  for (const UsSetting* s = list; s->name; s++) {
    Thing a = fresh(), b = fresh();
    assert_int_equal(us_setting_set(s, &b, s->type == US_SETTING_FLAG ? "1" : "0.25"),
                     s->type == US_SETTING_INT || s->type == US_SETTING_SEED ? US_USAGE : US_OK);
    if (s->type == US_SETTING_INT || s->type == US_SETTING_SEED) {
      assert_int_equal(us_setting_set(s, &b, "7"), US_OK);
    }
    char *x = key_of(&a), *y = key_of(&b);
    assert_int_equal(strcmp(x, y) != 0, s->use == US_SETTING_RESULT);
    free(x);
    free(y);
  }
  Thing a = fresh(), b = fresh();
  a.seed = ((uint64_t)1 << 62) + 1, b.seed = (uint64_t)1 << 62;  // one double
  char *x = key_of(&a), *y = key_of(&b);
  assert_string_not_equal(x, y);
  free(x);
  free(y);
}

static void test_json_there_and_back(void** state) {
  Thing a = fresh(), b = fresh();
  a.horizon = 9, a.first_weight = 0.4f, a.rate = 0.1, a.cold = 1, a.seed = 77;
  cJSON* o = cJSON_CreateObject();
  us_settings_json(list, &a, o);
  char* text = cJSON_PrintUnformatted(o);
  assert_non_null(strstr(text, "\"first_weight\":0.4,"));  // the float's own digits
  assert_non_null(strstr(text, "\"out\":null"));
  free(text);
  assert_int_equal(us_settings_read(list, &b, "file", o), US_OK);
  char *x = key_of(&a), *y = key_of(&b);
  assert_string_equal(x, y);
  free(x);
  free(y);
  cJSON_ReplaceItemInObject(o, "horizon", cJSON_CreateNumber(2.5));
  assert_int_equal(us_settings_read(list, &b, "file", o), US_FORMAT);
  assert_non_null(strstr(us_message(), "file: horizon: expected a whole number"));
  cJSON_Delete(o);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_defaults),
                                     cmocka_unit_test(test_ranges_name_the_option),
                                     cmocka_unit_test(test_texts), cmocka_unit_test(test_key),
                                     cmocka_unit_test(test_json_there_and_back)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
