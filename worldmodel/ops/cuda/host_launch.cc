// A kernel on the host. The threads of a block are fibers on stacks of their own, of which one runs
// at a time: until it ends or waits at a meeting (a barrier or a helper), and then any other that
// can go on, drawn at random. A thread that does not wait costs a call: the next one runs on the
// same stack. Blocks run one after the other in a random order, each with shared memory filled with
// NaN. When nobody can go on and somebody waits, the meeting is one that not all reach.

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "worldmodel/ops/cuda/host_run.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_POISON_MEMORY_REGION(x, n) ((void)(x), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(x, n) ((void)(x), (void)(n))
#endif

dim3 us_host_thread, us_host_block, us_host_block_size, us_host_grid_size;

namespace {

enum {
  THREADS = 1024,     // most of a block
  PAGE = 4096,        // the guard below a stack
  STACK = 128 << 10,  // bytes of a fiber, its guard included
  ARRAYS = 32,        // most shared arrays of a block
  SHARED = 232448,    // bytes of the largest block of sm_90
  GAP = 128,          // bytes that no array has, between two
};

enum State { RUNNING, WAITING, DONE };  // what may go on is RUNNING or WAITING

struct Fiber {
  State state;
  uint64_t epoch;   // the block that it began in; in any other it has not
  void* sp;         // where it was left
  void* stack;      // until it is DONE
  void* fake;       // AddressSanitizer's own
  const void* low;  // the stack's lowest usable byte
  size_t size;
  // What it waits for.
  const char* what;
  int line;
  UsHostReduce reduce;
};

// The numbers 0 .. n - 1 in another order: each is `step` after the one before, modulo n.
struct Order {
  int n, step, at;
};

struct Run {
  const UsHostLaunch* launch;
  void* call;
  uint64_t random, coins, epoch;
  bool ordered, failed;
  int threads, current, done;
  int arrived, warp_arrived[THREADS / 32];  // threads that wait for the rest of a block, of a warp
  // Who can go on: the next `fresh` threads of `order`, and a ring of those whose meeting is over.
  Order order;
  int fresh, steps[8];
  unsigned ready_first, ready_count;
  int ready[THREADS];
  dim3 place[THREADS];
  Fiber fiber[THREADS], home;
  void* stacks[THREADS];  // free ones
  int stack_count;
  UsHostSlot in[THREADS], block_out[THREADS], warp_out[THREADS];
  // Shared memory: LAUNCH's bytes, then arrays in the order of their first call.
  uint32_t poison;
  size_t allowed, shared_used, array_bytes;
  int array_count;
  struct {
    const void* site;
    void* at;
  } array[ARRAYS];
  alignas(128) unsigned char shared[SHARED + GAP * (ARRAYS + 2)];
} run;

// ---- fibers ----

#ifdef __x86_64__
// Saves what a call preserves on the stack, leaves its place in *from and goes on at `to`.
extern "C" void us_host_switch(void** from, void* to);
asm(R"(
  .text
  .balign 16
  .hidden us_host_switch
  .globl us_host_switch
  .type us_host_switch, @function
us_host_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size us_host_switch, . - us_host_switch
)");

// A place on an empty stack from which us_host_switch begins `entry`. Stacks begin at different
// lines of the cache, which those of equal addresses modulo a page would share.
void* fresh(void* stack, int number, void (*entry)()) {
  size_t colour = (size_t)(number % 29) * 128;
  uint64_t* top = (uint64_t*)((char*)stack + STACK - 256 - colour);
  *--top = 0;                // the return address of entry, which does not return
  *--top = (uint64_t)entry;  // rsp is then 8 modulo 16, as after a call
  for (int i = 0; i < 6; ++i) *--top = 0;
  return top;
}
#else
#error "the host build of the CUDA code switches fibers on x86-64 alone"
#endif

void* take_stack() {
  if (run.stack_count > 0) return run.stacks[--run.stack_count];
  char* s = (char*)mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (s == MAP_FAILED || mprotect(s, PAGE, PROT_NONE)) abort();
  return s;
}

// Leaves `from` for `to`; `last` when it never goes on. Not instrumented, as the frames that a
// fiber leaves for ever are.
#define BARE __attribute__((no_sanitize("address"), noinline))

BARE void go(Fiber* from, Fiber* to, bool last) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(last ? NULL : &from->fake, to->low, to->size);
  us_host_switch(&from->sp, to->sp);
  __sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
#else
  (void)last;
  us_host_switch(&from->sp, to->sp);
#endif
}

int next(Order* o) {
  int t = o->at;
  o->at += o->step;
  if (o->at >= o->n) o->at -= o->n;
  return t;
}

// A new order of a warp's lanes or of a block's threads.
Order new_order(int n) {
  if (run.ordered) return Order{n, 1, 0};
  uint64_t r = us_host_random(&run.random);
  run.coins = r;
  int step = n == run.threads ? run.steps[r % 8] : (int)(r % 32) | 1;
  return Order{n, step, (int)((r >> 32) * (uint64_t)n >> 32)};
}

// One of those that can go on, -1 when there is none.
int draw(bool* begins) {
  run.coins = run.coins >> 1 | run.coins << 63;
  *begins = run.fresh > 0 && (run.ready_count == 0 || run.ordered || (run.coins & 1));
  if (*begins) {
    --run.fresh;
    return next(&run.order);
  }
  if (run.ready_count == 0) return -1;
  --run.ready_count;
  return run.ready[run.ready_first++ % THREADS];
}

void enter(int t) {
  run.current = t;
  us_host_thread = run.place[t];
}

BARE void begin();

// Its turn, on a stack of its own.
Fiber* turn(int t, bool begins, void* stack) {
  Fiber* f = run.fiber + t;
  if (begins) {
    f->epoch = run.epoch;
    f->stack = stack;
    f->low = (char*)stack + PAGE;
    f->size = STACK - PAGE;
  }
  f->state = RUNNING;
  run.current = t;
  return f;
}

// Gives `from` up for another one; returns when it is its turn again.
void leave(Fiber* from) {
  bool begins = false;
  int t = run.failed ? -1 : draw(&begins);
  Fiber* to = t < 0 ? &run.home : turn(t, begins, begins ? take_stack() : NULL);
  if (begins) to->sp = fresh(to->stack, t, begin);
  if (to != from) go(from, to, false);
}

// The life of a stack: threads that have not begun, one after the other, until one that waits
// elsewhere is drawn, or none.
void begin() {
#if defined(__SANITIZE_ADDRESS__)
  bool from_home = run.home.size == 0;
  __sanitizer_finish_switch_fiber(NULL, from_home ? &run.home.low : NULL,
                                  from_home ? &run.home.size : NULL);
#endif
  for (;;) {
    enter(run.current);
    run.launch->run(run.call);
    Fiber* me = run.fiber + run.current;
    me->state = DONE;
    ++run.done;
    bool begins;
    int t = draw(&begins);
    Fiber* to = t < 0 ? &run.home : turn(t, begins, me->stack);
    if (begins) continue;
    run.stacks[run.stack_count++] = me->stack;
    go(me, to, true);
  }
}

// ---- blocks ----

// What one waits for, in words.
int say_wait(char* text, size_t size, int t) {
  const Fiber* f = run.fiber + t;
  return snprintf(text, size, "thread %d waits at %s of line %d", t, f->what, f->line);
}

// Nobody can go on: who ended, and two that wait for different things.
void fault_of_block(const char* why) {
  char text[256] = "";
  int first = -1, other = -1;
  for (int t = 0; t < run.threads; ++t) {
    const Fiber* f = run.fiber + t;
    if (f->epoch != run.epoch || f->state != WAITING) continue;
    if (first < 0) first = t;
    const Fiber* g = run.fiber + first;
    if (other < 0 && (f->line != g->line || f->what != g->what)) other = t;
  }
  int n = first < 0 ? 0 : say_wait(text, sizeof text, first);
  if (other >= 0) n += snprintf(text + n, sizeof text - (size_t)n, ", ");
  if (other >= 0) say_wait(text + n, sizeof text - (size_t)n, other);
  us_host_fault("%s, block (%u, %u, %u): %s: %d of %d threads ended, %s", run.launch->name,
                us_host_block.x, us_host_block.y, us_host_block.z, why, run.done, run.threads,
                text);
}

// Fills with NaN, for doubles too; as an int sometimes the least, sometimes the largest but one.
void spoil(unsigned char* x, size_t bytes) {
  for (size_t i = 0; i + 4 <= bytes; i += 4) memcpy(x + i, &run.poison, 4);
  memset(x + bytes / 4 * 4, 0xff, bytes % 4);
}

// Takes back what fibers hold that will never go on.
void abandon() {
  for (int t = 0; t < run.threads; ++t) {
    Fiber* f = run.fiber + t;
    if (f->epoch != run.epoch || f->state == DONE) continue;
    ASAN_UNPOISON_MEMORY_REGION((char*)f->stack + PAGE, STACK - PAGE);
    run.stacks[run.stack_count++] = f->stack;
  }
}

void run_block() {
  size_t shared = run.launch->shared;
  ASAN_POISON_MEMORY_REGION(run.shared, run.shared_used);
  ASAN_UNPOISON_MEMORY_REGION(run.shared, shared);
  spoil(run.shared, shared);
  run.shared_used = shared;
  run.array_bytes = 0;
  run.array_count = run.done = run.arrived = 0;
  memset(run.warp_arrived, 0, sizeof run.warp_arrived);
  ++run.epoch;
  run.order = new_order(run.threads);
  run.fresh = run.threads;
  run.ready_count = 0;
  leave(&run.home);
  if (run.done < run.threads && !run.failed) {
    run.failed = true;
    fault_of_block("not all threads reach a barrier or helper");
  }
  if (run.failed) abandon();
}

// Block i of the grid in the order i -> (a i + b) mod n, a without a common divisor with n.
uint64_t coprime(uint64_t n, uint64_t a) {
  for (a = a % n;; a = (a + 1) % n) {
    uint64_t x = a, y = n;
    while (y) {
      uint64_t r = x % y;
      x = y, y = r;
    }
    if (x == 1 || n == 1) return a;
  }
}

}  // namespace

void us_host_run(const UsHostLaunch* launch, void* call, uint64_t seed) {
  run.launch = launch, run.call = call;
  run.random = seed, run.ordered = seed == 0, run.failed = false;
  run.home.size = 0;
  run.shared_used = sizeof run.shared;
  run.allowed = us_host_shared_allowed(launch->kernel);
  dim3 g = launch->grid, b = launch->block;
  us_host_grid_size = g, us_host_block_size = b;
  run.threads = (int)(b.x * b.y * b.z);
  for (int& step : run.steps) {
    step = (int)coprime((uint64_t)run.threads, us_host_random(&run.random));
  }
  for (unsigned t = 0; t < (unsigned)run.threads; ++t) {
    run.place[t] = dim3(t % b.x, t / b.x % b.y, t / b.x / b.y);
  }
  uint64_t blocks = (uint64_t)g.x * g.y * g.z;
  uint64_t step = run.ordered ? 1 : coprime(blocks, us_host_random(&run.random));
  uint64_t at = run.ordered ? 0 : us_host_random(&run.random) % blocks;
  run.poison = us_host_random(&run.random) & 1 ? 0xffffffffu : 0x7fffffffu;
  for (uint64_t i = 0; i < blocks && !run.failed; ++i, at = (at + step) % blocks) {
    us_host_block =
        dim3((unsigned)(at % g.x), (unsigned)(at / g.x % g.y), (unsigned)(at / g.x / g.y));
    run_block();
  }
}

void* us_host_shared() {
  return run.shared;
}

void* us_host_shared_array(const void* site, size_t bytes) {
  for (int i = 0; i < run.array_count; ++i) {
    if (run.array[i].site == site) return run.array[i].at;
  }
  size_t at = (run.shared_used + GAP + 127) / 128 * 128;
  if (run.array_count == ARRAYS || at + bytes > sizeof run.shared) {
    fprintf(stderr, "%s: shared arrays of more bytes than a block has\n", run.launch->name);
    abort();
  }
  run.array_bytes += bytes;
  if (run.launch->shared + run.array_bytes > run.allowed && !run.failed) {
    run.failed = true;
    us_host_fault("%s: %zu bytes of shared memory", run.launch->name,
                  run.launch->shared + run.array_bytes);
  }
  run.array[run.array_count].site = site;
  run.array[run.array_count++].at = run.shared + at;
  ASAN_UNPOISON_MEMORY_REGION(run.shared + at, bytes);
  spoil(run.shared + at, bytes);
  run.shared_used = at + bytes;
  return run.shared + at;
}

const UsHostSlot* us_host_meet(bool block, const char* what, int line, UsHostReduce reduce,
                               UsHostSlot mine) {
  int t = run.current, first = block ? 0 : t / 32 * 32, count = block ? run.threads : 32;
  Fiber* me = run.fiber + t;
  me->state = WAITING;
  me->what = what, me->line = line, me->reduce = reduce;
  run.in[t] = mine;
  UsHostSlot* out = block ? run.block_out : run.warp_out + first;
  int* arrived = block ? &run.arrived : run.warp_arrived + first / 32;
  if (++*arrived == count) {
    *arrived = 0;
    Order order = new_order(count);
    for (int i = 0; i < count; ++i) {
      int other = first + next(&order);
      const Fiber* f = run.fiber + other;
      run.failed = run.failed || f->line != line || f->what != what || f->reduce != reduce;
      run.ready[(run.ready_first + run.ready_count++) % THREADS] = other;
    }
    if (run.failed) {
      fault_of_block("threads meet in different places");
    } else if (reduce) {
      reduce(run.in + first, out, count);
    }
  }
  leave(me);
  enter(t);
  return out;
}
