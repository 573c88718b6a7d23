#include "env/sim/variants.h"

#include <stdlib.h>
#include <string.h>

#include "env/factors.h"

struct UsVariants {
  const mjModel* base;
  int slots, most;
  int count;                           // F
  const UsFactor* factor[US_FACTORS];  // (F)
  mjData* data;                        // what mj_setConst works in
  mjModel** own;                       // (slots) NULL until the slot first varies
  const mjModel** model;               // (slots) base or the slot's own
  const mjModel** lent;                // (most)
  float (*built)[US_FACTORS];          // (slots) what a slot's own model was built for
};

// ---- the list ----

static int has_own(const UsTask* task, const char* name) {
  for (const UsFactor* f = task->factors; f && f->name; f++) {
    if (strcmp(f->name, name) == 0) return 1;
  }
  return 0;
}

// Takes up a factor that changes something in the scratch model m.
static void take(UsVariants* v, const UsFactor* f, mjModel* m) {
  mj_copyModel(m, v->base);
  if (!f->apply || !f->apply(m, 0.5)) return;
  US_ASSERT(v->count < US_FACTORS);
  v->factor[v->count++] = f;
}

static void list_factors(UsVariants* v, const UsTask* task, mjModel* m) {
  for (const UsFactor* f = us_factors; f->name; f++) {
    if (!has_own(task, f->name)) take(v, f, m);
  }
  for (const UsFactor* f = task->factors; f && f->name; f++) take(v, f, m);
}

UsVariants* us_variants_create(const UsTask* task, const mjModel* m, int slots, int most) {
  UsVariants* v = calloc(1, sizeof(*v));
  US_ASSERT(v);
  *v = (UsVariants){.base = m, .slots = slots, .most = most};
  v->own = calloc((size_t)slots, sizeof(*v->own));
  v->model = calloc((size_t)slots, sizeof(*v->model));
  v->lent = calloc((size_t)most, sizeof(*v->lent));
  v->built = calloc((size_t)slots, sizeof(*v->built));
  v->data = mj_makeData(m);
  mjModel* scratch = mj_copyModel(NULL, m);
  US_ASSERT(v->own && v->model && v->lent && v->built && v->data && scratch);
  for (int i = 0; i < slots; i++) v->model[i] = m;
  list_factors(v, task, scratch);
  mj_deleteModel(scratch);
  return v;
}

void us_variants_destroy(UsVariants* v) {
  if (!v) return;
  for (int i = 0; i < v->slots; i++) mj_deleteModel(v->own[i]);
  mj_deleteData(v->data);
  free(v->own);
  free(v->model);
  free(v->lent);
  free(v->built);
  free(v);
}

// ---- models ----

static void build(UsVariants* v, int slot, const float* values) {
  if (!v->own[slot]) v->own[slot] = mj_copyModel(NULL, v->base);
  US_ASSERT(v->own[slot]);
  mjModel* m = mj_copyModel(v->own[slot], v->base);
  int physical = 0;
  for (int i = 0; i < v->count; i++) {
    if (values[i] == 0) continue;
    v->factor[i]->apply(m, (double)values[i]);
    physical |= v->factor[i]->physical;
  }
  if (physical) mj_setConst(m, v->data);
  memcpy(v->built[slot], values, sizeof(v->built[slot]));
}

int us_variants_set(UsVariants* v, int slot, const float* values) {
  const mjModel* before = v->model[slot];
  int varied = 0;
  for (int i = 0; i < v->count; i++) varied |= values[i] != 0;
  int same = v->own[slot] && memcmp(v->built[slot], values, sizeof(v->built[slot])) == 0;
  if (varied && !same) build(v, slot, values);
  v->model[slot] = varied ? v->own[slot] : v->base;
  return v->model[slot] != before || (varied && !same);
}

int us_variants_factors(const UsVariants* v, const UsFactor* const** list) {
  *list = v->factor;
  return v->count;
}

const mjModel* const* us_variants_models(const UsVariants* v) {
  return v->model;
}

const mjModel* const* us_variants_lend(UsVariants* v, int n, const int* slots, size_t first,
                                       int samples) {
  US_ASSERT(n <= v->most);
  for (int i = 0; i < v->most; i++) {
    v->lent[i] = i < n ? v->model[slots[(first + (size_t)i) / (size_t)samples]] : v->base;
  }
  return v->lent;
}
