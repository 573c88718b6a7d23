// understudy view: becomes the viewer, a program of its own that stands beside this one, so that
// only there windows and films need their libraries.

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "scripts/cli/cli.h"

int us_cmd_view(int argc, const char** argv) {
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 8);
  strcpy(path + (length > 0 ? length : 0), "-view");
  // The viewer is this process from here on: its signals, its output, its exit code.
  execv(path, (char* const*)argv);
  return us_cli_fail("view", us_fail(US_UNSUPPORTED,
                                     "%s: %s: the viewer is built where GLFW and "
                                     "libav are (scripts/install.sh)",
                                     path, strerror(errno)));
}
