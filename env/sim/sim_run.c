// Calls into MuJoCo's batches, whose warnings are counted and whose errors are kept.

#include <stdio.h>
#include <string.h>

#include "env/sim/sim_inner.h"
#include "env/trap.h"

// MuJoCo is not built with the thread sanitizer, which so cannot see that its pool hands work over
// and back. It is told, at one place for the beginning of a call and one for its end.
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static char begun, ended;
static void hand_over(char* place) {
  __tsan_release(place);
}
static void take_over(char* place) {
  __tsan_acquire(place);
}
#else
#define hand_over(place) ((void)0)
#define take_over(place) ((void)0)
#endif

typedef struct Call {
  Sim* sim;
  mjfBatchFunc func;
  void* arg;
} Call;

// What runs in a simulation, between counting its warnings.
static void run_one(const mjModel* m, mjData* d, int sim, void* arg) {
  take_over(&begun);
  const Call* c = arg;
  memset(d->warning, 0, sizeof(d->warning));
  c->func(m, d, sim, c->arg);
  for (int i = 0; i < mjNWARNING; i++) {
    int n = d->warning[i].number;
    if (n) __atomic_fetch_add(&c->sim->warned[i], n, __ATOMIC_RELAXED);
  }
  hand_over(&ended);
}

int us_sim_run(Sim* s, mjBatch* b, int n, const int* ids, mjfBatchFunc func, void* arg, int save) {
  Call call = {s, func, arg};
  if (n == 0) return -1;
  hand_over(&begun);
  // MuJoCo's own pool runs it; a simulation that failed says so in the batch.
  int failed = mjb_apply(b, ids, n, run_one, &call, save);
  take_over(&ended);
  if (failed == 0) return -1;
  for (int i = 0; i < n; i++) {
    if (mjb_status(b)[ids[i]]) return ids[i];
  }
  return -1;
}

UsStatus us_sim_failed(Sim* s, const mjBatch* b, int sim, int slot, int step) {
  UsEnvError error = {.slot = slot, .step = step};
  // The first error is kept, later ones may follow from it.
  us_trap_line(error.text, sizeof(error.text), mjb_error(b, sim));
  if (slot >= 0 && !s->env.error.text[0]) s->env.error = error;
  return us_fail(US_MUJOCO, "%s: MuJoCo: %s", s->env.info.name, error.text);
}

long long us_sim_warnings(const UsEnv* e, char* line, size_t size) {
  // Words for MuJoCo's kinds of warnings.
  static const char* const kinds[mjNWARNING] = {
      [mjWARN_INERTIA] = "singular inertia",
      [mjWARN_CONTACTFULL] = "contacts beyond <size memory>",
      [mjWARN_CNSTRFULL] = "constraints beyond <size memory>",
      [mjWARN_BADQPOS] = "bad qpos",
      [mjWARN_BADQVEL] = "bad qvel",
      [mjWARN_BADQACC] = "bad qacc",
      [mjWARN_BADCTRL] = "bad ctrl"};
  line[0] = 0;
  if (!us_sim_is_mujoco(e)) return 0;
  const Sim* s = sim_of((UsEnv*)e);
  // "kind count, kind count" as far as there is room.
  long long all = 0;
  size_t used = 0;
  for (int i = 0; i < mjNWARNING; i++) {
    if (s->warned[i] == 0) continue;
    all += s->warned[i];
    used += (size_t)snprintf(line + used, size - used, "%s%s %lld", used ? ", " : "", kinds[i],
                             (long long)s->warned[i]);
    if (used >= size) used = size - 1;
  }
  return all;
}
