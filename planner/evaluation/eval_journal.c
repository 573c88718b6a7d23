// The file: a header (magic, key), then records. A record is its head, then outcomes (n), actions
// (n, blocks, K, A) and distances (n, blocks + 1) of pairs first .. first + n - 1, then the SHA-256
// of all that in hex. It is written in one call and read back whole or not at all.

#define _GNU_SOURCE
#include "planner/evaluation/eval_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Header {
  char magic[16];
  char key[US_HASH_CHARS];
} Header;

static const char kMagic[16] = "understudy-eval";

// What a record says before its arrays. Counts and times are those of the row since its start.
typedef struct Head {
  int32_t row, first, n, blocks, block, action;
  int64_t plans, candidate_steps;
  double wall[US_PART_COUNT], core[US_PART_COUNT], wall_all, core_all;
} Head;

struct UsJournal {
  char* path;
  int fd, row;
  char* old;  // what an earlier run left, of which old_size bytes are whole; NULL: nothing
  size_t old_size;
};

// ---- records ----

typedef struct Sizes {
  size_t outcome, action, distance, all;  // bytes of the arrays, and of a whole record
} Sizes;

static Sizes sizes_of(const Head* h) {
  size_t n = (size_t)h->n, blocks = (size_t)h->blocks;
  Sizes s = {.outcome = n * sizeof(UsOutcome),
             .action = n * blocks * (size_t)(h->block * h->action) * sizeof(float),
             .distance = n * (blocks + 1) * sizeof(float)};
  s.all = sizeof(Head) + s.outcome + s.action + s.distance + US_HASH_CHARS;
  return s;
}

// The size of the record at `at` when all of it is there and is what was written, else 0.
static size_t check_record(const char* at, size_t left, Head* h) {
  const int most = 1 << 20;
  if (left < sizeof(*h)) return 0;
  memcpy(h, at, sizeof(*h));
  // Numbers whose product is a size.
  if (h->row < 0 || h->first < 0 || h->n <= 0 || h->n > most || h->blocks <= 0 ||
      h->blocks > most || h->block <= 0 || h->block > 4096 || h->action <= 0 || h->action > 4096) {
    return 0;
  }
  size_t all = sizes_of(h).all;
  if (left < all) return 0;
  char hash[US_HASH_CHARS];
  us_hash_bytes(at, all - US_HASH_CHARS, hash);
  return memcmp(hash, at + all - US_HASH_CHARS, US_HASH_CHARS) == 0 ? all : 0;
}

static UsStatus write_all(const UsJournal* j, const void* data, size_t size) {
  const char* at = data;
  while (size > 0) {
    ssize_t n = write(j->fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return us_fail(US_IO, "%s: cannot be written: %s", j->path, strerror(errno));
    at += n;
    size -= (size_t)n;
  }
  return US_OK;
}

UsStatus us_journal_keep(void* keeper, const UsResult* r, int first, int n) {
  // The head: what the row has come to since its start, this batch included.
  const UsJournal* j = keeper;
  Head h;
  memset(&h, 0, sizeof(h));
  h = (Head){.row = j->row,
             .first = first,
             .n = n,
             .blocks = r->blocks,
             .block = r->block,
             .action = r->action,
             .plans = r->plans,
             .candidate_steps = r->candidate_steps,
             .wall_all = r->wall_all,
             .core_all = r->core_all};
  memcpy(h.wall, r->wall, sizeof(h.wall));
  memcpy(h.core, r->core, sizeof(h.core));
  // The arrays of the batch and the hash over all of it, in one write.
  Sizes s = sizes_of(&h);
  char* record = malloc(s.all);
  if (!record) return us_fail(US_MEMORY, "%s: out of memory", j->path);
  char* at = mempcpy(record, &h, sizeof(h));
  at = mempcpy(at, r->outcome + first, s.outcome);
  at = mempcpy(at, r->actions + (size_t)first * (s.action / (size_t)n / sizeof(float)), s.action);
  at = mempcpy(at, r->distance + (size_t)first * (size_t)(r->blocks + 1), s.distance);
  us_hash_bytes(record, s.all - US_HASH_CHARS, at);
  UsStatus status = write_all(j, record, s.all);
  // On the disk before the next batch begins.
  if (status == US_OK && fdatasync(j->fd) != 0) {
    status = us_fail(US_IO, "%s: cannot be written: %s", j->path, strerror(errno));
  }
  free(record);
  return status;
}

UsStatus us_journal_recall(void* keeper, UsResult* r, int* done) {
  const UsJournal* j = keeper;
  *done = 0;
  Head h;
  for (size_t at = sizeof(Header), size; at < j->old_size; at += size) {
    size = check_record(j->old + at, j->old_size - at, &h);
    US_ASSERT(size > 0);
    // Records of a row lie in order; one that does not continue them was written twice.
    if (h.row != j->row || h.first != *done) continue;
    if (h.blocks != r->blocks || h.block != r->block || h.action != r->action ||
        h.first + h.n > r->count) {
      return us_fail(US_FORMAT, "%s: expected records of %d blocks, found others", j->path,
                     r->blocks);
    }
    // The arrays go back where they were written from; the sums are those of the row so far.
    Sizes s = sizes_of(&h);
    const char* from = j->old + at + sizeof(h);
    size_t first = (size_t)h.first, n = (size_t)h.n;
    memcpy(r->outcome + first, from, s.outcome);
    memcpy(r->actions + first * (s.action / n / sizeof(float)), from + s.outcome, s.action);
    memcpy(r->distance + first * (size_t)(h.blocks + 1), from + s.outcome + s.action, s.distance);
    r->plans = h.plans;
    r->candidate_steps = h.candidate_steps;
    memcpy(r->wall, h.wall, sizeof(h.wall));
    memcpy(r->core, h.core, sizeof(h.core));
    r->wall_all = h.wall_all;
    r->core_all = h.core_all;
    *done += h.n;
  }
  return US_OK;
}

// ---- the file ----

// Reads what an earlier run left; a journal that a kill cut off before its header is empty.
static UsStatus read_old(UsJournal* j, const char* key) {
  if (!us_file_exists(j->path)) return US_OK;
  void* data;
  size_t size, n;
  US_TRY(us_file_read(j->path, 0, &data, &size));
  j->old = data;
  if (size < sizeof(Header)) return US_OK;
  // The header says whose journal it is.
  Header h;
  memcpy(&h, data, sizeof(h));
  if (memcmp(h.magic, kMagic, sizeof(kMagic)) != 0) {
    return us_fail(US_FORMAT, "%s: expected the journal of an evaluation", j->path);
  }
  if (memcmp(h.key, key, US_HASH_CHARS) != 0) {
    return us_fail(US_FORMAT,
                   "%s: expected a run of the same data, models and options to go on with, "
                   "found another; without --resume it starts anew",
                   j->path);
  }
  // Whole records up to the first that is cut off or damaged.
  Head head;
  size_t* end = &j->old_size;
  *end = sizeof(Header);
  while ((n = check_record(j->old + *end, size - *end, &head)) > 0) *end += n;
  return US_OK;
}

static UsStatus open_file(UsJournal* j, const char* key) {
  Header h = {{0}, {0}};
  memcpy(h.magic, kMagic, sizeof(kMagic));
  memcpy(h.key, key, US_HASH_CHARS);
  j->fd = open(j->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (j->fd < 0) return us_fail(US_IO, "%s: cannot be created: %s", j->path, strerror(errno));
  // What was cut off goes, so that new records follow whole ones.
  if (ftruncate(j->fd, (off_t)j->old_size) != 0) {
    return us_fail(US_IO, "%s: cannot be written: %s", j->path, strerror(errno));
  }
  return j->old_size ? US_OK : write_all(j, &h, sizeof(h));
}

UsStatus us_journal_open(const char* path, const char key[US_HASH_CHARS], int resume,
                         UsJournal** out) {
  UsJournal* j = *out = calloc(1, sizeof(*j));
  if (!j) return us_fail(US_MEMORY, "out of memory");
  j->fd = -1;
  j->path = strdup(path);
  UsStatus status = j->path ? US_OK : us_fail(US_MEMORY, "out of memory");
  if (status == US_OK && resume) status = read_old(j, key);
  if (status == US_OK) status = open_file(j, key);
  *out = status == US_OK ? j : NULL;
  if (status != US_OK) us_journal_close(j, 0);
  return status;
}

void us_journal_row(UsJournal* j, int row) {
  j->row = row;
}

void us_journal_close(UsJournal* j, int remove) {
  if (!j) return;
  if (j->fd >= 0) close(j->fd);
  if (remove) unlink(j->path);
  free(j->old);
  free(j->path);
  free(j);
}
