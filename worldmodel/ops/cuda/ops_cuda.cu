// ops.h on a GPU: the device, its memory, recordings, and the table of operations.

#include "worldmodel/ops/cuda/ops_cuda.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/ops/cuda/cuda_module.h"

enum {
  RING_LEAST = 8 << 20,     // bytes of the ring at first
  RING_MOST = 64 << 20,     // what it grows to for larger puts; still larger ones go round it
  LANDING_LEAST = 1 << 20,  // the same of the way back
  LANDING_MOST = 64 << 20,
  SCRATCH_LEAST = 4 << 20,
};

// ---- failures ----

// The operation is the right one where the environment has CUDA_LAUNCH_BLOCKING=1; else an earlier
// one may have failed.
void us_cuda_check(UsCuda* c, const char* text) {
  if (!text || c->error[0]) return;
  snprintf(c->error, sizeof c->error, "%s: %.300s (seen by %s)", c->about.name, text, c->operation);
}

static void fail_memory(UsCuda* c, size_t bytes) {
  char text[128];
  size_t left, all;
  us_cu_memory(&left, &all);
  snprintf(text, sizeof text, "out of memory: %zu bytes asked for, %zu of %zu left", bytes, left,
           all);
  us_cuda_check(c, text);
}

// ---- entering: an operation holds the lock, on a thread that has the device ----

static thread_local int current = -1;

static void enter(UsCuda* c, const char* operation) {
  pthread_mutex_lock(&c->lock);
  c->operation = operation;
  if (current == c->index) return;
  us_cuda_check(c, us_cu_use(c->index));
  current = c->index;
}

static void leave(UsCuda* c) {
  us_cuda_check(c, us_cu_error());
  pthread_mutex_unlock(&c->lock);
}

struct Entry {
  UsCuda* c;
  Entry(UsDevice* d, const char* operation) : c(us_cuda(d)) { enter(c, operation); }
  ~Entry() { leave(c); }
};

// What a failed device still does.
static bool works_after_failure(const char* operation) {
  static const char* const names[] = {"free", "get_bytes", "name", "forget", "recorded"};
  for (const char* name : names) {
    if (!strcmp(operation, name)) return true;
  }
  return false;
}

#define X(result, name, parameters, arguments)                                   \
  static result enter_##name parameters {                                        \
    Entry e(d, #name);                                                           \
    if (e.c->error[0] && !works_after_failure(e.c->operation)) return (result)0; \
    return us_cuda_##name arguments;                                             \
  }
US_OPS(X)
#undef X

static const UsOps table = {
#define X(result, name, parameters, arguments) enter_##name,
    US_OPS(X)
#undef X
};

// ---- memory ----

void* us_cuda_alloc_bytes(UsDevice* d, size_t bytes) {
  UsCuda* c = us_cuda(d);
  if (c->recording || bytes > SIZE_MAX - 64) return NULL;
  bytes = bytes ? (bytes + 63) / 64 * 64 : 64;
  void* x = us_cu_malloc(bytes);
  if (x) us_cuda_check(c, us_cu_fill(x, 0, bytes, c->stream));
  return x;
}

void us_cuda_free(UsDevice* d, void* x) {
  us_cu_free(x);
}

void us_cuda_zero_bytes(UsDevice* d, void* x, size_t bytes) {
  UsCuda* c = us_cuda(d);
  if (bytes) us_cuda_check(c, us_cu_fill(x, 0, bytes, c->stream));
}

void us_cuda_copy_bytes(UsDevice* d, const void* x, void* y, size_t bytes) {
  UsCuda* c = us_cuda(d);
  if (bytes) us_cuda_check(c, us_cu_copy(y, x, bytes, c->stream));
}

void* us_cuda_scratch(UsCuda* c, size_t bytes) {
  if (bytes <= c->scratch_size) return c->scratch;
  // A recording cannot allocate; its calls were made before, when there was enough.
  if (c->recording) {
    c->unrecordable = 1;
    return NULL;
  }
  size_t size = c->scratch_size ? 2 * c->scratch_size : (size_t)SCRATCH_LEAST;
  while (size < bytes) size *= 2;
  int room = c->outgrown_count < (int)(sizeof c->outgrown / sizeof *c->outgrown);
  void* x = room ? us_cu_malloc(size) : NULL;
  if (!x) {
    fail_memory(c, size);
    return NULL;
  }
  if (c->scratch) c->outgrown[c->outgrown_count++] = c->scratch;
  c->scratch = x;
  c->scratch_size = size;
  return x;
}

// ---- what comes from the host ----

// Frees the ring, whose copies are done.
static void drop_ring(UsRing* r) {
  us_cu_free_pinned(r->base);
  r->base = NULL;
  r->part = r->used = 0;
  r->at = 0;
  memset(r->busy, 0, sizeof r->busy);
}

static void wait_for_all(UsCuda* c) {
  ++c->waits;
  us_cuda_check(c, us_cu_sync(c->stream));
  memset(c->ring.busy, 0, sizeof c->ring.busy);
}

// A ring that holds `bytes` twice, so that the next put of that size need not wait for this one.
static void grow_ring(UsCuda* c, size_t bytes) {
  UsRing* r = &c->ring;
  size_t size = r->base ? r->part * US_RING_PARTS : (size_t)RING_LEAST;
  while (size < 2 * bytes && size < RING_MOST) size *= 2;
  if (r->base && size == r->part * US_RING_PARTS) return;
  if (r->base) wait_for_all(c);
  drop_ring(r);
  r->base = (char*)us_cu_malloc_pinned(size);
  r->part = size / US_RING_PARTS;
  if (!r->base) us_cuda_check(c, "no pinned memory");
}

// Leaves a part that is full for the next one, once that one's last copies are done.
static void next_part(UsCuda* c) {
  UsRing* r = &c->ring;
  us_cuda_check(c, us_cu_event_record(r->event[r->at], c->stream));
  r->busy[r->at] = 1;
  r->at = (r->at + 1) % US_RING_PARTS;
  r->used = 0;
  if (!r->busy[r->at]) return;
  if (!us_cu_event_done(r->event[r->at])) {
    ++c->waits;
    us_cuda_check(c, us_cu_event_sync(r->event[r->at]));
  }
  r->busy[r->at] = 0;
}

void us_cuda_put_bytes(UsDevice* d, void* x, const void* host, size_t bytes) {
  UsCuda* c = us_cuda(d);
  UsRing* r = &c->ring;
  if (c->recording) us_cuda_check(c, "numbers are put within a recording");
  if (!r->base || bytes > r->part * US_RING_PARTS / 2) grow_ring(c, bytes);
  c->up += (int64_t)bytes;
  // Piece by piece through the ring, as much as the present part takes.
  for (size_t done = 0; done < bytes && !c->error[0];) {
    if (r->used == r->part) next_part(c);
    size_t n = bytes - done < r->part - r->used ? bytes - done : r->part - r->used;
    char* at = r->base + (size_t)r->at * r->part + r->used;
    memcpy(at, (const char*)host + done, n);
    us_cuda_check(c, us_cu_upload((char*)x + done, at, n, c->stream));
    done += n;
    // The next one begins at a line of the cache.
    r->used += (n + 63) / 64 * 64;
    if (r->used > r->part) r->used = r->part;
  }
}

// ---- what goes to the host ----

static void grow_landing(UsCuda* c, size_t bytes) {
  size_t size = LANDING_LEAST;
  while (size < bytes && size < LANDING_MOST) size *= 2;
  if (size <= c->landing_size) return;
  us_cu_free_pinned(c->landing);
  c->landing = (char*)us_cu_malloc_pinned(size);
  c->landing_size = c->landing ? size : 0;
  if (!c->landing) us_cuda_check(c, "no pinned memory");
}

void us_cuda_get_bytes(UsDevice* d, const void* x, void* host, size_t bytes) {
  UsCuda* c = us_cuda(d);
  if (c->recording) us_cuda_check(c, "numbers are got within a recording");
  if (!c->error[0]) grow_landing(c, bytes);
  c->down += (int64_t)bytes;
  for (size_t done = 0; done < bytes && !c->error[0];) {
    size_t n = bytes - done < c->landing_size ? bytes - done : c->landing_size;
    us_cuda_check(c, us_cu_download(c->landing, (const char*)x + done, n, c->stream));
    wait_for_all(c);
    memcpy((char*)host + done, c->landing, n);
    done += n;
  }
  // NaN, so that nobody takes what a failed device holds for numbers.
  if (c->error[0] && bytes) memset(host, 0xff, bytes);
}

// ---- recordings ----

typedef struct Recording {
  UsGraph graph;
  int64_t launches;
} Recording;

int us_cuda_record(UsDevice* d) {
  UsCuda* c = us_cuda(d);
  if (c->recording || us_cu_capture_begin(c->stream)) return 0;
  // The lock once more: what other threads put into the stream would be recorded too.
  pthread_mutex_lock(&c->lock);
  c->recording = 1;
  c->unrecordable = 0;
  c->recorded_from = c->launches;
  return 1;
}

void* us_cuda_recorded(UsDevice* d) {
  UsCuda* c = us_cuda(d);
  if (!c->recording) return NULL;
  Recording r = {NULL, c->launches - c->recorded_from};
  const char* text = us_cu_capture_end(c->stream, &r.graph);
  c->launches = c->recorded_from;
  c->recording = 0;
  pthread_mutex_unlock(&c->lock);
  Recording* out = text || c->unrecordable || c->error[0] ? NULL : (Recording*)malloc(sizeof *out);
  if (out) *out = r;
  if (!out) us_cu_graph_destroy(r.graph);
  return out;
}

void us_cuda_replay(UsDevice* d, void* recording) {
  UsCuda* c = us_cuda(d);
  const Recording* r = (const Recording*)recording;
  us_cuda_check(c, us_cu_graph_launch(r->graph, c->stream));
  c->launches += r->launches;
}

void us_cuda_forget(UsDevice* d, void* recording) {
  UsCuda* c = us_cuda(d);
  Recording* r = (Recording*)recording;
  if (!r) return;
  wait_for_all(c);  // it may still run
  us_cu_graph_destroy(r->graph);
  free(r);
}

// ---- what it is ----

const char* us_cuda_name(UsDevice* d) {
  return us_cuda(d)->name;
}

static const char* error_of(UsDevice* d) {
  UsCuda* c = us_cuda(d);
  enter(c, "us_device_check");
  leave(c);
  return c->error[0] ? c->error : NULL;
}

static void info_of(UsDevice* d, UsDeviceInfo* out) {
  UsCuda* c = us_cuda(d);
  size_t left, all;
  enter(c, "us_device_info");
  us_cu_memory(&left, &all);
  out->flops = c->about.flops;
  out->bandwidth = c->about.bandwidth;
  out->memory = (double)all;
  out->unused = (double)left;
  out->launches = c->launches;
  out->waits = c->waits;
  out->up = c->up;
  out->down = c->down;
  leave(c);
}

// The driver's own version, such as 580.65.06, which CUDA does not tell; "" where it is not known.
static void driver_version(char* text, size_t size) {
  char line[256] = "";
  FILE* f = fopen("/proc/driver/nvidia/version", "r");
  if (f && !fgets(line, sizeof line, f)) line[0] = 0;
  if (f) fclose(f);
  text[0] = 0;
  // The first word that begins with a digit and has a dot in it.
  for (char* word = strtok(line, " \t\n"); word; word = strtok(NULL, " \t\n")) {
    if (word[0] < '0' || word[0] > '9' || !strchr(word, '.')) continue;
    snprintf(text, size, ", driver %.32s", word);
    return;
  }
}

static void write_name(UsCuda* c) {
  char driver[64];
  driver_version(driver, sizeof driver);
  snprintf(c->name, sizeof c->name, "%.95s (CUDA %d.%d%s)", c->about.name, c->about.runtime / 1000,
           c->about.runtime % 1000 / 10, driver);
}

// ---- open and close ----

static void close_device(UsDevice* d) {
  UsCuda* c = us_cuda(d);
  enter(c, "close");
  if (c->stream) us_cu_sync(c->stream);
  drop_ring(&c->ring);
  for (UsEvent e : c->ring.event) {
    if (e) us_cu_event_destroy(e);
  }
  us_cu_free_pinned(c->landing);
  us_cu_free(c->scratch);
  for (int i = 0; i < c->outgrown_count; ++i) us_cu_free(c->outgrown[i]);
  us_blas_destroy(c->blas);
  if (c->stream) us_cu_stream_destroy(c->stream);
  pthread_mutex_unlock(&c->lock);
  pthread_mutex_destroy(&c->lock);
  free(c);
}

// The text of what failed, NULL when the device is ready.
static const char* open_parts(UsCuda* c) {
  const char* text = us_cu_info(c->index, &c->about);
  if (text) return text;
  write_name(c);
  text = us_cu_stream_create(&c->stream);
  for (int i = 0; i < US_RING_PARTS && !text; ++i) text = us_cu_event_create(&c->ring.event[i]);
  if (!text) text = us_blas_create(&c->blas, c->stream, c->fast);
  // What every device needs, now rather than within a plan.
  if (!text && !us_cuda_scratch(c, SCRATCH_LEAST)) text = c->error;
  if (!text) grow_ring(c, 0);
  if (!text) grow_landing(c, 0);
  return text ? text : c->error[0] ? c->error : NULL;
}

static int refuse(char* message, size_t size, int index, const char* text) {
  snprintf(message, size, "cuda:%d: %s", index, text);
  return 1;
}

int us_cuda_open(int index, int flags, const char* version, size_t table_size, UsDevice** out,
                 char* message, size_t size) {
  *out = NULL;
  char text[160];
  if (strcmp(version, US_VERSION) || table_size != sizeof(UsOps)) {
    snprintf(text, sizeof text, "the module is of understudy %s, expected %.32s", US_VERSION,
             strcmp(version, US_VERSION) ? version : "the same build");
    return refuse(message, size, index, text);
  }
  const char* why;
  int devices = us_cu_devices(&why);
  if (devices == 0) return refuse(message, size, index, why);
  if (index < 0 || index >= devices) {
    snprintf(text, sizeof text, "no such device, there %s %d", devices == 1 ? "is" : "are",
             devices);
    return refuse(message, size, index, text);
  }
  UsCuda* c = (UsCuda*)calloc(1, sizeof *c);
  if (!c) return refuse(message, size, index, "out of memory");
  pthread_mutexattr_t recursive;
  pthread_mutexattr_init(&recursive);
  pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&c->lock, &recursive);
  pthread_mutexattr_destroy(&recursive);
  c->index = index;
  c->fast = flags & US_MODULE_FAST;
  c->device.ops = &table;
  c->device.self = c;
  c->device.wide = 1;
  c->device.close = close_device;
  c->device.info = info_of;
  c->device.error = error_of;
  enter(c, "open");
  const char* failed = open_parts(c);
  pthread_mutex_unlock(&c->lock);
  if (failed) refuse(message, size, index, failed);
  if (failed) close_device(&c->device);
  if (failed) return 1;
  *out = &c->device;
  return 0;
}
