#ifndef UNDERSTUDY_VARIANTS_H_
#define UNDERSTUDY_VARIANTS_H_

// The models of a simulator's slots, one private copy for each slot whose factors are not all 0.
// Not for users of sim.h.
//
// Ownership: the task and the model given to us_variants_create must outlive it. Threads: one call
// at a time; the models may be read from anywhere between calls.

#include "env/task.h"
#include "worldmodel/base/status.h"

typedef struct UsVariants UsVariants;

// Lists the factors that change something in the model m of a task; all slots start with m itself.
// `most`: models that us_variants_lend lends. NULL when out of memory.
UsVariants* us_variants_create(const UsTask* task, const mjModel* m, int slots, int most);

// NULL is fine.
void us_variants_destroy(UsVariants* v);

// The listed factors, *list (F). Returns F.
int us_variants_factors(const UsVariants* v, const UsFactor* const** list);

// Gives a slot its numbers: values (US_FACTORS), of which the first F count. Returns 1 when
// us_variants_models changed, -1 when out of memory for a model: then the slot stays as it is.
int us_variants_set(UsVariants* v, int slot, const float* values);

// The present model of every slot: (slots).
const mjModel* const* us_variants_models(const UsVariants* v);

// Models for copies of slots: copy i < n has that of slots[(first + i) / samples], all others the
// task's own. Returns (most), valid until the next call.
const mjModel* const* us_variants_lend(UsVariants* v, int n, const int* slots, size_t first,
                                       int samples);

#endif  // UNDERSTUDY_VARIANTS_H_
