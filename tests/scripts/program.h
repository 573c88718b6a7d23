#ifndef UNDERSTUDY_PROGRAM_H_
#define UNDERSTUDY_PROGRAM_H_

// Runs the built program as a user does and keeps what it printed.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

typedef struct Run {
  int code;         // exit code, -1 when it did not exit
  char err[8192];   // what it wrote to stderr
  char out[65536];  // what it wrote to stdout
} Run;

static inline void read_into(const char* path, char* text, size_t size) {
  FILE* f = fopen(path, "rb");
  size_t n = f ? fread(text, 1, size - 1, f) : 0;
  text[n] = 0;
  if (f) fclose(f);
}

// `folder` takes the two outputs; arguments are words of a shell line.
static inline Run run_program(const char* folder, const char* arguments) {
  Run r = {.code = -1};
  char line[8192], out[512], err[512];
  snprintf(out, sizeof(out), "%s/stdout", folder);
  snprintf(err, sizeof(err), "%s/stderr", folder);
  snprintf(line, sizeof(line), "'%s' %s </dev/null >'%s' 2>'%s'", US_PROGRAM, arguments, out, err);
  int status = system(line);
  if (WIFEXITED(status)) r.code = WEXITSTATUS(status);
  read_into(out, r.out, sizeof(r.out));
  read_into(err, r.err, sizeof(r.err));
  return r;
}

// The same with a line of printf; fails the test unless the program exits with `code`.
static inline Run run_expecting(const char* folder, int code, const char* format, ...)
    __attribute__((format(printf, 3, 4)));
static inline Run run_expecting(const char* folder, int code, const char* format, ...) {
  char line[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  Run r = run_program(folder, line);
  if (r.code != code) fail_msg("`understudy %s`: exit %d: %s%s", line, r.code, r.err, r.out);
  return r;
}

static inline int lines_of(const char* text) {
  int n = 0;
  for (; *text; text++) n += *text == '\n';
  return n;
}

#endif  // UNDERSTUDY_PROGRAM_H_
