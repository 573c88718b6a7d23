// Choosing, naming and drawing factors of variation.

#include "env/vary.h"

#include <stdio.h>
#include <string.h>

#include "env/sim.h"
#include "worldmodel/base/rng.h"

static const struct {
  double low, high;  // of the number without its sign
} range_table[US_VARY_COUNT] = {
#define X(name, low, high, text) {low, high},
    US_VARY_RANGES(X)
#undef X
};

const char* const us_vary_range_names[US_VARY_COUNT] = {
#define X(name, low, high, text) #name,
    US_VARY_RANGES(X)
#undef X
};

UsStatus us_vary_range(const char* what, const char* name, UsVaryRange* out) {
  for (int i = 0; i < US_VARY_COUNT; i++) {
    *out = (UsVaryRange)i;
    if (strcmp(us_vary_range_names[i], name) == 0) return US_OK;
  }
  return us_fail(US_USAGE, "%s: expected train, test or all, found \"%s\"", what, name);
}

// Whether a word (n letters) stands for a factor: its name, its group or its kind.
static int stands_for(const char* word, size_t n, const UsFactor* f) {
  const char* kind = f->physical ? "physical" : "visual";
  if (n == strlen(f->name) && strncmp(word, f->name, n) == 0) return 1;
  if (n == strcspn(f->name, "_") && strncmp(word, f->name, n) == 0) return 1;
  if (n == strlen(kind) && strncmp(word, kind, n) == 0) return 1;
  return n == 3 && strncmp(word, "all", n) == 0;
}

// Adds a factor that is not there yet.
static void add(UsVary* v, int factor) {
  for (int i = 0; i < v->count; i++) {
    if (v->factor[i] == factor) return;
  }
  v->factor[v->count++] = factor;
}

void us_vary_names(const UsVary* v, UsEnv* sim, char* text, size_t size) {
  const UsFactor* const* list;
  us_sim_factors(sim, &list);
  text[0] = 0;
  for (int i = 0; i < v->count; i++) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", i ? "," : "", list[v->factor[i]]->name);
  }
}

// A word (n letters) that is not what it should be: `or_else` what beside factors it could be.
static UsStatus refuse(UsStatus status, const char* what, const char* word, size_t n, UsEnv* sim,
                       const char* or_else) {
  const UsFactor* const* list;
  UsVary all = {.count = us_sim_factors(sim, &list)};
  for (int i = 0; i < all.count; i++) all.factor[i] = i;
  char known[1024];
  us_vary_names(&all, sim, known, sizeof(known));
  return us_fail(status, "%s: expected factors of %s (%s)%s, found \"%.*s\"", what,
                 us_env_info(sim)->task, known, or_else, n < 64 ? (int)n : 64, word);
}

UsStatus us_vary_choose(const char* what, const char* names, UsEnv* sim, UsVary* out) {
  const UsFactor* const* list;
  const int count = us_sim_factors(sim, &list);
  *out = (UsVary){0};
  for (const char* word = names;; word++) {
    // A word may stand for several factors, which come in the order of the list.
    size_t n = strcspn(word, ",");
    int found = 0;
    for (int i = 0; i < count; i++) {
      if (!stands_for(word, n, list[i])) continue;
      add(out, i);
      found = 1;
    }
    if (!found) {
      return refuse(US_USAGE, what, word, n, sim, ", groups of them, visual, physical or all");
    }
    word += n;
    if (!*word) return US_OK;
  }
}

UsStatus us_vary_read(const char* what, const char* names, int width, UsEnv* sim, UsVary* out) {
  const UsFactor* const* list;
  const int count = us_sim_factors(sim, &list);
  UsVary v = {0};
  *out = v;
  for (const char* word = names;; word++) {
    // A name of a file stands for one factor alone.
    size_t n = strcspn(word, ",");
    int i = 0, before = v.count;
    while (i < count && (n != strlen(list[i]->name) || strncmp(word, list[i]->name, n) != 0)) i++;
    if (i == count) return refuse(US_FORMAT, what, word, n, sim, ", each by its own name");
    add(&v, i);
    if (v.count == before) {
      return us_fail(US_FORMAT, "%s: expected the name of every factor once, found %s twice", what,
                     list[i]->name);
    }
    word += n;
    if (!*word) break;
  }
  if (v.count != width) {
    return us_fail(US_FORMAT, "%s: expected a name for each of %d factors a row, found %d", what,
                   width, v.count);
  }
  *out = v;
  return US_OK;
}

void us_vary_draw(const UsVary* v, UsEnv* sim, UsVaryRange range, uint64_t seed, float* values) {
  const UsFactor* const* list;
  us_sim_factors(sim, &list);
  for (int i = 0; i < v->count; i++) {
    // FNV-1a of its name names a factor's stream.
    uint32_t h = 2166136261u;
    for (const char* c = list[v->factor[i]]->name; *c; c++) h = (h ^ (uint8_t)*c) * 16777619u;
    UsRng rng = us_rng(seed, US_RNG_VARY, 0, h, 0);
    // Both sides of 0 alike.
    double sign = us_rng_below(&rng, 2) ? 1 : -1;
    values[i] = (float)(sign * us_rng_range(&rng, range_table[range].low, range_table[range].high));
  }
}

void us_vary_spread(const UsVary* v, const float* values, float* all) {
  // Factors that are not chosen stay as the scene has them.
  memset(all, 0, sizeof(*all) * US_FACTORS);
  for (int i = 0; i < v->count; i++) {
    US_ASSERT(values[i] >= -1 && values[i] <= 1);
    all[v->factor[i]] = values[i];
  }
}
