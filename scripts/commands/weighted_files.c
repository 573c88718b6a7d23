#include "scripts/commands/weighted_files.h"

#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/file.h"

// Takes a weight, FILE:W, off the end of a file's name, unless the file is called so.
static UsStatus read_weight(const char* option, char* file, double* weight) {
  char* colon = strrchr(file, ':');
  *weight = 1;
  if (!colon || us_file_exists(file)) return US_OK;
  char* end;
  *weight = strtod(colon + 1, &end);
  if (end == colon + 1 || *end || !(*weight > 0 && *weight < 1e9)) {
    return us_fail(US_USAGE,
                   "--%s: expected FILE or FILE:WEIGHT with a weight above 0, found \"%s\"", option,
                   file);
  }
  *colon = 0;
  return US_OK;
}

UsStatus us_weighted_files_add(UsWeightedFiles* w, const char* option, const char* const* values) {
  for (; values && *values; values++) {
    if (w->count == US_TRAINING_FILES) {
      return us_fail(US_USAGE, "--%s: expected at most %d files", option, US_TRAINING_FILES);
    }
    char* file = strdup(*values);
    if (!file) return us_fail(US_MEMORY, "out of memory");
    w->file[w->count] = file;
    US_TRY(read_weight(option, file, &w->weight[w->count++]));
  }
  return US_OK;
}

void us_weighted_files_free(UsWeightedFiles* w, char** values) {
  for (int i = 0; i < w->count; i++) free(w->file[i]);
  for (char** v = values; v && *v; v++) free(*v);
  free(values);
}
