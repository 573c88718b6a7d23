// Version 2 has one tree of groups (cpu.max, memory.max), version 1 one for each of "cpu" and
// "memory" (cpu.cfs_quota_us, memory.limit_in_bytes). /proc/self/cgroup names the process's group;
// in a container it may name one that is not there, so every folder from it up to the root of the
// tree is asked, and the tightest limit counts.

#define _GNU_SOURCE
#include "worldmodel/base/machine.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "worldmodel/base/progress.h"

enum { kPath = 4096, kText = 8192 };
static const double told_from = 256e6;  // bytes
static const char* root = "";

void us_machine_root(const char* folder) {
  root = folder ? folder : "";
}

// ---- files of the system ----

// The beginning of <root><folder>/<file> as text; "" when it cannot be read.
static void read_text(const char* folder, const char* file, char text[kText]) {
  char* path = NULL;
  FILE* f = asprintf(&path, "%s%s/%s", root, folder, file) < 0 ? NULL : fopen(path, "r");
  size_t n = f ? fread(text, 1, kText - 1, f) : 0;
  text[n] = 0;
  if (f) fclose(f);
  free(path);
}

// The number behind a word at the start of a line; NaN when there is none.
static double number_of(const char* text, const char* word) {
  size_t n = strlen(word);
  for (const char* line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    double value;
    if (strncmp(line, word, n) == 0 && sscanf(line + n, " %lf", &value) == 1) return value;
  }
  return NAN;
}

static double read_number(const char* folder, const char* file) {
  char text[kText];
  read_text(folder, file, text);
  return number_of(text, "");
}

// ---- groups ----

// What the group of a folder leaves; INFINITY: no limit.
typedef double (*Ask)(const char* folder);

// The least that the groups of a controller ("": version 2) leave, from the process's own up to the
// root.
static double least_of(const char* controller, Ask ask) {
  char text[kText], group[kPath], folder[2 * kPath];
  char *rest = NULL, *more = NULL;
  int known = 0;
  read_text("/proc/self", "cgroup", text);
  for (char* line = strtok_r(text, "\n", &rest); line && !known;
       line = strtok_r(NULL, "\n", &rest)) {
    // A line is "number:controllers:path"; version 2 has no controllers.
    char* names = strchr(line, ':');
    char* place = names ? strchr(names + 1, ':') : NULL;
    if (!place) continue;
    *place++ = 0;
    known = names[1] == 0 && controller[0] == 0;
    for (char* name = strtok_r(names + 1, ",", &more); name; name = strtok_r(NULL, ",", &more)) {
      known |= strcmp(name, controller) == 0;
    }
    snprintf(group, sizeof(group), "%s", place);
  }
  if (!known) return INFINITY;
  // Every folder up to the root may set a limit.
  double least = INFINITY;
  for (;;) {
    snprintf(folder, sizeof(folder), "/sys/fs/cgroup%s%s%s", controller[0] ? "/" : "", controller,
             strcmp(group, "/") ? group : "");
    least = fmin(least, ask(folder));
    char* slash = strrchr(group, '/');
    if (!slash) return least;
    *slash = 0;
  }
}

static double ask_time(const char* folder) {
  char text[kText];
  double quota, period;
  read_text(folder, "cpu.max", text);
  if (sscanf(text, "%lf %lf", &quota, &period) == 2 && period > 0) return quota / period;
  return INFINITY;
}

static double ask_time_1(const char* folder) {
  // -1: no limit.
  double quota = read_number(folder, "cpu.cfs_quota_us"),
         period = read_number(folder, "cpu.cfs_period_us");
  return quota > 0 && period > 0 ? quota / period : INFINITY;
}

// Pages of files that a group holds can be given up, but for those in use.
static double left_of(const char* folder, const char* most, const char* used, const char* pages) {
  char text[kText];
  double limit = read_number(folder, most), now = read_number(folder, used);
  if (!(limit >= 0) || !(now >= 0)) return INFINITY;
  // Pages that hold files nobody uses go first when memory is asked for.
  read_text(folder, "memory.stat", text);
  double idle = number_of(text, pages);
  return fmax(limit - now + (idle > 0 ? idle : 0), 0);
}

static double ask_memory(const char* folder) {
  return left_of(folder, "memory.max", "memory.current", "inactive_file");
}

static double ask_memory_1(const char* folder) {
  return left_of(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
}

// ---- what there is ----

int us_machine_processors(void) {
  // A share of a processor's time is a processor.
  double quota = fmin(least_of("", ask_time), least_of("cpu", ask_time_1));
  int n = 0;
  // The kernel refuses a set that is too small for its processors.
  for (int most = CPU_SETSIZE; n == 0 && most <= 1 << 20; most *= 2) {
    cpu_set_t* set = CPU_ALLOC((size_t)most);
    size_t size = CPU_ALLOC_SIZE((size_t)most);
    if (!set) break;
    n = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
  }
  if (quota < n) n = (int)ceil(quota);
  return n > 1 ? n : 1;
}

double us_machine_memory(void) {
  char text[kText];
  read_text("/proc", "meminfo", text);
  // What the machine has, and what its groups allow of it.
  double free = 1024 * number_of(text, "MemAvailable:");
  if (!(free >= 0)) free = INFINITY;
  return fmin(free, fmin(least_of("", ask_memory), least_of("memory", ask_memory_1)));
}

double us_machine_disk(const char* path) {
  char folder[kPath];
  struct statvfs found;
  snprintf(folder, sizeof(folder), "%s%s", path[0] == '/' ? "" : "./", path);
  while (statvfs(folder, &found) != 0) {  // what is not there yet lies where its folder does
    char* slash = strrchr(folder, '/');
    if (!slash) return INFINITY;
    *slash = 0;
    if (slash == folder) strcpy(folder, "/");
    if (slash == folder && statvfs(folder, &found) != 0) return INFINITY;
  }
  return (double)found.f_bavail * (double)found.f_frsize;
}

// ---- needs ----

typedef struct Amount {
  char text[32];
} Amount;

static Amount amount(double bytes) {
  Amount a;
  snprintf(a.text, sizeof(a.text), "%.2f %s", bytes / (bytes < 1e9 ? 1e6 : 1e9),
           bytes < 1e9 ? "MB" : "GB");
  return a;
}

static UsStatus need(UsStatus status, const char* what, const char* kind, double bytes,
                     double free) {
  // Refused before it is tried: taking it could end other processes.
  if (bytes > free) {
    return us_fail(status, "%s: needs %s of %s, found %s", what, amount(bytes).text, kind,
                   amount(free).text);
  }
  if (bytes < told_from) return US_OK;
  us_log("%s: takes %s of %s, of %s", what, amount(bytes).text, kind, amount(free).text);
  return US_OK;
}

UsStatus us_machine_need_memory(const char* what, double bytes) {
  return need(US_MEMORY, what, "memory", bytes, us_machine_memory());
}

UsStatus us_machine_need_disk(const char* path, double bytes) {
  return need(US_IO, path, "disk", bytes, us_machine_disk(path));
}
