// A copy is a child in a process group of its own, so that Ctrl-C in a terminal does not reach it,
// with a socket as its standard input and output: writing to one that has gone raises no SIGPIPE.

#define _GNU_SOURCE
#include "env/exec/exec_copy.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worldmodel/base/frame.h"
#include "worldmodel/base/json.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/text.h"

enum { LINE = 1 << 20, SHOWN = 80, SLICE = 100 };  // bytes of a line; of it in messages; ms
static const double start_time = 120;              // s that a hello may take

struct UsExecCopy {
  char command[US_EXEC_COMMAND];
  pid_t child;
  int fd;           // -1: it failed
  char lost[512];   // how
  int status;       // and what that is
  char* line;       // (LINE) what has come and was not read yet
  size_t used, at;  // bytes of it, and where the next answer begins
};

// ---- start and end ----

// Like us_helper_start, but with a standard input and output that are `fd`, and our standard error.
static int spawn(const char* command, int fd, pid_t* child) {
  char* words[] = {"/bin/sh", "-c", (char*)command, NULL};
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_t how;
  posix_spawn_file_actions_t files;
  posix_spawnattr_init(&how);
  posix_spawn_file_actions_init(&files);
  // Nothing of how this process treats signals is handed on.
  posix_spawnattr_setflags(&how,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&how, 0);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setsigdefault(&how, &all);
  posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO);
  int error = posix_spawn(child, words[0], &files, &how, words, environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&how);
  return error;
}

UsStatus us_exec_start(const char* command, UsExecCopy** out) {
  *out = NULL;
  UsExecCopy* c = calloc(1, sizeof(*c));
  char* line = malloc(LINE);
  int pair[2] = {-1, -1}, error = c && line ? 0 : ENOMEM;
  // Both ends are closed in every program that is started later.
  if (!error && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) error = errno;
  if (!error) error = spawn(command, pair[1], &c->child);
  if (pair[1] >= 0) close(pair[1]);
  if (error) {
    if (pair[0] >= 0) close(pair[0]);
    free(line);
    free(c);
    return us_fail(US_IO, "exec:%s: cannot be started: %s", us_shown(command), strerror(error));
  }
  snprintf(c->command, sizeof(c->command), "%s", command);
  c->fd = pair[0];
  c->line = line;
  *out = c;
  return US_OK;
}

// Waits for the end of a child, at most until `until`; 1: it has ended, as *how says.
static int wait_end(pid_t child, double until, int* how) {
  for (;;) {
    pid_t ended = waitpid(child, how, WNOHANG);
    if (ended == child || (ended < 0 && errno != EINTR)) return 1;
    if (us_seconds() >= until) return 0;
    poll(NULL, 0, 2);
  }
}

// The same, by force where it does not end by itself. What else runs in its group ends with it.
static void end(UsExecCopy* c, double until, int* how) {
  *how = 0;
  if (c->child == 0) return;
  if (!wait_end(c->child, until, how)) {
    kill(-c->child, SIGKILL);
    while (waitpid(c->child, how, 0) < 0 && errno == EINTR) {
    }
  } else {
    kill(-c->child, SIGKILL);  // a shell that has left something behind
  }
  c->child = 0;
}

void us_exec_end(UsExecCopy** copies, int n, double timeout) {
  static const char bye[] = "{\"do\": \"bye\"}\n";
  // All are told before the first is waited for.
  for (int i = 0; i < n; i++) {
    if (!copies[i] || copies[i]->fd < 0) continue;
    send(copies[i]->fd, bye, sizeof(bye) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(copies[i]->fd, SHUT_WR);
  }
  const double until = us_seconds() + timeout;
  for (int i = 0; i < n; i++) {
    UsExecCopy* c = copies[i];
    int how;
    if (!c) continue;
    end(c, until, &how);
    if (c->fd >= 0) close(c->fd);
    free(c->line);
    free(c);
    copies[i] = NULL;
  }
}

// ---- failures ----

// Ends a copy with a failure, whose text is kept for whoever asks it later. It sees the end of its
// input, by which it takes its safe action; us_exec_end waits for it.
static UsStatus fail(UsExecCopy* c, UsStatus status, const char* expected, const char* found) {
  snprintf(c->lost, sizeof(c->lost), "exec:%s: expected %s, found %s", us_shown(c->command),
           expected, found);
  c->status = (int)status;
  close(c->fd);
  c->fd = -1;
  return us_fail(status, "%s", c->lost);
}

// The failure of a copy that has closed its output: how it ended is the more useful thing to say.
static UsStatus fail_closed(UsExecCopy* c, const char* expected) {
  char found[96];
  int how = 0;
  int ended = wait_end(c->child, us_seconds() + 1, &how);
  if (ended) {
    kill(-c->child, SIGKILL);
    c->child = 0;
  }
  if (ended && WIFSIGNALED(how)) {
    snprintf(found, sizeof(found), "that it was ended by signal %d", WTERMSIG(how));
  } else if (ended) {
    snprintf(found, sizeof(found), "that it ended, with exit code %d", WEXITSTATUS(how));
  } else {
    snprintf(found, sizeof(found), "that it closed its output");
  }
  return fail(c, US_IO, expected, found);
}

static UsStatus check_alive(const UsExecCopy* c) {
  return c->fd >= 0 ? US_OK : us_fail((UsStatus)c->status, "%s", c->lost);
}

// ---- bytes ----

// Waits until the socket can do `what`; a turn at a time, so that Ctrl-C is heard.
static UsStatus wait_for(UsExecCopy* c, short what, double until, double seconds,
                         const char* expected) {
  for (;;) {
    struct pollfd p = {.fd = c->fd, .events = what};
    double left = until - us_seconds();
    int ms = left > 0 ? (int)fmin(ceil(1000 * left), SLICE) : 0;
    if (poll(&p, 1, ms) > 0) return US_OK;
    if (us_interrupted()) return fail(c, US_INTERRUPTED, expected, "that it was to stop");
    if (left > 0) continue;
    char found[64];
    snprintf(found, sizeof(found), "nothing within %g s", seconds);
    return fail(c, US_IO, expected, found);
  }
}

// Receives what there is, into data (size), at least a byte.
static UsStatus receive(UsExecCopy* c, void* data, size_t size, double until, double seconds,
                        const char* expected, size_t* got) {
  for (;;) {
    ssize_t n = recv(c->fd, data, size, MSG_DONTWAIT);
    if (n > 0) {
      *got = (size_t)n;
      return US_OK;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) return fail_closed(c, expected);
    US_TRY(wait_for(c, POLLIN, until, seconds, expected));
  }
}

// The next line without its end: *text, which holds until the next call.
static UsStatus read_line(UsExecCopy* c, double seconds, const char* expected, char** text,
                          size_t* size) {
  const double until = us_seconds() + seconds;
  US_TRY(check_alive(c));
  // What was read is done with.
  memmove(c->line, c->line + c->at, c->used - c->at);
  c->used -= c->at;
  c->at = 0;
  for (size_t seen = 0;;) {
    char* end = memchr(c->line + seen, '\n', c->used - seen);
    if (end) {
      *text = c->line;
      *size = (size_t)(end - c->line);
      c->at = *size + 1;
      return US_OK;
    }
    seen = c->used;
    if (c->used == LINE) return fail(c, US_FORMAT, expected, "a line of more than 1 MB");
    size_t got = 0;
    US_TRY(receive(c, c->line + c->used, LINE - c->used, until, seconds, expected, &got));
    c->used += got;
  }
}

// The bytes behind a line.
static UsStatus read_frame(UsExecCopy* c, double seconds, size_t size, uint8_t* out) {
  const double until = us_seconds() + seconds;
  char expected[64];
  size_t have = c->used - c->at < size ? c->used - c->at : size;
  snprintf(expected, sizeof(expected), "%zu bytes of a frame", size);
  memcpy(out, c->line + c->at, have);
  c->at += have;
  while (have < size) {
    size_t got = 0;
    US_TRY(receive(c, out + have, size - have, until, seconds, expected, &got));
    have += got;
  }
  return US_OK;
}

UsStatus us_exec_ask(UsExecCopy* c, const UsExec* x, const char* line, size_t size) {
  const double until = us_seconds() + x->timeout;
  US_TRY(check_alive(c));
  while (size > 0) {
    ssize_t n = send(c->fd, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      line += n;
      size -= (size_t)n;
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) return fail_closed(c, "a program that reads its input");
    US_TRY(wait_for(c, POLLOUT, until, x->timeout, "that it reads its input"));
  }
  return US_OK;
}

// ---- answers ----

// A line as an object. The caller frees it.
static UsStatus parse(UsExecCopy* c, const char* what, char* text, size_t size, cJSON** out) {
  char shown[SHOWN + 1], found[256], name[] = "its line";
  if (us_json_parse(name, text, size, out) == US_OK && cJSON_IsObject(*out)) return US_OK;
  cJSON_Delete(*out);
  *out = NULL;
  // The line's beginning says most.
  snprintf(shown, sizeof(shown), "%.*s", (int)(size < SHOWN ? size : SHOWN), text);
  snprintf(found, sizeof(found), "\"%s\"%s", us_shown(shown), size > SHOWN ? "..." : "");
  return fail(c, US_FORMAT, what, found);
}

// A list of n finite numbers.
static UsStatus read_numbers(UsExecCopy* c, const cJSON* object, const char* key, int n,
                             double* out) {
  char expected[96], found[96];
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, key), *item = NULL;
  int i = 0, bad = -1;
  cJSON_ArrayForEach(item, list) {
    int good = cJSON_IsNumber(item) && isfinite(item->valuedouble);
    if (!good && bad < 0) bad = i;
    if (good && i < n) out[i] = item->valuedouble;
    i++;
  }
  if (cJSON_IsArray(list) && i == n && bad < 0) return US_OK;
  snprintf(expected, sizeof(expected), "\"%s\": %d finite numbers", key, n);
  if (!list) {
    snprintf(found, sizeof(found), "none");
  } else if (!cJSON_IsArray(list)) {
    snprintf(found, sizeof(found), "no list");
  } else if (i != n) {
    snprintf(found, sizeof(found), "%d", i);
  } else {
    snprintf(found, sizeof(found), "something else as number %d", bad);
  }
  return fail(c, US_FORMAT, expected, found);
}

// A number that may be missing, then NAN.
static UsStatus read_number(UsExecCopy* c, const cJSON* object, const char* key, double* out) {
  const cJSON* item = cJSON_GetObjectItemCaseSensitive(object, key);
  char expected[64];
  *out = item ? item->valuedouble : NAN;
  if (!item || (cJSON_IsNumber(item) && isfinite(*out))) return US_OK;
  snprintf(expected, sizeof(expected), "\"%s\": a finite number", key);
  return fail(c, US_FORMAT, expected, "something else");
}

static UsStatus read_answer(UsExecCopy* c, const UsExec* x, const cJSON* object,
                            UsExecAnswer* out) {
  const char* error = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "error"));
  if (error) return fail(c, US_IO, "an answer", us_shown(error));
  US_TRY(read_numbers(c, object, "state", x->state, out->state));
  US_TRY(read_number(c, object, "time", &out->time));
  US_TRY(read_number(c, object, "distance", &out->distance));
  const cJSON* success = cJSON_GetObjectItemCaseSensitive(object, "success");
  if (x->judges && !cJSON_IsBool(success)) {
    return fail(c, US_FORMAT, "\"success\": true or false", success ? "something else" : "none");
  }
  out->success = cJSON_IsTrue(success);
  // Bytes that nobody asked for would be taken for the next line.
  const size_t size = out->frame ? us_frame_bytes(x->height, x->width) : 0;
  const cJSON* frame = cJSON_GetObjectItemCaseSensitive(object, "frame");
  double said = frame ? frame->valuedouble : 0;
  if ((frame && !cJSON_IsNumber(frame)) || said != (double)size) {
    char expected[96], found[48];
    snprintf(expected, sizeof(expected), "\"frame\": %zu (bytes of %d x %d pixels behind the line)",
             size, x->width, x->height);
    snprintf(found, sizeof(found), "%.12g", said);
    return fail(c, US_FORMAT, expected, frame ? found : "none");
  }
  return US_OK;
}

UsStatus us_exec_hear(UsExecCopy* c, const UsExec* x, double patience, UsExecAnswer* out) {
  char* text = NULL;
  size_t size = 0;
  cJSON* object;
  const double seconds = patience * x->timeout;
  US_TRY(read_line(c, seconds, "an answer", &text, &size));
  US_TRY(parse(c, "an answer as a line of JSON with finite numbers", text, size, &object));
  UsStatus status = read_answer(c, x, object, out);
  cJSON_Delete(object);
  if (status != US_OK || !out->frame) return status;
  return read_frame(c, seconds, us_frame_bytes(x->height, x->width), out->frame);
}

// ---- the hello ----

// Whole numbers: field, key, least, most, where it is missing (-1: it must not be).
#define HELLO_INTS(X)                                  \
  X(state, "state", 1, US_TASK_MEASURES, -1)           \
  X(height, "height", 0, US_EXEC_SIDE, 0)              \
  X(width, "width", 0, US_EXEC_SIDE, 0)                \
  X(proprio, "proprio", 0, US_TASK_MEASURES, x->state) \
  X(copies, "copies", 1, 1 << 12, 1)                   \
  X(steps, "steps", 0, 1 << 30, 0)                     \
  X(block, "block", 1, 1 << 10, 5)

static UsStatus read_sizes(const char* name, const cJSON* o, UsExec* x) {
  const double slow = 1e6, ten = 10, *needed = NULL;
  int version, missing;
  US_TRY(us_json_int(name, o, "understudy", US_EXEC_PROTOCOL, US_EXEC_PROTOCOL, NULL, &version));
  US_TRY(us_json_text(name, o, "name", NULL, x->name, sizeof(x->name)));
#define X(field, key, low, high, fallback) \
  missing = fallback;                      \
  US_TRY(us_json_int(name, o, key, low, high, missing < 0 ? NULL : &missing, &x->field));
  HELLO_INTS(X)
#undef X
  US_TRY(us_json_number(name, o, "dt", 1e-6, slow, needed, &x->dt));
  US_TRY(us_json_number(name, o, "timeout", 1e-3, slow, &ten, &x->timeout));
  US_TRY(us_json_text(name, o, "camera", "camera", x->camera, sizeof(x->camera)));
  US_TRY(us_json_flag(name, o, "success", 0, &x->judges));
  US_TRY(us_json_flag(name, o, "restore", 0, &x->restores));
  if (x->proprio > x->state || (x->height == 0) != (x->width == 0) ||
      (x->height && (x->height < 8 || x->width < 8))) {
    return us_fail(US_FORMAT,
                   "%s: expected \"proprio\" of at most the state's %d numbers and frames of at "
                   "least 8 x 8, found %d and %d x %d",
                   name, x->state, x->proprio, x->width, x->height);
  }
  // Names of tasks are made of it.
  if (us_name_fits(x->name)) return US_OK;
  return us_fail(US_FORMAT, "%s: expected \"name\" of letters, digits, - and _, found \"%s\"", name,
                 us_shown(x->name));
}

// The lists, whose lengths say how many numbers an action has.
static UsStatus read_lists(UsExecCopy* c, const char* name, const cJSON* o, UsExec* x) {
  int n = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "low"));
  if (n < 1 || n > US_TASK_ACTIONS) {
    return us_fail(US_FORMAT, "%s: expected \"low\": 1 to %d numbers, found %d", name,
                   US_TASK_ACTIONS, n);
  }
  x->action = n;
  x->low = calloc((size_t)n, sizeof(double));
  x->high = calloc((size_t)n, sizeof(double));
  x->safe = calloc((size_t)n, sizeof(double));
  x->tolerance = calloc((size_t)x->state, sizeof(double));
  if (!x->low || !x->high || !x->safe || !x->tolerance) {
    return us_fail(US_MEMORY, "%s: out of memory", name);
  }
  US_TRY(read_numbers(c, o, "low", n, x->low));
  US_TRY(read_numbers(c, o, "high", n, x->high));
  for (int i = 0; i < n; i++) x->safe[i] = (x->low[i] + x->high[i]) / 2;
  if (cJSON_HasObjectItem(o, "safe")) US_TRY(read_numbers(c, o, "safe", n, x->safe));
  for (int i = 0; i < n; i++) {
    if (x->low[i] < x->high[i] && x->low[i] <= x->safe[i] && x->safe[i] <= x->high[i]) continue;
    return us_fail(US_FORMAT,
                   "%s: expected low < high and safe between, found %g, %g and %g as "
                   "number %d",
                   name, x->low[i], x->high[i], x->safe[i], i);
  }
  if (cJSON_HasObjectItem(o, "tolerance")) {
    US_TRY(read_numbers(c, o, "tolerance", x->state, x->tolerance));
  }
  for (int i = 0; i < x->state; i++) {
    x->rated |= x->tolerance[i] > 0;
    if (x->tolerance[i] >= 0) continue;
    return us_fail(US_FORMAT, "%s: expected \"tolerance\" of at least 0, found %g", name,
                   x->tolerance[i]);
  }
  return US_OK;
}

UsStatus us_exec_hear_hello(UsExecCopy* c, UsExec* x) {
  static const char what[] = "its hello, a line of JSON as env/exec.h says";
  char *text = NULL, name[US_EXEC_COMMAND + 64];
  size_t size = 0;
  cJSON* o;
  US_TRY(read_line(c, start_time, what, &text, &size));
  US_TRY(parse(c, what, text, size, &o));
  snprintf(name, sizeof(name), "exec:%s: its hello", us_shown(x->command));
  UsStatus status = read_sizes(name, o, x);
  if (status == US_OK) status = read_lists(c, name, o, x);
  cJSON_Delete(o);
  return status;
}
