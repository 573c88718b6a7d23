// The reader's side of scripts/film/understudy_film.c, where the lines are described.

#define _GNU_SOURCE
#include "datasets/video/video_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worldmodel/base/helper.h"
#include "worldmodel/base/progress.h"

enum { kBuffer = 1 << 20, kLine = 512, kWaitMs = 200 };
static const double kSilence = 60;  // s without a sign of life that end the helper

struct UsVideo {
  char* path;
  size_t bytes;  // of a frame
  pid_t child;   // 0: it has ended
  int fd;        // its output
  int ended;     // 1: "end" came
  uint8_t* buffer;
  size_t from, to;  // what is in the buffer
  UsVideoStory story;
};

// ---- the process ----

// Starts the helper with its output in a pipe.
static int start(UsVideo* v, const char* helper, const UsVideoAsk* ask) {
  char number[6][32];
  snprintf(number[0], sizeof(number[0]), "%d", ask->size);
  snprintf(number[1], sizeof(number[1]), "%.12g", ask->step);
  for (int i = 0; i < 4; i++) snprintf(number[2 + i], sizeof(number[2]), "%d", ask->crop[i]);
  char fit[16];
  snprintf(fit, sizeof(fit), "%s", us_fit_names[ask->fit]);
  char* const words[] = {(char*)(uintptr_t)helper,
                         v->path,
                         number[0],
                         number[1],
                         fit,
                         number[2],
                         number[3],
                         number[4],
                         number[5],
                         NULL};
  int pipes[2];
  if (pipe2(pipes, O_CLOEXEC) != 0) return errno;
  fcntl(pipes[1], F_SETPIPE_SZ, kBuffer);  // fewer turns; a smaller pipe does as well
  int error = us_helper_start(words, pipes[1], &v->child);
  close(pipes[1]);
  v->fd = pipes[0];
  if (error) v->child = 0;
  return error;
}

// Waits for the end of the helper, which is told to end, and gives what became of it.
static int stop(UsVideo* v) {
  int how = 0;
  if (!v->child) return 0;
  kill(v->child, SIGKILL);
  while (waitpid(v->child, &how, 0) < 0 && errno == EINTR) continue;
  v->child = 0;
  return how;
}

// The helper that ends or falls silent before its time is damage of the file.
static void note_fault(UsVideo* v, double time, const char* text) {
  UsVideoStory* s = &v->story;
  if (s->faults++ > 0) return;
  s->fault_time = time;
  snprintf(s->fault, sizeof(s->fault), "%s", text);
}

UsStatus us_video_open(const char* path, const UsVideoAsk* ask, UsVideo** out) {
  char helper[US_HELPER_CHARS];
  *out = NULL;
  if (access(path, R_OK) != 0) {
    return us_fail(US_IO, "%s: cannot be opened: %s", path, strerror(errno));
  }
  US_TRY(us_helper_find("film", path, helper));
  UsVideo* v = calloc(1, sizeof(*v));
  if (!v) return us_fail(US_MEMORY, "%s: out of memory", path);
  v->fd = -1;
  v->bytes = (size_t)ask->size * (size_t)ask->size * 3;
  v->path = strdup(path);
  v->buffer = malloc(kBuffer);
  UsStatus status = US_OK;
  if (!v->path || !v->buffer) status = us_fail(US_MEMORY, "%s: out of memory", path);
  int error = status == US_OK ? start(v, helper, ask) : 0;
  if (error)
    status = us_fail(US_IO, "%s: %s: cannot be started: %s", path, helper, strerror(error));
  if (status != US_OK) us_video_close(v);
  if (status == US_OK) *out = v;
  return status;
}

void us_video_close(UsVideo* v) {
  if (!v) return;
  if (v->fd >= 0) close(v->fd);
  stop(v);
  free(v->buffer);
  free(v->path);
  free(v);
}

const UsVideoStory* us_video_story(const UsVideo* v) {
  return &v->story;
}

// ---- its output ----

// Waits for more in the buffer. *more 0: there will be none.
static UsStatus fill(UsVideo* v, int* more) {
  double since = us_seconds();
  *more = 0;
  if (v->from == v->to) v->from = v->to = 0;
  for (;;) {
    // Ctrl-C is heard while it waits.
    struct pollfd p = {.fd = v->fd, .events = POLLIN};
    int ready = poll(&p, 1, kWaitMs);
    US_TRY(us_interrupt_check(v->path));
    if (ready == 0 && us_seconds() - since > kSilence) {
      note_fault(v, 0, "the decoder was busy for a minute without a picture");
      return US_OK;
    }
    if (ready <= 0) continue;
    ssize_t n = read(v->fd, v->buffer + v->to, kBuffer - v->to);
    if (n < 0 && errno == EINTR) continue;
    if (n > 0) v->to += (size_t)n;
    *more = n > 0;
    return US_OK;
  }
}

// Takes `size` bytes; *more 0: there are not so many.
static UsStatus take(UsVideo* v, uint8_t* out, size_t size, int* more) {
  *more = 1;
  while (*more && size > 0) {
    size_t n = v->to - v->from < size ? v->to - v->from : size;
    memcpy(out, v->buffer + v->from, n);
    v->from += n;
    out += n;
    size -= n;
    if (size > 0) US_TRY(fill(v, more));
  }
  return US_OK;
}

static UsStatus take_line(UsVideo* v, char line[kLine], int* more) {
  size_t n = 0;
  do {
    US_TRY(take(v, (uint8_t*)line + n, 1, more));
  } while (*more && line[n] != '\n' && ++n < kLine - 1);
  line[n] = 0;
  return US_OK;
}

// The helper ended without an "end": it crashed, or was silent for too long.
static UsStatus end_early(UsVideo* v, UsVideoNext* next) {
  int how = stop(v);
  char text[64];
  snprintf(text, sizeof(text), "the decoder ended by signal %d",
           WIFSIGNALED(how) ? WTERMSIG(how) : 0);
  if (v->story.faults == 0) {
    note_fault(v, 0,
               WIFSIGNALED(how) && WTERMSIG(how) != SIGKILL ? text : "the decoder ended early");
  }
  v->ended = 1;
  *next = US_VIDEO_CUT;
  return US_OK;
}

UsStatus us_video_next(UsVideo* v, uint8_t* pixels, double* time, UsVideoNext* next) {
  UsVideoStory* s = &v->story;
  for (;;) {
    char line[kLine];
    int more = 1, at = 0, *c = s->crop;
    *next = US_VIDEO_END;
    if (v->ended) return US_OK;
    US_TRY(take_line(v, line, &more));
    if (!more) return end_early(v, next);
    if (sscanf(line, "frame %lf", time) == 1) {
      US_TRY(take(v, pixels, v->bytes, &more));
      if (!more) return end_early(v, next);
      *next = US_VIDEO_FRAME;
      return US_OK;
    }
    if (strncmp(line, "refuse ", 7) == 0) {
      v->ended = 1;
      return us_fail(US_FORMAT, "%s: %s", v->path, line + 7);
    }
    double seconds = 0;
    if (sscanf(line, "fault %lf %n", &seconds, &at) == 1 && at > 0)
      note_fault(v, seconds, line + at);
    if (strcmp(line, "cut") == 0 || at > 0) {
      *next = US_VIDEO_CUT;
      return US_OK;
    }
    long long n[3];
    if (sscanf(line, "end %lld %lld %lld %lf %lf", n, n + 1, n + 2, &s->low, &s->high) == 5) {
      s->pictures = n[0];
      s->repeated = n[1];
      s->dropped = n[2];
      v->ended = 1;
      return US_OK;
    }
    // What the pictures are comes before the first of them.
    if (sscanf(line, "film %d %d %d %lf %lf %d %d %d %d %d %d", &s->width, &s->height, &s->turn,
               &s->rate, &s->seconds, c, c + 1, c + 2, c + 3, s->place, s->place + 1) != 11) {
      return end_early(v, next);
    }
  }
}
