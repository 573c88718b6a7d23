#ifndef UNDERSTUDY_POOL_H_
#define UNDERSTUDY_POOL_H_

// A pool of threads that share the items of a loop.
//
// Items are handed out in order of index to whichever worker is free, so a result may depend on the
// item and never on the worker; the worker's number only selects scratch memory. The calling thread
// is worker 0. Workers sleep between calls.
//
// Threads: one us_pool_run at a time per pool; an item must not call us_pool_run on its own pool.

#include "worldmodel/base/api.h"

US_C_BEGIN

typedef struct UsPool UsPool;

// Runs item 0 .. items - 1 of `arg`; worker is 0 .. us_pool_threads - 1.
typedef void (*UsPoolItem)(void* arg, int item, int worker);

// A pool of `threads` workers, the caller's included; 0: one per processor that this process may
// use. NULL when out of memory; fewer workers when the system refuses threads.
US_API UsPool* us_pool_create(int threads);

// Ends the workers. NULL is fine.
US_API void us_pool_destroy(UsPool* p);

// Number of workers, the caller's included. NULL: 1.
US_API int us_pool_threads(const UsPool* p);

// Runs all items and returns when the last is done. NULL: runs them here, in order. Inside an item
// us_interrupted answers for the thread that called this, in every worker: long items return early
// then, and the caller asks once more before it uses what came of them.
US_API void us_pool_run(UsPool* p, int items, UsPoolItem item, void* arg);

US_C_END

#endif  // UNDERSTUDY_POOL_H_
