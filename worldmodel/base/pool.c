// A loop is handed out item by item through a counter; helpers sleep between loops.

#define _GNU_SOURCE
#include "worldmodel/base/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "worldmodel/base/machine.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/status.h"

enum { kSecond = 1000000000, kWait = 20000000 };  // ns; between two looks at the caller's wish

typedef struct Worker {
  UsPool* pool;
  int index;
  pthread_t thread;
} Worker;

struct UsPool {
  pthread_mutex_t lock;
  pthread_cond_t wake;  // a new loop, or the end
  pthread_cond_t done;  // the last worker left the loop
  Worker* worker;       // (threads)
  int threads;
  unsigned long loop;  // counts loops, so that a sleeping worker sees a new one
  int busy;            // helpers still in the present loop
  int stop;
  int items, next;
  int wanted;  // 1: the caller of this loop wants to stop
  UsPoolItem item;
  void* arg;
};

// Hooks belong to the calling thread: it asks for all, and helpers' us_interrupted reads the
// answer.
static void ask(UsPool* p) {
  if (us_interrupted()) __atomic_store_n(&p->wanted, 1, __ATOMIC_RELAXED);
}

static int is_wanted(void* pool) {
  return __atomic_load_n(&((UsPool*)pool)->wanted, __ATOMIC_RELAXED);
}

static void work(UsPool* p, int worker) {
  for (;;) {
    // Whoever is free takes the next item, so no order of items may matter.
    int i = __atomic_fetch_add(&p->next, 1, __ATOMIC_RELAXED);
    if (i >= p->items) return;
    if (worker == 0) ask(p);
    p->item(p->arg, i, worker);
  }
}

static void* helper(void* arg) {
  Worker* w = arg;
  UsPool* p = w->pool;
  unsigned long seen = 0;
  us_hooks_set((UsHooks){.stop = is_wanted, .data = p});
  pthread_mutex_lock(&p->lock);
  for (;;) {
    // A loop that has begun since the last one, or the end.
    while (!p->stop && p->loop == seen) pthread_cond_wait(&p->wake, &p->lock);
    if (p->stop) break;
    seen = p->loop;
    pthread_mutex_unlock(&p->lock);
    work(p, w->index);
    pthread_mutex_lock(&p->lock);
    // The last one to leave wakes the caller.
    if (--p->busy == 0) pthread_cond_signal(&p->done);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

UsPool* us_pool_create(int threads) {
  if (threads <= 0) threads = us_machine_processors();
  UsPool* p = calloc(1, sizeof(*p));
  Worker* workers = calloc((size_t)threads, sizeof(*workers));
  if (!p || !workers) {
    free(p);
    free(workers);
    return NULL;
  }
  p->worker = workers;
  p->threads = 1;
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
  // The caller waits on a clock that never jumps.
  pthread_condattr_t clock;
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&p->done, &clock);
  pthread_condattr_destroy(&clock);
  // Where the system gives fewer threads the pool has fewer; worker 0 is the caller.
  for (int i = 1; i < threads; i++) {
    workers[i] = (Worker){.pool = p, .index = i};
    if (pthread_create(&workers[i].thread, NULL, helper, &workers[i]) != 0) break;
    p->threads++;
  }
  return p;
}

void us_pool_destroy(UsPool* p) {
  if (!p) return;
  pthread_mutex_lock(&p->lock);
  p->stop = 1;
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
  for (int i = 1; i < p->threads; i++) pthread_join(p->worker[i].thread, NULL);
  pthread_cond_destroy(&p->done);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
  free(p->worker);
  free(p);
}

int us_pool_threads(const UsPool* p) {
  return p ? p->threads : 1;
}

void us_pool_run(UsPool* p, int items, UsPoolItem item, void* arg) {
  if (!p || p->threads == 1 || items <= 1) {
    for (int i = 0; i < items; i++) item(arg, i, 0);
    return;
  }
  // The loop is set up, then the helpers are woken.
  pthread_mutex_lock(&p->lock);
  US_ASSERT(p->busy == 0);
  p->items = items;
  p->item = item;
  p->arg = arg;
  p->next = 0;
  p->wanted = 0;
  p->busy = p->threads - 1;
  p->loop++;
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
  work(p, 0);
  // Helpers may still be at their last items: meanwhile the caller's hooks are asked.
  pthread_mutex_lock(&p->lock);
  while (p->busy > 0) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += kWait;
    until.tv_sec += until.tv_nsec / kSecond;
    until.tv_nsec %= kSecond;
    pthread_cond_timedwait(&p->done, &p->lock, &until);
    ask(p);
  }
  pthread_mutex_unlock(&p->lock);
}
