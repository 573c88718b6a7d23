// Devices by name, and the operations of ops.h as calls through a device's table.

#include <string.h>

#include "worldmodel/ops/ops_table.h"

UsDevice* us_device_cpu(void) {
  static UsDevice cpu = {.ops = &us_ops_cpu};
  return &cpu;
}

UsStatus us_device_open(const char* name, UsDevice** out) {
  *out = strcmp(name, "cpu") ? NULL : us_device_cpu();
  return *out ? US_OK : us_fail(US_USAGE, "device: expected cpu, found %s", name);
}

void us_device_close(UsDevice* d) {
  if (d && d->close) d->close(d);
}

UsStatus us_ops_arena_alloc(UsDevice* d, UsArena* a) {
  US_ASSERT(!a->base);
  void* block = us_ops_alloc(d, a->size / sizeof(float) + 1);
  if (!block) return us_fail(US_MEMORY, "out of memory: %zu bytes asked for", a->size);
  us_arena_place(a, block);
  return US_OK;
}

// Every operation goes through the table of its device.
#define X(result, name, parameters, arguments) \
  result us_ops_##name parameters {            \
    return d->ops->name arguments;             \
  }
US_OPS(X)
#undef X
