// What the process may use of a machine whose files lie under a made-up root.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/file.h"
#include "worldmodel/base/machine.h"
#include "worldmodel/base/pool.h"

static char folder[] = "/tmp/us_machine_XXXXXX";

// Writes a file of the made-up machine.
static void put(const char* path, const char* text) {
  char full[512];
  snprintf(full, sizeof(full), "%s%s", folder, path);
  *strrchr(full, '/') = 0;
  assert_int_equal(us_folder_make(full), US_OK);
  snprintf(full, sizeof(full), "%s%s", folder, path);
  assert_int_equal(us_file_write(full, text, strlen(text)), US_OK);
}

static int clear(void** state) {
  (void)state;
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'/*", folder);
  us_machine_root(folder);
  return system(line);
}

static void without_files_all_is_free(void** state) {
  (void)state;
  us_machine_root(NULL);
  int own = us_machine_processors();
  assert_true(own >= 1);
  assert_true(us_machine_memory() > 0);
  us_machine_root(folder);
  assert_true(us_machine_processors() >= own);  // the machine's own groups may give less
  assert_true(us_machine_memory() == INFINITY);
}

// Half a processor is one thread, and so is every quota up to one.
static void version_2_bounds_processors(void** state) {
  (void)state;
  int all = us_machine_processors();
  put("/proc/self/cgroup", "0::/job/step\n");
  put("/sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
  assert_int_equal(us_machine_processors(), all);
  put("/sys/fs/cgroup/job/step/cpu.max", "50000 100000\n");
  assert_int_equal(us_machine_processors(), 1);
  put("/sys/fs/cgroup/job/step/cpu.max", "100001 100000\n");
  assert_int_equal(us_machine_processors(), all < 2 ? all : 2);
  put("/sys/fs/cgroup/job/cpu.max", "100000 100000\n");  // the group above is tighter
  assert_int_equal(us_machine_processors(), 1);
  UsPool* pool = us_pool_create(0);
  assert_int_equal(us_pool_threads(pool), 1);
  us_pool_destroy(pool);
}

// In a container the group that is named may not be there; its root is.
static void version_1_bounds_processors(void** state) {
  (void)state;
  int all = us_machine_processors();
  put("/proc/self/cgroup", "3:memory:/far/away\n2:cpu,cpuacct:/far/away\n0::/\n");
  put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  assert_int_equal(us_machine_processors(), all);
  put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "80000\n");
  assert_int_equal(us_machine_processors(), 1);
}

static void memory_is_the_least_that_is_left(void** state) {
  (void)state;
  put("/proc/meminfo", "MemTotal: 4000 kB\nMemFree: 1 kB\nMemAvailable:    3000 kB\n");
  assert_true(us_machine_memory() == 3000 * 1024);
  put("/proc/self/cgroup", "1:memory:/a\n0::/b\n");
  put("/sys/fs/cgroup/b/memory.max", "max\n");
  put("/sys/fs/cgroup/b/memory.current", "700000\n");
  assert_true(us_machine_memory() == 3000 * 1024);
  put("/sys/fs/cgroup/b/memory.max", "1000000\n");
  put("/sys/fs/cgroup/b/memory.stat", "anon 500000\ninactive_file 100000\n");
  assert_true(us_machine_memory() == 400000);
  put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "600000\n");
  put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "450000\n");
  put("/sys/fs/cgroup/memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 50000\n");
  assert_true(us_machine_memory() == 200000);
  put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "900000\n");
  assert_true(us_machine_memory() == 0);
}

static void needs_are_checked(void** state) {
  (void)state;
  put("/proc/meminfo", "MemAvailable: 2000000 kB\n");
  assert_int_equal(us_machine_need_memory("train", 1e8), US_OK);
  assert_int_equal(us_machine_need_memory("train", 3e9), US_MEMORY);
  assert_string_equal(us_message(), "train: needs 3.00 GB of memory, found 2.05 GB");
  char path[512];
  snprintf(path, sizeof(path), "%s/not/yet/there.h5", folder);
  double free = us_machine_disk(path);
  assert_true(free > 0 && isfinite(free));
  assert_true(isfinite(us_machine_disk("not-there.h5")));
  assert_int_equal(us_machine_need_disk(path, 1), US_OK);
  assert_int_equal(us_machine_need_disk(path, 2 * free + 1e9), US_IO);
  assert_non_null(strstr(us_message(), "there.h5: needs "));
}

int main(void) {
  if (!mkdtemp(folder)) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(without_files_all_is_free, clear),
      cmocka_unit_test_setup(version_2_bounds_processors, clear),
      cmocka_unit_test_setup(version_1_bounds_processors, clear),
      cmocka_unit_test_setup(memory_is_the_least_that_is_left, clear),
      cmocka_unit_test_setup(needs_are_checked, clear),
  };
  int failed = cmocka_run_group_tests_name("machine", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
