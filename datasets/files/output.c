#define _GNU_SOURCE
#include "datasets/files/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worldmodel/base/file.h"

UsStatus us_output_begin(const char* path, const char* const* inputs, int overwrite,
                         UsOutput* out) {
  *out = (UsOutput){.path = path};
  static const char* const none[] = {NULL};
  US_TRY(us_lock_take(path, &out->lock));
  // A file is not written over itself, nor over another without being asked to; a part that a
  // killed run left is one of ours.
  US_TRY(us_file_replaceable(path, NULL, inputs));
  if (us_file_exists(path) && !overwrite) {
    return us_fail(US_IO, "%s: the file exists; expected a new name or --overwrite", path);
  }
  if (asprintf(&out->part, "%s.part", path) > 0) {
    return us_file_replaceable(out->part, "\x89HDF", none);
  }
  out->part = NULL;
  return us_fail(US_MEMORY, "%s: out of memory", path);
}

UsStatus us_output_close(UsOutput* out, UsDatasetWriter* w, UsStatus status) {
  char message[512];
  snprintf(message, sizeof(message), "%s", us_message());
  if (w) out->made = 1;
  UsStatus finished = us_dataset_finish(w);
  return status != US_OK ? us_fail(status, "%s", message) : finished;
}

UsStatus us_output_place(UsOutput* out) {
  if (rename(out->part, out->path) != 0) {
    return us_fail(US_IO, "%s: cannot be written: %s", out->path, strerror(errno));
  }
  out->made = 0;
  return US_OK;
}

void us_output_end(UsOutput* out) {
  if (out->made) unlink(out->part);
  free(out->part);
  us_lock_release(out->lock);
  *out = (UsOutput){0};
}
