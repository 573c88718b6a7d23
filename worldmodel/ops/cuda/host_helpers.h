#ifndef UNDERSTUDY_HOST_HELPERS_H_
#define UNDERSTUDY_HOST_HELPERS_H_

// The helpers of launch.h on the host: one meeting each, whose last thread adds in the order that
// the device's shuffles have. Included by launch.h alone.

// The tree of a warp, in slots i and i ^ o alike, so half of them are enough.
template <class T>
static inline T us_host_warp_sum(const UsHostSlot* in) {
  T v[US_WARP];
  for (int i = 0; i < US_WARP; ++i) v[i] = us_host_get(in + i, T());
  for (int o = US_WARP / 2; o > 0; o /= 2) {
    for (int i = 0; i < o; ++i) v[i] += v[i + o];
  }
  return v[0];
}
template <class T>
static inline void us_host_sum(const UsHostSlot* in, UsHostSlot* out, int count) {
  UsHostSlot part[US_WARP];
  for (int w = 0; w < US_WARP; ++w) {
    us_host_set(part + w, w < count / US_WARP ? us_host_warp_sum<T>(in + w * US_WARP) : T(0));
  }
  us_host_set(out, count == US_WARP ? us_host_get(part, T()) : us_host_warp_sum<T>(part));
}
template <class T>
static inline void us_host_max(const UsHostSlot* in, UsHostSlot* out, int count) {
  T v = us_host_get(in, T());
  for (int i = 1; i < count; ++i) v = us_larger(v, us_host_get(in + i, T()));
  us_host_set(out, v);
}
static inline void us_host_scan(const UsHostSlot* in, UsHostSlot* out, int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) out[i].i = sum += in[i].i;
}

template <class T>
static inline T warp_shuffle(T v, int lane, US_LINE) {
  return us_host_get(us_host_gather(false, "warp_shuffle", line, v) + lane % US_WARP, v);
}
template <class T>
static inline T warp_broadcast(T v, int lane, US_LINE) {
  return us_host_get(us_host_gather(false, "warp_broadcast", line, v) + lane % US_WARP, v);
}
template <class T>
static inline T warp_xor(T v, int mask, US_LINE) {
  return us_host_get(us_host_gather(false, "warp_xor", line, v) + (lane_rank() ^ mask), v);
}
template <class T>
static inline T warp_up(T v, int d, US_LINE) {
  int from = lane_rank() < d ? lane_rank() : lane_rank() - d;
  return us_host_get(us_host_gather(false, "warp_up", line, v) + from, v);
}
template <class T>
static inline T warp_sum(T v, US_LINE) {
  return us_host_get(us_host_gather(false, "warp_sum", line, v, us_host_sum<T>), v);
}
template <class T>
static inline T warp_max(T v, US_LINE) {
  return us_host_get(us_host_gather(false, "warp_max", line, v, us_host_max<T>), v);
}
template <class T>
static inline T block_sum(T v, US_LINE) {
  return us_host_get(us_host_gather(true, "block_sum", line, v, us_host_sum<T>), v);
}
template <class T>
static inline T block_max(T v, US_LINE) {
  return us_host_get(us_host_gather(true, "block_max", line, v, us_host_max<T>), v);
}
template <class T>
static inline T block_broadcast(T v, int thread, US_LINE) {
  return us_host_get(us_host_gather(true, "block_broadcast", line, v) + thread, v);
}
static inline int block_scan(int v, US_LINE) {
  return us_host_gather(true, "block_scan", line, v, us_host_scan)[thread_rank()].i;
}
static inline int block_scan_before(int v, int* total, US_LINE) {
  const UsHostSlot* sums = us_host_gather(true, "block_scan_before", line, v, us_host_scan);
  *total = sums[block_threads() - 1].i;
  return sums[thread_rank()].i - v;
}

#endif  // UNDERSTUDY_HOST_HELPERS_H_
