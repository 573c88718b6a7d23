// The start and the end of a program.

#define _GNU_SOURCE
#include <cblas.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/cli/cli.h"
#include "scripts/cli/terminal.h"

// OpenBLAS takes its oldest kernels on a processor that it does not know. Where that happens and
// the processor has newer instructions, the program starts once more with kernels that use them.
static void choose_kernels(const char** argv) {
  if (getenv("OPENBLAS_CORETYPE") || strcmp(openblas_get_corename(), "Prescott") != 0) return;
  // AVX2 and FMA are what OpenBLAS's newer kernels need at least.
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
  // Once more with the name of the kernels; where that fails, on with the old ones.
  char self[4096];
  ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (length <= 0) return;
  self[length] = 0;
  setenv("OPENBLAS_CORETYPE", __builtin_cpu_supports("avx512bw") ? "SkylakeX" : "Haswell", 1);
  execv(self, (char* const*)argv);
}

// The exit code of a command, 1 where it worked but not all that it printed has left. A reader that
// has gone away, as `head` does, knows why.
static int check_output(int code) {
  // What is still in the buffer may fail now, or have failed before.
  errno = 0;
  int bad = fflush(stdout) != 0, error = errno;
  if (!bad && ferror(stdout)) {  // an earlier write failed; another says why
    bad = 1;
    if (fputc('\n', stdout) == EOF || fflush(stdout) != 0) error = errno;
  }
  if (fclose(stdout) != 0 && !bad) {
    bad = 1;
    error = errno;
  }
  if (!bad || code != 0) return code;
  if (error == EPIPE) return 1;
  fprintf(stderr, "understudy: standard output: cannot be written%s%s\n", error ? ": " : "",
          error ? strerror(error) : "");
  return 1;
}

int us_cli_main(int argc, const char** argv, int (*run)(int argc, const char** argv)) {
  // Closed descriptors 0, 1 and 2 are opened so that using them fails: else the next file that is
  // opened would take such a number, and what is printed would be written into it.
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) _exit(1);
  }
  choose_kernels(argv);
  us_terminal_install();
  int code = run(argc, argv);
  us_cli_close_tasks();
  return check_output(code);
}
