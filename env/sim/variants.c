// Private copies of a task's model, one for each slot that varies, and the list of factors that
// change something in it.

#include "env/sim/variants.h"

#include <stdlib.h>
#include <string.h>

#include "env/factors.h"
#include "env/trap.h"
#include "worldmodel/base/arena.h"

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
  UsArena arena;
};

// ---- the list ----

// Takes up a factor that changes something in the scratch model m.
static void take(UsVariants* v, const UsFactor* f, mjModel* m) {
  mj_copyModel(m, v->base);
  if (!f->apply || !f->apply(m, 0.5)) return;
  US_ASSERT(v->count < US_FACTORS);
  v->factor[v->count++] = f;
}

typedef struct Listing {
  UsVariants* v;
  const UsTask* task;
  mjModel* scratch;
} Listing;

// Tries every factor on a copy of the scene: the general ones that the task has none of its own
// for, then the task's.
static void list_factors(void* arg) {
  Listing* c = arg;
  c->v->data = mj_makeData(c->v->base);
  c->scratch = mj_copyModel(NULL, c->v->base);
  for (const UsFactor* f = us_factors; f->name; f++) {
    const UsFactor* own = c->task->factors;
    while (own && own->name && strcmp(own->name, f->name) != 0) own++;
    if (!own || !own->name) take(c->v, f, c->scratch);
  }
  for (const UsFactor* f = c->task->factors; f && f->name; f++) take(c->v, f, c->scratch);
}

// The object's memory, measured first and placed then.
static void place(UsVariants* v) {
  v->own = US_TAKE(&v->arena, mjModel*, v->slots);
  v->model = US_TAKE(&v->arena, const mjModel*, v->slots);
  v->lent = US_TAKE(&v->arena, const mjModel*, v->most);
  v->built = us_arena_take(&v->arena, (size_t)v->slots, sizeof(*v->built));
}

UsVariants* us_variants_create(const UsTask* task, const mjModel* m, int slots, int most) {
  UsVariants* v = calloc(1, sizeof(*v));
  if (!v) return NULL;
  *v = (UsVariants){.base = m, .slots = slots, .most = most};
  // One block for all lists.
  place(v);
  if (us_arena_alloc(&v->arena) != US_OK) {
    free(v);
    return NULL;
  }
  place(v);
  // Every slot starts on the task's own model.
  for (int i = 0; i < slots; i++) v->model[i] = m;
  Listing list = {.v = v, .task = task};
  char found[1];
  int failed = us_trap_run(list_factors, &list, found, sizeof(found));
  mj_deleteModel(list.scratch);
  if (failed || !v->data) {
    us_variants_destroy(v);
    return NULL;
  }
  return v;
}

void us_variants_destroy(UsVariants* v) {
  if (!v) return;
  for (int i = 0; i < v->slots; i++) mj_deleteModel(v->own[i]);
  mj_deleteData(v->data);
  us_arena_free(&v->arena);
  free(v);
}

// ---- models ----

typedef struct Copy {
  const mjModel* from;
  mjModel* to;
} Copy;

static void copy_model(void* arg) {
  Copy* c = arg;
  c->to = mj_copyModel(NULL, c->from);
}

// Makes a slot's own model that of the numbers. 0 when out of memory.
static int build(UsVariants* v, int slot, const float* values) {
  Copy copy = {.from = v->base};
  char found[1];
  if (!v->own[slot]) {
    if (us_trap_run(copy_model, &copy, found, sizeof(found)) || !copy.to) return 0;
    v->own[slot] = copy.to;
  }
  // From the unvaried model: factors are applied in the order of the list.
  mjModel* m = mj_copyModel(v->own[slot], v->base);
  int physical = 0;
  for (int i = 0; i < v->count; i++) {
    if (values[i] == 0) continue;
    v->factor[i]->apply(m, (double)values[i]);
    physical |= v->factor[i]->physical;
  }
  // Physics may need constants that MuJoCo derives.
  if (physical) mj_setConst(m, v->data);
  memcpy(v->built[slot], values, sizeof(v->built[slot]));
  return 1;
}

int us_variants_set(UsVariants* v, int slot, const float* values) {
  // A slot is built anew when its numbers are others than those of its own model.
  const mjModel* before = v->model[slot];
  int varied = 0;
  for (int i = 0; i < v->count; i++) varied |= values[i] != 0;
  int same = v->own[slot] && memcmp(v->built[slot], values, sizeof(v->built[slot])) == 0;
  if (varied && !same && !build(v, slot, values)) return -1;
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
