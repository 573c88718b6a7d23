#ifndef UNDERSTUDY_WEIGHTED_FILES_H_
#define UNDERSTUDY_WEIGHTED_FILES_H_

// Files of an option that may be given several times, each FILE or FILE:WEIGHT.

#include "datasets/training_jobs.h"

typedef struct UsWeightedFiles {
  int count;
  char* file[US_TRAINING_FILES + 1];  // NULL-terminated
  double weight[US_TRAINING_FILES];   // default: 1
} UsWeightedFiles;

// Adds the files that `values` (NULL-terminated) name. Nullable: values.
UsStatus us_weighted_files_add(UsWeightedFiles* w, const char* option, const char* const* values);

// Frees the names, and the list that popt made of an option's values (nullable).
void us_weighted_files_free(UsWeightedFiles* w, char** values);

#endif  // UNDERSTUDY_WEIGHTED_FILES_H_
