#define _GNU_SOURCE
#include "datasets/provenance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/json.h"

enum { kShort = 16 };  // digits of a hash that name a source

// What is asked for while notes are gone through.
typedef struct Held {
  const UsDatasetInfo* info;
  char data[US_HASH_CHARS], frames[US_HASH_CHARS];
  const char* marks;  // (E) of kShort digits
  char* sources;
  char* seen;  // (E) 1: trained on
} Held;

// ---- sources ----

UsStatus us_provenance_sources(UsDataset* d, char** text) {
  char data[US_HASH_CHARS], frames[US_HASH_CHARS], seed[24] = "-";
  const UsDatasetInfo* info = us_dataset_info(d);
  *text = NULL;
  if (us_dataset_sources(d)[0]) {
    *text = strdup(us_dataset_sources(d));
    return *text ? US_OK : us_fail(US_MEMORY, "%s: out of memory", us_dataset_path(d));
  }
  US_TRY(us_dataset_hash(d, data));
  US_TRY(us_dataset_frames_hash(d, frames));
  // What a simulator collected, it collects again.
  if (strcmp(info->version, "import") != 0) {
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)info->seed);
  }
  if (asprintf(text, "%.16s %.16s %s %s\n", data, frames, seed, info->policy) > 0) return US_OK;
  *text = NULL;
  return us_fail(US_MEMORY, "%s: out of memory", us_dataset_path(d));
}

const char* us_source_next(const char* at, UsSource* s) {
  memset(s, 0, sizeof(*s));
  if (sscanf(at, "%16s %16s %23s %63[^\n]", s->content, s->frames, s->seed, s->policy) < 3) {
    return NULL;
  }
  const char* end = strchr(at, '\n');
  return end ? end + 1 : at + strlen(at);
}

// ---- notes ----

UsStatus us_provenance_note(UsDataset* d, cJSON* file) {
  char hash[US_HASH_CHARS];
  const char* marks;
  const UsDatasetInfo* info = us_dataset_info(d);
  US_TRY(us_dataset_hash(d, hash));
  cJSON_AddStringToObject(file, "sha256", hash);
  US_TRY(us_dataset_frames_hash(d, hash));
  cJSON_AddStringToObject(file, "frames_sha256", hash);
  cJSON_AddStringToObject(file, "task", info->task);
  // What one run collected stands beside it, what several did each for itself.
  UsSource s;
  const char* at = us_dataset_sources(d);
  cJSON* sources = at[0] ? cJSON_AddArrayToObject(file, "sources") : NULL;
  while (sources && (at = us_source_next(at, &s))) {
    cJSON* one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "sha256", s.content);
    cJSON_AddStringToObject(one, "frames_sha256", s.frames);
    if (strcmp(s.seed, "-") != 0) {
      cJSON_AddStringToObject(one, "task", info->task);
      cJSON_AddStringToObject(one, "policy", s.policy);
      us_json_add(one, "seed", (double)strtoull(s.seed, NULL, 10));
    }
    cJSON_AddItemToArray(sources, one);
  }
  if (!sources && strcmp(info->version, "import") != 0) {
    cJSON_AddStringToObject(file, "policy", info->policy);
    us_json_add(file, "seed", (double)info->seed);
  }
  US_TRY(us_dataset_marks(d, &marks));
  cJSON_AddStringToObject(file, "marks", marks);
  return US_OK;
}

// ---- what was seen ----

static const char* text_of(const cJSON* object, const char* name) {
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static int begins(const char* hash, const char* digits) {
  return hash && strncmp(hash, digits, kShort) == 0;
}

// 1 if a noted file names a source of the held one: by content or frames, or by what collected it,
// since its episodes start with the same ones. Of a source of a noted file (part 1) only some
// episodes were trained on, which the marks tell.
static int names(const Held* h, const cJSON* file, int part) {
  UsSource s;
  const char *at = h->sources, *task = text_of(file, "task"), *policy = text_of(file, "policy");
  const cJSON* seed = cJSON_GetObjectItemCaseSensitive(file, "seed");
  const int collected = cJSON_IsNumber(seed) && task && policy && !strcmp(task, h->info->task);
  while ((at = us_source_next(at, &s))) {
    if (begins(text_of(file, "sha256"), s.content) ||
        begins(text_of(file, "frames_sha256"), s.frames)) {
      if (!part) return 1;
      continue;
    }
    if (collected && strcmp(s.seed, "-") != 0 && !strcmp(policy, s.policy) &&
        seed->valuedouble == (double)strtoull(s.seed, NULL, 10)) {
      return 1;
    }
  }
  return 0;
}

static int by_digits(const void* a, const void* b) {
  return memcmp(a, b, kShort);
}

// Finds the held episodes whose marks a noted file has.
static UsStatus find_marks(const Held* h, const char* marks) {
  size_t n = strlen(marks) / kShort;
  char* sorted = strdup(marks);
  if (!sorted) return us_fail(US_MEMORY, "out of memory for the marks of %zu episodes", n);
  qsort(sorted, n, kShort, by_digits);
  for (int64_t e = 0; e < h->info->episodes; e++) {
    if (bsearch(h->marks + e * kShort, sorted, n, kShort, by_digits)) h->seen[e] = 1;
  }
  free(sorted);
  return US_OK;
}

static UsStatus look(const Held* h, const cJSON* notes, int part) {
  const char* text = cJSON_GetStringValue(notes);
  if ((text && (strcmp(text, h->data) == 0 || strcmp(text, h->frames) == 0)) ||
      (cJSON_IsObject(notes) && names(h, notes, part))) {
    memset(h->seen, 1, (size_t)h->info->episodes);
  }
  const cJSON* item;
  cJSON_ArrayForEach(item, notes) {
    const char* name = item->string ? item->string : "";
    const char* marks = strcmp(name, "marks") == 0 ? cJSON_GetStringValue(item) : NULL;
    US_TRY(marks ? find_marks(h, marks) : look(h, item, part || strcmp(name, "sources") == 0));
  }
  return US_OK;
}

UsStatus us_provenance_seen(UsDataset* d, const cJSON* notes, int64_t* episodes) {
  Held h = {.info = us_dataset_info(d)};
  *episodes = 0;
  // All that this file may be known by.
  US_TRY(us_dataset_hash(d, h.data));
  US_TRY(us_dataset_frames_hash(d, h.frames));
  US_TRY(us_dataset_marks(d, &h.marks));
  US_TRY(us_provenance_sources(d, &h.sources));
  h.seen = calloc((size_t)h.info->episodes, 1);
  UsStatus status =
      h.seen ? look(&h, notes, 0) : us_fail(US_MEMORY, "%s: out of memory", us_dataset_path(d));
  for (int64_t e = 0; status == US_OK && e < h.info->episodes; e++) *episodes += h.seen[e];
  free(h.seen);
  free(h.sources);
  return status;
}
