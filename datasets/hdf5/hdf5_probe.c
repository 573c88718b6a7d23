#include "datasets/hdf5/hdf5_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worldmodel/base/helper.h"

enum { kSeconds = 10, kBytesPerSecond = 20 << 20 };  // time a child has

extern char** environ;

// Starts the helper without input and output. Of Ctrl-C, which goes to all processes of a terminal,
// it hears nothing: this process hears it.
static int start(const char* helper, const char* path, unsigned seconds, pid_t* child) {
  char limit[16];
  snprintf(limit, sizeof(limit), "%u", seconds);
  char* const words[] = {(char*)(uintptr_t)helper, (char*)(uintptr_t)path, limit, NULL};
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGHUP);
  // Attributes and files of the child.
  posix_spawnattr_t how;
  posix_spawn_file_actions_t files;
  posix_spawnattr_init(&how);
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&how, &blocked);
  for (int fd = 0; fd < 3; fd++) {
    posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  }
  // Nothing of this process is copied: it may be large, and other threads may hold its locks.
  int error = posix_spawn(child, helper, &files, &how, words, environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&how);
  return error;
}

UsStatus us_hdf5_probe(const char* path) {
  struct stat found = {0};
  stat(path, &found);
  char helper[US_HELPER_CHARS];
  US_TRY(us_helper_find("probe", path, helper));
  // Large files take longer to read.
  unsigned seconds = kSeconds + (unsigned)(found.st_size / kBytesPerSecond);
  pid_t child;
  int how = 0, error = start(helper, path, seconds, &child);
  if (error) return us_fail(US_IO, "%s: %s: cannot be started: %s", path, helper, strerror(error));
  // It ends in time: it has an alarm.
  while (waitpid(child, &how, 0) < 0) {
    if (errno != EINTR) return us_fail(US_IO, "%s: %s: %s", path, helper, strerror(errno));
  }
  // What happened to the child is the verdict.
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return US_OK;
  if (WIFSIGNALED(how) && WTERMSIG(how) == SIGALRM) {
    return us_fail(US_FORMAT,
                   "%s: expected a readable HDF5 file, found one that keeps the library busy for "
                   "more than %u s",
                   path, seconds);
  }
  return us_fail(US_FORMAT, "%s: expected a readable HDF5 file, found one that crashes the library",
                 path);
}
