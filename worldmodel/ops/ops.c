// The operations of ops.h as calls through a device's table.

#include <math.h>

#include "worldmodel/ops/ops_table.h"

UsStatus us_ops_no_memory(UsDevice* d, const char* what, size_t bytes) {
  UsDeviceInfo info;
  US_TRY(us_device_check(d, what));
  us_device_info(d, &info);
  if (info.memory <= 0) {
    return us_fail(US_MEMORY, "%s: out of memory: %zu bytes asked for", what, bytes);
  }
  return us_fail(US_MEMORY, "%s: out of memory: %zu bytes asked for, %.0f of %.0f left on %s", what,
                 bytes, info.unused, info.memory, us_ops_name(d));
}

UsStatus us_ops_arena_alloc(UsDevice* d, UsArena* a) {
  US_ASSERT(!a->base);
  void* block = us_ops_alloc(d, a->size / sizeof(float) + 1);
  if (!block) return us_ops_no_memory(d, "tensors", a->size);
  us_arena_place(a, block);
  return US_OK;
}

// ---- floats and sums, in bytes ----

float* us_ops_alloc(UsDevice* d, size_t count) {
  return count < SIZE_MAX / sizeof(float) ? us_ops_alloc_bytes(d, count * sizeof(float)) : NULL;
}

void us_ops_put(UsDevice* d, float* x, const float* host, size_t count) {
  us_ops_put_bytes(d, x, host, count * sizeof(float));
}

void us_ops_get(UsDevice* d, const float* x, float* host, size_t count) {
  us_ops_get_bytes(d, x, host, count * sizeof(float));
}

void us_ops_zero(UsDevice* d, float* x, size_t count) {
  us_ops_zero_bytes(d, x, count * sizeof(float));
}

void us_ops_copy(UsDevice* d, const float* x, float* y, size_t count) {
  us_ops_copy_bytes(d, x, y, count * sizeof(float));
}

double* us_ops_alloc_sums(UsDevice* d, size_t count) {
  return count < SIZE_MAX / sizeof(double) ? us_ops_alloc_bytes(d, count * sizeof(double)) : NULL;
}

void us_ops_get_sums(UsDevice* d, const double* x, double* host, size_t count) {
  us_ops_get_bytes(d, x, host, count * sizeof(double));
}

// ---- short forms ----

void us_ops_adamw_when(float rate, float beta1, float beta2, int64_t step, double when[3]) {
  US_ASSERT(step >= 1);
  when[0] = rate;
  when[1] = 1.0 - pow((double)beta1, (double)step);
  when[2] = 1.0 - pow((double)beta2, (double)step);
}

void us_ops_linear(UsDevice* d, int rows, int out, int in, const float* x, const float* w,
                   const float* b, float* y) {
  us_ops_dense(d, &(UsDense){.rows = rows, .out = out, .in = in, .x = x, .w = w, .b = b, .y = y});
}

void us_ops_copy_blocks(UsDevice* d, int rows, int width, const float* x, size_t xstride, float* y,
                        size_t ystride) {
  us_ops_copy_rows(d, rows, width, 1, NULL, x, xstride, y, ystride);
}

// Every operation goes through the table of its device.
#define X(result, name, parameters, arguments) \
  result us_ops_##name parameters {            \
    return d->ops->name arguments;             \
  }
US_OPS(X)
#undef X
