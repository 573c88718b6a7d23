// The life of a lock file: opened or made, locked, compared with what the name means by now (its
// last holder may have removed it in between), filled with the holder's text, and in the end
// removed while it is still held. Only a holder removes the file, so nobody loses a lock to
// another.

#define _GNU_SOURCE
#include "worldmodel/base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "worldmodel/base/progress.h"

enum { kPath = PATH_MAX + 16, kText = 1024, kPause = 20000, kWait = 100000, kTries = 10 };

// Who holds a lock, as its file says. A pid means something only to processes of the same host,
// boot and space of process numbers, and is used again: the time its process started tells.
typedef struct Owner {
  long pid;
  char host[128], since[32], boot[64], space[64];
  unsigned long long started;  // ticks since boot
  int exclusive;               // 1: the file itself is the lock
} Owner;

struct UsLock {
  char name[2][kPath];  // lock files: of the path and, "" for none, of what it links to
  int fd[2];            // -1: not held
  int shares;
  UsLock* next;  // of those that this process has
};

int (*us_lock_flock)(int fd, int operation) = flock;

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static UsLock* held;

// ---- owners ----

// When a process started; 0: there is none, or it has ended and waits for its parent.
static unsigned long long start_of(long pid) {
  char path[64], text[512];
  unsigned long long started = 0;
  snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
  FILE* f = fopen(path, "re");
  size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
  if (f) fclose(f);
  text[n] = 0;
  // Field 22, and field 3 is Z for one that has ended.
  const char* at = strrchr(text, ')');  // the name before it may hold anything
  if (!at || strncmp(at, ") Z", 3) == 0) return 0;
  int found = sscanf(at + 1,
                     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                     "%*d %*d %llu",
                     &started);
  return found == 1 ? started : 0;
}

static Owner find_self(void) {
  Owner o = {.pid = (long)getpid()};
  if (gethostname(o.host, sizeof(o.host) - 1) != 0 || !o.host[0]) strcpy(o.host, "unknown");
  // This boot, this space of process numbers and the time this process started.
  FILE* f = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (!f || !fgets(o.boot, sizeof(o.boot), f)) o.boot[0] = 0;
  if (f) fclose(f);
  o.boot[strcspn(o.boot, " \n")] = 0;
  if (readlink("/proc/self/ns/pid", o.space, sizeof(o.space) - 1) < 0) o.space[0] = 0;
  o.started = start_of(o.pid);
  time_t now = time(NULL);
  struct tm local;
  strftime(o.since, sizeof(o.since), "%Y-%m-%d %H:%M:%S", localtime_r(&now, &local));
  return o;
}

static const char format_out[] =
    "pid %ld\nhost %s\nsince %s\nboot %s\nspace %s\nstarted %llu\n%s\n";
static const char format_in[] =
    "pid %ld\nhost %127[^\n]\nsince %31[^\n]\nboot %63[^\n]\nspace %63[^\n]\nstarted %llu\n%15s";

// The text of an open lock file; 0 when there is none yet.
static int read_owner(int fd, Owner* o) {
  char text[kText], kind[16];
  *o = (Owner){0};
  ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
  text[n > 0 ? n : 0] = 0;
  if (sscanf(text, format_in, &o->pid, o->host, o->since, o->boot, o->space, &o->started, kind) !=
      7)
    return 0;
  o->exclusive = strcmp(kind, "exclusive") == 0;
  return 1;
}

static int write_owner(int fd, int exclusive) {
  char text[kText];
  Owner o = find_self();
  // The file is cut first, since the text before may be longer.
  int n = snprintf(text, sizeof(text), format_out, o.pid, o.host, o.since, o.boot[0] ? o.boot : "-",
                   o.space[0] ? o.space : "-", o.started, exclusive ? "exclusive" : "flock");
  return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n;
}

// 1 when the owner is known to be gone; of another host or container nothing is known.
static int is_gone(const Owner* o) {
  // Another host: not known. An earlier boot: gone. Another container: not known.
  Owner self = find_self();
  if (strcmp(o->host, self.host) != 0) return 0;
  if (strcmp(o->boot, self.boot[0] ? self.boot : "-") != 0) return 1;
  if (strcmp(o->space, self.space[0] ? self.space : "-") != 0) return 0;
  // The same pid that started at another time is another process.
  unsigned long long started = start_of(o->pid);
  if (self.started == 0) return kill((pid_t)o->pid, 0) != 0 && errno == ESRCH;  // no /proc here
  return started != o->started;
}

// ---- names ----

static const char* last_part(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

// The lock file of an absolute path; that inside the folder when its parent cannot be written.
static UsStatus name_beside(const char* whole, char name[kPath]) {
  // Beside it, or inside where only the folder itself may be written.
  char copy[kPath];
  struct stat info;
  snprintf(copy, sizeof(copy), "%s", whole);
  int inside = access(dirname(copy), W_OK) != 0 && stat(whole, &info) == 0 &&
               S_ISDIR(info.st_mode) && access(whole, W_OK) == 0;
  if (strcmp(whole, "/") == 0) inside = 1;
  int n = snprintf(name, kPath, inside ? "%s/.lock" : "%s.lock", whole);
  return n < PATH_MAX ? US_OK : us_fail(US_IO, "%s: the path is too long", whole);
}

// Two ways of naming one output give one name: its folder is made absolute, links are resolved.
static UsStatus find_names(const char* path, char name[2][kPath]) {
  char copy[kPath], folder[PATH_MAX], whole[kPath], target[PATH_MAX];
  // Slashes at the end name the same folder.
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  if (n == 0 || n >= PATH_MAX) {
    return us_fail(US_IO, "%.64s: expected a path, found %s", path, n ? "too long a one" : "none");
  }
  snprintf(copy, sizeof(copy), "%.*s", (int)n, path);
  const char* base = last_part(copy);
  struct stat info;
  int link = lstat(copy, &info) == 0 && S_ISLNK(info.st_mode);
  name[1][0] = 0;
  // A path without a name of its own exists as a whole.
  if (!base[0] || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
    if (!realpath(copy, whole)) return us_fail(US_IO, "%s: %s", path, strerror(errno));
    return name_beside(whole, name[0]);
  }
  // A link has the lock of its own name and that of what it links to.
  if (link && realpath(copy, target)) US_TRY(name_beside(target, name[1]));
  // The output need not be there yet, its folder must.
  char part[kPath];
  snprintf(part, sizeof(part), "%s", base);
  if (!realpath(dirname(copy), folder)) {
    return us_fail(US_IO, "%s: cannot be created: %s", path, strerror(errno));
  }
  int size = snprintf(whole, sizeof(whole), "%s/%s", strcmp(folder, "/") ? folder : "", part);
  if (size >= PATH_MAX) return us_fail(US_IO, "%s: the path is too long", path);
  US_TRY(name_beside(whole, name[0]));
  if (strcmp(name[0], name[1]) == 0) name[1][0] = 0;
  return US_OK;
}

// ---- one lock file ----

typedef enum Outcome { TAKEN, BUSY, AGAIN, BROKEN } Outcome;  // BROKEN: errno says why

// 1 when the name still means the open file.
static int is_current(const char* name, int fd) {
  struct stat a, b;
  return fstat(fd, &a) == 0 && stat(name, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Removes the stale lock file of an owner that is gone. Of several that try, one gets to it.
static Outcome remove_stale(const char* name) {
  // Of those that see a stale file, who makes this one may remove it.
  char step[kPath + 8];
  Owner o;
  snprintf(step, sizeof(step), "%s.stale", name);
  int mine = open(step, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (mine < 0) return errno == EEXIST ? BUSY : BROKEN;
  // Read again: the file may be a new owner's by now.
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && read_owner(fd, &o) && is_gone(&o)) unlink(name);
  if (fd >= 0) close(fd);
  close(mine);
  unlink(step);
  return AGAIN;
}

static Outcome hold(int fd, const char* name, int made, Owner* owner) {
  if (us_lock_flock(fd, LOCK_EX | LOCK_NB) == 0) {
    // Locked, but its last holder has removed the name meanwhile: there is a new file to try.
    if (!is_current(name, fd)) return AGAIN;
    // Made by a process to which this file system gave no locks.
    if (read_owner(fd, owner) && owner->exclusive && !is_gone(owner)) return BUSY;
    return write_owner(fd, 0) ? TAKEN : BROKEN;
  }
  if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) {
    // Where there are no locks, who makes the file has it.
    if (made) return write_owner(fd, 1) ? TAKEN : BROKEN;
    int known = read_owner(fd, owner);
    owner->exclusive = 1;
    return known && is_gone(owner) ? remove_stale(name) : BUSY;
  }
  if (errno != EWOULDBLOCK) return errno == EINTR ? AGAIN : BROKEN;
  read_owner(fd, owner);
  return BUSY;
}

static Outcome try_file(const char* name, int* out, Owner* owner) {
  // Made, or opened where it is there; between the two it may go.
  *owner = (Owner){0};
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666), made = fd >= 0;
  if (!made && errno == EEXIST) {
    fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return AGAIN;
  }
  if (fd < 0) return BROKEN;
  Outcome outcome = hold(fd, name, made, owner);
  // A file of ours that could not be filled is nobody's lock.
  int error = errno;
  if (outcome == BROKEN && made) unlink(name);
  if (outcome != TAKEN) close(fd);
  *out = outcome == TAKEN ? fd : -1;
  errno = error;
  return outcome;
}

static void drop_file(const char* name, int* fd) {
  if (*fd < 0) return;
  // Removed while it is still held, so that nobody locks a file that is about to go.
  if (is_current(name, *fd)) unlink(name);
  close(*fd);
  *fd = -1;
}

// Tries both files once, for a moment longer when their holder may only be looking at them.
static Outcome try_lock(UsLock* l, Owner* owner) {
  Outcome outcome = TAKEN;
  for (int i = 0; i < 2 && outcome == TAKEN && l->name[i][0]; i++) {
    for (int tries = 0; tries < kTries; tries++) {
      outcome = try_file(l->name[i], &l->fd[i], owner);
      // Whoever looks at a lock holds it for a moment and has no name in it.
      if (outcome != AGAIN && !(outcome == BUSY && (owner->pid == 0 || is_gone(owner)))) break;
      usleep(kPause);
    }
  }
  // Both or none.
  int error = errno;
  if (outcome != TAKEN) {
    drop_file(l->name[0], &l->fd[0]);
    drop_file(l->name[1], &l->fd[1]);
  }
  errno = error;
  return outcome;
}

// ---- messages ----

static UsStatus refuse(const char* path, const char* name, const Owner* o) {
  char text[256] = "being written by another process";
  if (o->pid != 0) {
    snprintf(text, sizeof(text), "being written by pid %ld on %s since %s", o->pid, o->host,
             o->since);
  }
  if (!o->exclusive) return us_fail(US_IO, "%s: %s", path, text);
  return us_fail(US_IO, "%s: %s (once that run is gone, remove %s)", path, text, last_part(name));
}

// ---- the lock ----

// A child of fork shares its parent's open files: it closes them, or they would stay locked as
// long as it lives.
static void before_fork(void) {
  pthread_mutex_lock(&guard);
}
static void in_parent(void) {
  pthread_mutex_unlock(&guard);
}
static void in_child(void) {
  for (UsLock* l = held; l; l = l->next) {
    for (int i = 0; i < 2; i++) {
      if (l->fd[i] >= 0) close(l->fd[i]);
      l->fd[i] = -1;
    }
  }
  held = NULL;
  pthread_mutex_unlock(&guard);
}
static void watch_forks(void) {
  pthread_atfork(before_fork, in_parent, in_child);
}

static UsStatus take(const char* path, int joins, Outcome* outcome, UsLock** out) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  Owner owner;
  // What this process holds already is shared by who joins it.
  pthread_once(&once, watch_forks);
  *out = NULL;
  *outcome = BROKEN;
  UsLock* l = calloc(1, sizeof(*l));
  if (!l) return us_fail(US_MEMORY, "%s: out of memory", path);
  l->fd[0] = l->fd[1] = -1;
  l->shares = 1;
  UsStatus status = find_names(path, l->name);
  if (status != US_OK) {
    free(l);
    return status;
  }
  // The list and the files change together.
  pthread_mutex_lock(&guard);
  UsLock* known = joins ? held : NULL;
  while (known && strcmp(known->name[0], l->name[0]) != 0) known = known->next;
  if (known) {
    known->shares++;
    *outcome = TAKEN;
  } else if ((*outcome = try_lock(l, &owner)) == TAKEN) {
    l->next = held;
    held = l;
  }
  int error = errno;
  pthread_mutex_unlock(&guard);
  // Messages: who has it, or why it cannot be had.
  if (*outcome == BUSY || *outcome == AGAIN) {
    status = refuse(path, l->name[0], &owner);
  } else if (*outcome == BROKEN) {
    status = us_fail(US_IO, "%s: cannot be created: %s", path, strerror(error));
  }
  if (known || status != US_OK) free(l);
  *out = known ? known : status == US_OK ? l : NULL;
  return status;
}

UsStatus us_lock_take(const char* path, UsLock** out) {
  Outcome outcome;
  return take(path, 0, &outcome, out);
}

UsStatus us_lock_join(const char* path, UsLock** out) {
  Outcome outcome;
  return take(path, 1, &outcome, out);
}

UsStatus us_lock_wait(const char* path, UsLock** out) {
  for (int told = 0;; told = 1) {
    Outcome outcome;
    UsStatus status = take(path, 0, &outcome, out);
    if (status == US_OK || (outcome != BUSY && outcome != AGAIN)) return status;
    if (us_interrupted()) return us_fail(US_INTERRUPTED, "%s: stopped waiting for it", path);
    // The holder is told once.
    if (!told) us_log("%s; waiting for it", us_message());
    usleep(kWait);
  }
}

void us_lock_release(UsLock* l) {
  if (!l) return;
  pthread_mutex_lock(&guard);
  // The last one takes it from the list and removes the files.
  int last = --l->shares == 0;
  UsLock** at = &held;
  while (last && *at && *at != l) at = &(*at)->next;
  if (last && *at) *at = l->next;
  for (int i = 0; last && i < 2; i++) drop_file(l->name[i], &l->fd[i]);
  pthread_mutex_unlock(&guard);
  if (last) free(l);
}

// ---- asking ----

// Whether the owner that a file names still holds it. A file without a text is only being made.
static int ask_file(const char* name, Owner* o) {
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  int is = read_owner(fd, o) && !is_gone(o);
  // The text may be older than its lock: a shared lock that is given says that nobody has it.
  if (is && !o->exclusive && us_lock_flock(fd, LOCK_SH | LOCK_NB) == 0) is = 0;
  close(fd);
  return is;
}

int us_lock_holder(const char* path, UsLockHolder* holder) {
  char name[2][kPath];
  Owner o = {0};
  if (find_names(path, name) != US_OK) return 0;
  int is = ask_file(name[0], &o) || (name[1][0] && ask_file(name[1], &o));
  if (!is || !holder) return is;
  holder->pid = o.pid;
  snprintf(holder->host, sizeof(holder->host), "%s", o.host);
  snprintf(holder->since, sizeof(holder->since), "%s", o.since);
  return 1;
}

UsStatus us_lock_check(const char* path) {
  char name[2][kPath];
  Owner o = {0};
  if (find_names(path, name) != US_OK) return US_OK;
  for (int i = 0; i < 2 && name[i][0]; i++) {
    if (ask_file(name[i], &o)) return refuse(path, name[i], &o);
  }
  return US_OK;
}
