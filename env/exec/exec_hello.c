// What is known of a robot before it plays: its hello, heard once.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/exec/exec_copy.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/text.h"

// Names the robot by what trajectories depend on.
static void hash(UsExec* x) {
  const int sizes[] = {x->action, x->state, x->proprio, x->height, x->width};
  const size_t a = (size_t)x->action * sizeof(double);
  const void* const data[] = {x->name, x->camera, sizes, &x->dt, x->low, x->high, x->tolerance};
  const size_t size[] = {strlen(x->name),
                         strlen(x->camera),
                         sizeof(sizes),
                         sizeof(x->dt),
                         a,
                         a,
                         (size_t)x->state * sizeof(double)};
  char hex[US_HASH_CHARS] = "";
  us_hash_parts(x->command, sizeof(size) / sizeof(size[0]), data, size, hex);
  snprintf(x->digits, sizeof(x->digits), "%.8s", hex);
}

static void free_lists(UsExec* x) {
  free(x->low);
  free(x->high);
  free(x->safe);
  free(x->tolerance);
}

UsStatus us_exec_greet(const char* command, UsExec** out) {
  *out = NULL;
  if (!command[0] || strlen(command) >= US_EXEC_COMMAND) {
    return us_fail(US_USAGE, "exec:%s: expected a command of 1 to %d bytes, found %zu",
                   us_shown(command), US_EXEC_COMMAND - 1, strlen(command));
  }
  UsExec* x = calloc(1, sizeof(*x));
  if (!x) return us_fail(US_MEMORY, "exec:%s: out of memory", us_shown(command));
  snprintf(x->command, sizeof(x->command), "%s", command);
  x->timeout = 1;  // of one that has not said it
  UsStatus status = us_exec_start(command, &x->spare);
  if (status == US_OK) status = us_exec_hear_hello(x->spare, x);
  if (status != US_OK) {
    us_exec_free(x);
    return status;
  }
  hash(x);
  *out = x;
  return US_OK;
}

UsStatus us_exec_hear_again(UsExecCopy* c, const UsExec* x) {
  UsExec other = {.timeout = x->timeout};
  snprintf(other.command, sizeof(other.command), "%s", x->command);
  UsStatus status = us_exec_hear_hello(c, &other);
  if (status == US_OK) hash(&other);
  if (status == US_OK && strcmp(other.digits, x->digits) != 0) {
    status = us_fail(US_FORMAT, "exec:%s: expected the hello of the copy before, found another",
                     us_shown(x->command));
  }
  free_lists(&other);
  return status;
}

void us_exec_free(UsExec* x) {
  if (!x) return;
  us_exec_end(&x->spare, 1, x->timeout);
  free_lists(x);
  free(x);
}

UsStatus us_exec_need_judge(const UsExec* x) {
  if (x->rated || x->judges) return US_OK;
  return us_fail(
      US_UNSUPPORTED,
      "exec:%s: expected a robot whose hello says what is solved (\"tolerance\") or that "
      "judges itself (\"success\": true), found neither",
      us_shown(x->command));
}
