// Latent actions in use: the codes of a batch, and what codes are worth.

#include <math.h>
#include <stdlib.h>

#include "worldmodel/base/progress.h"
#include "worldmodel/latent/latent_inner.h"

static UsStatus no_memory(void) {
  return us_fail(US_MEMORY, "latent actions: out of memory");
}

UsStatus us_latent_codes(const UsLatent* m, const UsBatch* batch, float* codes) {
  const UsWorldModelClass* cls = m->base.cls;
  const UsLossConfig shape = {.batch = batch->batch, .frames = batch->frames};
  LatentTape* t = (LatentTape*)cls->tape_create(&m->base, &shape);
  if (!t) return no_memory();
  latent_load(t, batch);
  latent_forward(t);
  us_ops_get(m->base.device, t->code, codes,
             (size_t)batch->batch * (size_t)t->steps * (size_t)m->dim);
  cls->tape_destroy((UsTape*)t);
  return us_device_check(m->base.device, "latent actions");
}

// ---- what codes are worth ----

// Adds the errors of a batch, told codes from `turn` samples on, to those of the model, of
// repeating the last frame: the next frame's, then the last's.
static void add_errors(LatentTape* t, const UsBatch* b, int turn, int horizon, double* sums,
                       double* seen, double model[2], double copy[2]) {
  const UsWorldModel* m = &t->m->base;
  t->turn = turn;
  m->cls->loss(m, (UsTape*)t, b, b->batch, 0, NULL, NULL);
  m->cls->errors((UsTape*)t, sums);
  us_ops_get_sums(m->device, sums, seen, 2 * (size_t)horizon);
  model[0] += seen[0];
  model[1] += seen[horizon - 1];
  copy[0] += seen[horizon];
  copy[1] += seen[2 * horizon - 1];
}

static UsStatus measure(LatentTape* t, UsTrainData held, int batches, int horizon, UsBatch* b,
                        double* sums, double* seen, UsLatentFigures* out) {
  double own[2] = {0}, other[2] = {0}, copy[4] = {0};
  out->nats = 0;
  for (int i = 0; i < batches; i++) {
    for (int s = 0; s < b->batch; s++) held.fill(held.source, i, s, b);
    add_errors(t, b, 0, horizon, sums, seen, own, copy);
    out->nats += us_latent_nats((UsTape*)t) / batches;
    add_errors(t, b, 1, horizon, sums, seen, other, copy + 2);
    US_TRY(us_interrupt_check("latent actions"));
  }
  out->own = (UsValidation){own[0] / copy[0], own[1] / copy[1], 1};
  out->shuffled = (UsValidation){other[0] / copy[0], other[1] / copy[1], 1};
  return us_device_check(t->m->base.device, "latent actions");
}

UsStatus us_latent_measure(const UsLatent* m, UsTrainData held, int batch, int batches, int horizon,
                           UsLatentFigures* out) {
  const UsWorldModelClass* cls = m->base.cls;
  int frames = m->base.context + horizon;
  US_ASSERT(batch >= 2 && batches >= 1 && horizon >= 1);
  const UsLossConfig shape = {.batch = batch, .frames = frames, .rollout = horizon};
  size_t n = (size_t)(batch * frames), one = (size_t)(m->base.grid_h * m->base.grid_w);
  LatentTape* t = (LatentTape*)cls->tape_create(&m->base, &shape);
  double* sums = us_ops_alloc_sums(m->base.device, 2 * (size_t)horizon);
  double* seen = calloc(2 * (size_t)horizon, sizeof(double));
  UsBatch b = {.batch = batch, .frames = frames};
  b.latents = calloc(n * one * (size_t)m->base.dim, sizeof(float));
  b.times = calloc(n, sizeof(float));
  b.actions = calloc(n * (size_t)(m->base.block * m->base.action), sizeof(float));
  UsStatus status = t && sums && seen && b.latents && b.times && b.actions
                        ? measure(t, held, batches, horizon, &b, sums, seen, out)
                        : no_memory();
  cls->tape_destroy((UsTape*)t);
  us_ops_free(m->base.device, sums);
  free(seen);
  free(b.latents);
  free(b.times);
  free(b.actions);
  return status;
}
