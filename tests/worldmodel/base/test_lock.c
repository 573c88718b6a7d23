// One owner per output, over processes: who is refused, what a kill leaves, what a child inherits,
// and the same on a file system without locks.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worldmodel/base/file.h"
#include "worldmodel/base/lock.h"

static char folder[] = "/tmp/test_lock_XXXXXX";
static char path[300], lock[320];

static int no_flock(int fd, int operation) {
  errno = EOPNOTSUPP;
  return -1;
}

static int start(void** state) {
  if (!mkdtemp(folder)) return -1;
  us_path_join(path, sizeof(path), folder, "r.h5");
  snprintf(lock, sizeof(lock), "%s.lock", path);
  return 0;
}

static int end(void** state) {
  return rmdir(folder);  // which fails when a lock file is left
}

static int with_locks(void** state) {
  us_lock_flock = flock;
  return 0;
}

static int without_locks(void** state) {
  us_lock_flock = no_flock;
  return 0;
}

static void says(const char* part) {
  if (!strstr(us_message(), part)) fail_msg("\"%s\" does not say \"%s\"", us_message(), part);
}

// A process that holds the lock until it is killed, or until `quit` is closed.
typedef struct Other {
  pid_t pid;
  int quit;
} Other;

static Other start_other(const char* name) {
  int ready[2], quit[2];
  char byte = 0;
  assert_int_equal(pipe2(ready, O_CLOEXEC) | pipe2(quit, O_CLOEXEC), 0);
  Other o = {fork(), quit[1]};
  if (o.pid == 0) {
    UsLock* l;
    close(quit[1]);
    if (us_lock_take(name, &l) != US_OK || write(ready[1], "x", 1) != 1) _exit(1);
    while (read(quit[0], &byte, 1) > 0) continue;
    us_lock_release(l);
    _exit(0);
  }
  close(ready[1]);
  close(quit[0]);
  assert_int_equal(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  return o;
}

static void stop_other(Other o, int number) {
  if (number) kill(o.pid, number);
  close(o.quit);
  assert_int_equal(waitpid(o.pid, NULL, 0), o.pid);
}

// ---- two processes ----

static void test_refused(void** state) {
  UsLock* l;
  UsLockHolder who;
  char expected[600], host[128] = "";
  Other o = start_other(path);
  gethostname(host, sizeof(host) - 1);
  assert_int_equal(us_lock_take(path, &l), US_IO);
  assert_null(l);
  snprintf(expected, sizeof(expected), "%s: being written by pid %d on %s since 2", path,
           (int)o.pid, host);
  says(expected);
  assert_int_equal(us_lock_check(path), US_IO);
  says(expected);
  assert_int_equal(us_lock_holder(path, &who), 1);
  assert_int_equal(who.pid, o.pid);
  assert_string_equal(who.host, host);
  stop_other(o, 0);
  assert_int_equal(us_file_exists(lock), 0);
  assert_int_equal(us_lock_holder(path, NULL), 0);
  assert_int_equal(us_lock_check(path), US_OK);
  assert_int_equal(us_lock_take(path, &l), US_OK);
  us_lock_release(l);
  us_lock_release(NULL);
}

// What a kill leaves is nobody's.
static void test_killed(void** state) {
  UsLock* l;
  Other o = start_other(path);
  stop_other(o, SIGKILL);
  assert_int_equal(us_file_exists(lock), 1);
  assert_int_equal(us_lock_holder(path, NULL), 0);
  assert_int_equal(us_lock_take(path, &l), US_OK);
  us_lock_release(l);
  assert_int_equal(us_file_exists(lock), 0);
}

// A pid that is used again by a later process is not the owner: the start of the process tells.
static void test_pid_used_again(void** state) {
  UsLock* l;
  char text[1024] = "", later[1024];
  Other o = start_other(path);
  FILE* f = fopen(lock, "r");
  assert_non_null(f);
  size_t n = fread(text, 1, sizeof(text) - 1, f);
  fclose(f);
  stop_other(o, SIGKILL);
  unlink(lock);
  const char* pid = strchr(text, '\n');
  snprintf(later, sizeof(later), "pid %d%s", (int)getpid(), pid);
  assert_int_equal(us_file_write(lock, later, strlen(later)), US_OK);
  assert_true(n > 0);
  assert_int_equal(us_lock_holder(path, NULL), 0);
  assert_int_equal(us_lock_take(path, &l), US_OK);
  us_lock_release(l);
}

// Children of fork do not remove their parent's lock, and outlive it without holding it.
static void test_child(void** state) {
  UsLock* l;
  int quit[2], ready[2];
  char byte = 0;
  assert_int_equal(pipe2(quit, O_CLOEXEC) | pipe2(ready, O_CLOEXEC), 0);
  pid_t owner = fork();
  if (owner == 0) {
    close(quit[1]);
    if (us_lock_take(path, &l) != US_OK) _exit(1);
    if (fork() == 0) {
      if (write(ready[1], "r", 1) != 1) _exit(1);  // it runs, so it has let go
      while (read(quit[0], &byte, 1) > 0) continue;
      _exit(0);
    }
    if (fork() == 0) {
      us_lock_release(l);
      _exit(write(ready[1], us_file_exists(lock) ? "y" : "n", 1) != 1);
    }
    while (read(quit[0], &byte, 1) > 0) continue;
    _exit(0);
  }
  close(ready[1]);
  int seen[256] = {0};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(read(ready[0], &byte, 1), 1);
    seen[(unsigned char)byte] = 1;
  }
  assert_true(seen['r'] && seen['y']);
  assert_int_equal(us_lock_take(path, &l), US_IO);
  kill(owner, SIGKILL);
  waitpid(owner, NULL, 0);
  assert_int_equal(us_lock_take(path, &l), US_OK);  // its child lives
  us_lock_release(l);
  close(quit[0]);
  close(quit[1]);
  close(ready[0]);
}

// A program that is started does not hold it either.
static void test_program(void** state) {
  UsLock* l;
  char line[400];
  assert_int_equal(us_lock_take(path, &l), US_OK);
  snprintf(line, sizeof(line), "ls -l /proc/self/fd | grep -q 'r.h5.lock'");
  assert_int_not_equal(system(line), 0);
  us_lock_release(l);
}

// ---- one process ----

static void test_join(void** state) {
  UsLock *l, *part, *second;
  assert_int_equal(us_lock_take(path, &l), US_OK);
  assert_int_equal(us_lock_take(path, &second), US_IO);
  says("being written by pid");
  assert_int_equal(us_lock_join(path, &part), US_OK);
  us_lock_release(l);
  assert_int_equal(us_lock_take(path, &second), US_IO);
  us_lock_release(part);
  assert_int_equal(us_file_exists(lock), 0);
  assert_int_equal(us_lock_join(path, &l), US_OK);
  us_lock_release(l);
}

// Names of one output are one output.
static void test_names(void** state) {
  UsLock *l, *second;
  char other[320], link[320];
  us_path_join(link, sizeof(link), folder, "link");
  snprintf(other, sizeof(other), "%s/../%s/r.h5//", folder, strrchr(folder, '/') + 1);
  assert_int_equal(us_lock_take(other, &l), US_OK);
  assert_int_equal(us_lock_take(path, &second), US_IO);
  assert_int_equal(us_file_write(path, "x", 1), US_OK);
  assert_int_equal(symlink("r.h5", link), 0);
  assert_int_equal(us_lock_take(link, &second), US_IO);
  us_lock_release(l);
  assert_int_equal(us_lock_take(link, &l), US_OK);
  assert_int_equal(us_lock_take(path, &second), US_IO);
  unlink(link);  // as a rename onto it does
  assert_int_equal(us_file_write(link, "x", 1), US_OK);
  assert_int_equal(us_lock_take(link, &second), US_IO);
  us_lock_release(l);
  unlink(link);
  unlink(path);
}

static void test_nowhere(void** state) {
  UsLock* l;
  char no[320];
  us_path_join(no, sizeof(no), folder, "none/r.h5");
  assert_int_equal(us_lock_take(no, &l), US_IO);
  says("none/r.h5: cannot be created: No such file");
  assert_int_equal(us_lock_holder(no, NULL), 0);
  assert_int_equal(us_lock_take("", &l), US_IO);
}

// A folder that cannot be written: the output is named. In a folder that can, in one that cannot,
// the lock lies inside. Root may write anywhere, so somebody else tries.
static void test_read_only(void** state) {
  char sub[320];
  us_path_join(sub, sizeof(sub), folder, "sub");
  assert_int_equal(mkdir(sub, 0777), 0);
  assert_int_equal(chmod(sub, 0777), 0);
  assert_int_equal(chmod(folder, 0555), 0);
  pid_t child = fork();
  if (child == 0) {
    UsLock *l, *second;
    if (geteuid() == 0 && setuid(65534) != 0) _exit(1);
    if (us_lock_take(path, &l) != US_IO) _exit(2);
    if (!strstr(us_message(), "r.h5: cannot be created: Permission denied")) _exit(3);
    if (us_lock_take(sub, &l) != US_OK) _exit(4);
    if (us_lock_take(sub, &second) != US_IO) _exit(5);
    us_lock_release(l);
    _exit(0);
  }
  int how = 1;
  waitpid(child, &how, 0);
  assert_int_equal(WEXITSTATUS(how), 0);
  assert_int_equal(chmod(folder, 0777), 0);
  assert_int_equal(rmdir(sub), 0);
}

// ---- waiting ----

static void* release_soon(void* l) {
  usleep(150000);
  us_lock_release(l);
  return NULL;
}

static void test_wait(void** state) {
  UsLock *l, *second;
  pthread_t thread;
  assert_int_equal(us_lock_take(path, &l), US_OK);
  assert_int_equal(pthread_create(&thread, NULL, release_soon, l), 0);
  assert_int_equal(us_lock_wait(path, &second), US_OK);
  pthread_join(thread, NULL);
  us_lock_release(second);
}

// ---- many ----

enum { kProcesses = 6, kRounds = 60 };

// One of many writers: takes, finds itself alone, lets go. A second owner sees the first's mark.
static void write_alone(void) {
  char mark[320];
  snprintf(mark, sizeof(mark), "%s.mark", path);
  for (int i = 0; i < kRounds;) {
    UsLock* l;
    if (us_lock_take(path, &l) != US_OK) continue;
    int fd = open(mark, O_CREAT | O_EXCL | O_WRONLY, 0666);
    if (fd < 0) _exit(1);
    close(fd);
    if (i % 8 == 0) usleep(100);
    unlink(mark);
    us_lock_release(l);
    i++;
  }
  _exit(0);
}

static void test_alone(void** state) {
  pid_t child[kProcesses];
  for (int i = 0; i < kProcesses; i++) {
    child[i] = fork();
    if (child[i] == 0) write_alone();
  }
  int bad = 0;
  for (int i = 0; i < kProcesses; i++) {
    int how = 0;
    waitpid(child[i], &how, 0);
    bad += how != 0;
  }
  assert_int_equal(bad, 0);
}

// Who saw no locks is respected by who does.
static void test_mixed(void** state) {
  UsLock *l, *second;
  us_lock_flock = no_flock;
  assert_int_equal(us_lock_take(path, &l), US_OK);
  us_lock_flock = flock;
  assert_int_equal(us_lock_take(path, &second), US_IO);
  says("once that run is gone, remove r.h5.lock");
  us_lock_release(l);
}

// An owner on another host may live.
static void test_foreign(void** state) {
  UsLock* l;
  static const char text[] =
      "pid 1\nhost elsewhere.example\nsince 2026-01-01 00:00:00\nboot b\nspace s\nstarted 5\n"
      "exclusive\n";
  assert_int_equal(us_file_write(lock, text, strlen(text)), US_OK);
  assert_int_equal(us_lock_take(path, &l), US_IO);
  says(
      "pid 1 on elsewhere.example since 2026-01-01 00:00:00 (once that run is gone, remove r.h5.l");
  assert_int_equal(us_file_exists(lock), 1);
  unlink(lock);
}

#define BOTH(f)                                       \
  cmocka_unit_test_setup(f, with_locks), {            \
#f " without locks", f, without_locks, NULL, NULL \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH(test_refused),        BOTH(test_killed),
      BOTH(test_pid_used_again), cmocka_unit_test_setup(test_child, with_locks),
      BOTH(test_program),        BOTH(test_join),
      BOTH(test_names),          BOTH(test_nowhere),
      BOTH(test_read_only),      BOTH(test_wait),
      BOTH(test_alone),          cmocka_unit_test(test_mixed),
      BOTH(test_foreign),
  };
  return cmocka_run_group_tests(tests, start, end);
}
