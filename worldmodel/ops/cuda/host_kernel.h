#ifndef UNDERSTUDY_HOST_KERNEL_H_
#define UNDERSTUDY_HOST_KERNEL_H_

// The vocabulary of launch.h for g++: CUDA's words for what host_launch.cc runs. Included by
// launch.h alone.

#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define US_VECTORS(X)       \
  X(float, float, 8, 16)    \
  X(double, double, 16, 16) \
  X(int, int, 8, 16)        \
  X(uint, unsigned, 8, 16)
#define X(name, type, align2, align4)                                    \
  struct alignas(align2) name##2 {                                       \
    type x, y;                                                           \
  };                                                                     \
  struct alignas(align4) name##4 {                                       \
    type x, y, z, w;                                                     \
  };                                                                     \
  static inline name##2 make_##name##2(type x, type y) {                 \
    return name##2 {x, y};                                               \
  }                                                                      \
  static inline name##4 make_##name##4(type x, type y, type z, type w) { \
    return name##4 {x, y, z, w};                                         \
  }
US_VECTORS(X)
#undef X

static inline float rsqrtf(float x) {
  return 1.0f / sqrtf(x);
}
static inline double rsqrt(double x) {
  return 1.0 / sqrt(x);
}

typedef struct UsHostStream* UsStream;

// Where the fiber that runs now is; they change at every switch.
extern dim3 us_host_thread, us_host_block, us_host_block_size, us_host_grid_size;
#define threadIdx us_host_thread
#define blockIdx us_host_block
#define blockDim us_host_block_size
#define gridDim us_host_grid_size

// ---- launches ----

// A kernel's call with its arguments, copied into the stream; run(call) is one thread of it.
struct UsHostLaunch {
  const char* name;
  const void* kernel;
  dim3 grid, block;
  size_t shared;
  void (*run)(void* call);
};
void us_host_launch(const UsHostLaunch* launch, UsStream stream, const void* call, size_t size);

// Whether argument `index` of a kernel points to device memory, or nowhere; else a fault.
bool us_host_check_pointer(const char* kernel, int index, const void* x);
void us_host_shared_limit(const void* kernel, size_t bytes);

template <class T>
static inline bool us_host_check(const char*, int, const T&) {
  return true;
}
template <class T>
static inline bool us_host_check(const char* kernel, int index, T* const& x) {
  return us_host_check_pointer(kernel, index, (const void*)x);
}

template <class T>
struct UsHostSame {
  typedef T type;
};

// Arguments take the types of the kernel's parameters, as in <<<>>>.
template <class... P>
static inline void us_host_start(const char* name, void (*kernel)(P...), dim3 grid, dim3 block,
                                 size_t shared, UsStream stream,
                                 typename UsHostSame<P>::type... p) {
  [[maybe_unused]] int index = 0;
  bool sound = (us_host_check(name, index++, p) && ... && true);
  if (!sound) return;
  auto call = [=] { kernel(p...); };
  typedef decltype(call) Call;
  UsHostLaunch launch = {
      name, (const void*)kernel, grid, block, shared, [](void* c) { (*(const Call*)c)(); }};
  us_host_launch(&launch, stream, &call, sizeof call);
}

#define LAUNCH(kernel, grid, block, shared, stream, ...) \
  us_host_start(#kernel, kernel, grid, block, shared, stream, ##__VA_ARGS__)
#define US_SHARED_LIMIT(kernel, bytes) us_host_shared_limit((const void*)(kernel), bytes)

// ---- shared memory ----

void* us_host_shared();
// The block's memory of the array that `site` names; the first call of a block finds it undefined.
void* us_host_shared_array(const void* site, size_t bytes);

#define US_SHARED(type, name) type* const name = (type*)us_host_shared()
#define US_SHARED_ARRAY(type, name, shape) \
  static const char name##_site = 0;       \
  auto& name = *(type(*) shape)us_host_shared_array(&name##_site, sizeof(type shape))

// ---- meetings ----

// What a thread leaves at a meeting, and what it takes away.
union UsHostSlot {
  float f;
  double d;
  int i;
};
static inline void us_host_set(UsHostSlot* s, float v) {
  s->f = v;
}
static inline void us_host_set(UsHostSlot* s, double v) {
  s->d = v;
}
static inline void us_host_set(UsHostSlot* s, int v) {
  s->i = v;
}
static inline float us_host_get(const UsHostSlot* s, float) {
  return s->f;
}
static inline double us_host_get(const UsHostSlot* s, double) {
  return s->d;
}
static inline int us_host_get(const UsHostSlot* s, int) {
  return s->i;
}

// Returns when all threads of a warp or block are here; the last to come calls reduce (Nullable) on
// what they left in `in`, one slot a thread, and what it puts into `out` is for all to read. All
// must have called from the same line with the same reduce. Returns out.
typedef void (*UsHostReduce)(const UsHostSlot* in, UsHostSlot* out, int count);
const UsHostSlot* us_host_meet(bool block, const char* what, int line, UsHostReduce reduce,
                               UsHostSlot mine);

#define US_LINE int line = __builtin_LINE()

static inline void __syncthreads(US_LINE) {
  us_host_meet(true, "__syncthreads", line, NULL, UsHostSlot());
}
static inline void __syncwarp(US_LINE) {
  us_host_meet(false, "__syncwarp", line, NULL, UsHostSlot());
}

static inline void us_host_all(const UsHostSlot* in, UsHostSlot* out, int count) {
  memcpy(out, in, (size_t)count * sizeof *in);
}
template <class T>
static inline const UsHostSlot* us_host_gather(bool block, const char* what, int line, T v,
                                               UsHostReduce reduce = us_host_all) {
  UsHostSlot mine = UsHostSlot();
  us_host_set(&mine, v);
  return us_host_meet(block, what, line, reduce, mine);
}
// This thread's lane.
static inline int us_host_lane() {
  return (int)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}
template <class T>
static inline T __shfl_sync(unsigned, T v, int lane, US_LINE) {
  return us_host_get(us_host_gather(false, "__shfl_sync", line, v) + lane % 32, v);
}
template <class T>
static inline T __shfl_xor_sync(unsigned, T v, int mask, US_LINE) {
  return us_host_get(us_host_gather(false, "__shfl_xor_sync", line, v) + (us_host_lane() ^ mask),
                     v);
}
template <class T>
static inline T __shfl_up_sync(unsigned, T v, unsigned d, US_LINE) {
  int from = us_host_lane() - (int)d;
  return us_host_get(
      us_host_gather(false, "__shfl_up_sync", line, v) + (from < 0 ? us_host_lane() : from), v);
}

#endif  // UNDERSTUDY_HOST_KERNEL_H_
