#include "datasets/hdf5/hdf5_probe.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worldmodel/base/helper.h"

enum { kSeconds = 10, kBytesPerSecond = 20 << 20 };  // time a child has

UsStatus us_hdf5_probe(const char* path) {
  struct stat found = {0};
  stat(path, &found);
  char helper[US_HELPER_CHARS];
  US_TRY(us_helper_find("probe", path, helper));
  // Large files take longer to read.
  unsigned seconds = kSeconds + (unsigned)(found.st_size / kBytesPerSecond);
  char limit[16];
  snprintf(limit, sizeof(limit), "%u", seconds);
  char* const words[] = {helper, (char*)(uintptr_t)path, limit, NULL};
  pid_t child;
  int how = 0, error = us_helper_start(words, -1, &child);
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
