// A setting is a name, a type and a place in a struct; everything else is a loop over a list of
// them.

#include "worldmodel/base/settings.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/file.h"

const UsSetting* us_setting_find(const UsSetting* list, const char* name) {
  for (const UsSetting* s = list; s->name; s++) {
    // Options write - where fields have _.
    const char *a = s->name, *b = name;
    while (*a && (*a == *b || (*a == '_' && *b == '-'))) a++, b++;
    if (!*a && !*b) return s;
  }
  return NULL;
}

// ---- one field of a struct as a number ----

static void* field(const UsSetting* s, const void* config) {
  return (char*)config + s->at;
}

static double get(const UsSetting* s, const void* config) {
  const void* at = field(s, config);
  switch (s->type) {
    case US_SETTING_INT:
    case US_SETTING_FLAG:
      return *(const int*)at;
    case US_SETTING_SEED:
      return (double)*(const uint64_t*)at;
    case US_SETTING_REAL:
      return *(const double*)at;
    case US_SETTING_FLOAT:
      return (double)*(const float*)at;
    case US_SETTING_TEXT:
      return 0;
  }
  return 0;
}

static void put(const UsSetting* s, void* config, double x) {
  void* at = field(s, config);
  switch (s->type) {
    case US_SETTING_INT:
    case US_SETTING_FLAG:
      *(int*)at = (int)x;
      return;
    case US_SETTING_SEED:
      *(uint64_t*)at = (uint64_t)x;
      return;
    case US_SETTING_REAL:
      *(double*)at = x;
      return;
    case US_SETTING_FLOAT:
      *(float*)at = (float)x;
      return;
    case US_SETTING_TEXT:
      *(const char**)at = NULL;
      return;
  }
}

void us_settings_default(const UsSetting* list, void* config) {
  for (const UsSetting* s = list; s->name; s++) put(s, config, s->preset);
}

static int is_whole(const UsSetting* s) {
  return s->type == US_SETTING_INT || s->type == US_SETTING_SEED || s->type == US_SETTING_FLAG;
}

// Bounds with a tolerance of float rounding, so that a float's own bound lies inside.
static int fits(const UsSetting* s, double x) {
  double low = s->type == US_SETTING_FLOAT ? (double)(float)s->low : s->low;
  double high = s->type == US_SETTING_FLOAT ? (double)(float)s->high : s->high;
  if (s->type == US_SETTING_FLAG) low = 0, high = 1;
  if (s->type == US_SETTING_SEED) low = 0, high = 0x1p53;  // what a JSON number holds exactly
  return isfinite(x) && x >= low && x <= high;
}

int us_setting_fits(const UsSetting* s, const void* config) {
  return s->type == US_SETTING_TEXT || fits(s, get(s, config));
}

static UsStatus refuse(const UsSetting* s, const char* found) {
  // The name as its option has it.
  char name[64];
  snprintf(name, sizeof(name), "--%s", s->name);
  for (char* c = name; *c; c++) {
    if (*c == '_') *c = '-';
  }
  return us_fail(US_USAGE, "%s: expected a %s number from %.15g to %.15g, found %s", name,
                 is_whole(s) ? "whole" : "finite", s->low, s->high, found);
}

UsStatus us_settings_check(const UsSetting* list, const void* config) {
  // A default may lie outside its range, as 0 for "the task's own" does.
  for (const UsSetting* s = list; s->name; s++) {
    if (s->type == US_SETTING_SEED || us_setting_fits(s, config)) continue;
    if (get(s, config) == s->preset) continue;  // means something of its own
    char found[32];
    snprintf(found, sizeof(found), "%.9g", get(s, config));
    return refuse(s, found);
  }
  return US_OK;
}

UsStatus us_setting_set(const UsSetting* s, void* config, const char* text) {
  if (s->type == US_SETTING_TEXT) {
    *(const char**)field(s, config) = text;
    return US_OK;
  }
  // Numbers: the whole text, without space before it, and in range.
  char found[96], *end = NULL;
  snprintf(found, sizeof(found), "\"%.80s\"", text);
  errno = 0;
  if (is_whole(s)) {
    // Seeds use all 63 bits, which a double does not hold.
    long long x = strtoll(text, &end, 10);
    if (end == text || *end || errno || isspace((unsigned char)*text)) return refuse(s, found);
    if (s->type == US_SETTING_SEED ? x < 0 : !fits(s, (double)x)) return refuse(s, found);
    if (s->type == US_SETTING_SEED) *(uint64_t*)field(s, config) = (uint64_t)x;
    if (s->type != US_SETTING_SEED) put(s, config, (double)x);
    return US_OK;
  }
  // The rest is real.
  double x = strtod(text, &end);
  if (end == text || *end || isspace((unsigned char)*text) || !fits(s, x)) return refuse(s, found);
  put(s, config, x);
  return US_OK;
}

UsStatus us_setting_put(const UsSetting* s, void* config, double x) {
  char found[32];
  snprintf(found, sizeof(found), "%.9g", x);
  if (s->type == US_SETTING_TEXT || !fits(s, x)) return refuse(s, found);
  put(s, config, x);
  return US_OK;
}

// ---- JSON ----

static void add(const UsSetting* s, const void* config, int exact, cJSON* object) {
  if (s->type == US_SETTING_TEXT) {
    const char* text = *(const char* const*)field(s, config);
    if (text) cJSON_AddStringToObject(object, s->name, text);
    if (!text) cJSON_AddNullToObject(object, s->name);
  } else if (s->type == US_SETTING_FLAG) {
    cJSON_AddBoolToObject(object, s->name, get(s, config) != 0);
  } else if (s->type == US_SETTING_SEED && exact) {
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)*(const uint64_t*)field(s, config));
    cJSON_AddStringToObject(object, s->name, text);
  } else {
    double x = get(s, config);
    // A float with the digits that it has, not those of the double beside it.
    char text[32];
    snprintf(text, sizeof(text), "%.7g", x);
    if (s->type == US_SETTING_FLOAT && !exact) x = strtod(text, NULL);
    cJSON_AddNumberToObject(object, s->name, x);
  }
}

void us_settings_json(const UsSetting* list, const void* config, cJSON* object) {
  for (const UsSetting* s = list; s->name; s++) add(s, config, 0, object);
}

void us_settings_key(const UsSetting* list, const void* config, cJSON* object) {
  for (const UsSetting* s = list; s->name; s++) {
    if (s->use == US_SETTING_RESULT) add(s, config, 1, object);
  }
}

UsStatus us_settings_read(const UsSetting* list, void* config, const char* name,
                          const cJSON* object) {
  for (const UsSetting* s = list; s->name; s++) {
    // What the object lacks keeps its value.
    const cJSON* found = cJSON_GetObjectItemCaseSensitive(object, s->name);
    if (!found || s->type == US_SETTING_TEXT) continue;
    // The type as the list has it: true and false for a FLAG alone.
    double x = cJSON_IsBool(found) ? cJSON_IsTrue(found) : found->valuedouble;
    int kind = s->type == US_SETTING_FLAG ? cJSON_IsBool(found) : cJSON_IsNumber(found);
    if (!kind || !fits(s, x) || (is_whole(s) && x != floor(x))) {
      return us_fail(US_FORMAT, "%s: %s: expected a %snumber from %.15g to %.15g", name, s->name,
                     is_whole(s) ? "whole " : "", s->low, s->high);
    }
    put(s, config, x);
  }
  return US_OK;
}
