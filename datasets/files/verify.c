// Checking a whole file: every small column in windows, every frame in blocks, and a hash.

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/files/survey.h"
#include "worldmodel/base/progress.h"

static UsStatus check_size(const char* path, const UsDatasetInfo* info, int height, int width) {
  if (height == 0 || (info->height == height && info->width == width)) return US_OK;
  if (info->height == 0) {
    return us_fail(US_FORMAT, "%s: expected frames of %d x %d as the model sees them, found none",
                   path, width, height);
  }
  return us_fail(US_FORMAT,
                 "%s: pixels: expected frames of %d x %d as the model sees them, found "
                 "%d x %d",
                 path, width, height, info->width, info->height);
}

static UsStatus read_windows(const char* path, UsSurvey* s, EVP_MD_CTX* hash) {
  const UsDatasetInfo* info = us_survey_info(s);
  const UsDatasetColumns* c = us_survey_columns(s);
  int64_t first, count;
  int more;
  do {
    US_TRY(us_survey_next(s, &first, &count, &more));
    US_TRY(us_interrupt_check(path));
    if (!more || us_survey_ours(s)) continue;
    int64_t last = first + count - 1;
    size_t rows = (size_t)(c->offsets[last] + c->lengths[last] - c->first);
    EVP_DigestUpdate(hash, c->actions, rows * (size_t)info->action * sizeof(float));
    if (c->proprio)
      EVP_DigestUpdate(hash, c->proprio, rows * (size_t)info->proprio * sizeof(float));
    if (c->variation) {
      EVP_DigestUpdate(hash, c->variation, rows * (size_t)info->variation * sizeof(float));
    }
    if (c->states) EVP_DigestUpdate(hash, c->states, rows * (size_t)info->state * sizeof(double));
  } while (more);
  return US_OK;
}

static UsStatus read_frames(const char* path, UsSurvey* s, EVP_MD_CTX* hash) {
  const UsDatasetInfo* info = us_survey_info(s);
  int64_t block = us_survey_block(s);
  if (block == 0) return US_OK;
  if (block > info->rows) block = info->rows;
  size_t bytes = (size_t)info->height * (size_t)info->width * 3;
  uint8_t* frames = malloc((size_t)block * bytes);
  if (!frames)
    return us_fail(US_MEMORY, "%s: out of memory for %lld frames", path, (long long)block);
  UsProgress bar = us_progress_start("verify", "frames", (double)info->rows, 0);
  UsStatus status = US_OK;
  for (int64_t first = 0; first < info->rows && status == US_OK; first += block) {
    int64_t n = info->rows - first < block ? info->rows - first : block;
    status = us_survey_pixels(s, first, n, frames);
    if (status == US_OK) EVP_DigestUpdate(hash, frames, (size_t)n * bytes);
    if (status == US_OK) status = us_progress_step(&bar, (double)(first + n), path);
  }
  us_progress_end(&bar);
  free(frames);
  return status;
}

static UsStatus verify_foreign(const char* path, UsSurvey* s, EVP_MD_CTX* hash, UsVerdict* out) {
  US_TRY(read_frames(path, s, hash));
  unsigned char digest[EVP_MAX_MD_SIZE];
  EVP_DigestFinal_ex(hash, digest, NULL);
  for (int i = 0; i < 32; i++) snprintf(out->hash + 2 * i, 3, "%02x", digest[i]);
  return US_OK;
}

// A file of ours has to open as training opens it, and the hash that training records reads every
// frame.
static UsStatus verify_ours(const char* path, UsVerdict* out) {
  UsDataset* d;
  US_TRY(us_dataset_open(path, &d));
  out->info = *us_dataset_info(d);  // a file that is being written may have grown
  UsStatus status = us_dataset_hash(d, out->hash);
  us_dataset_close(d);
  return status;
}

UsStatus us_dataset_verify(const char* path, int height, int width, UsVerdict* out) {
  memset(out, 0, sizeof(*out));
  UsSurvey* s;
  US_TRY(us_survey_open(path, NULL, &s));
  EVP_MD_CTX* hash = EVP_MD_CTX_new();
  out->info = *us_survey_info(s);
  out->ours = us_survey_ours(s);
  snprintf(out->writer, sizeof(out->writer), "%s", us_survey_writer(s));
  snprintf(out->left, sizeof(out->left), "%s", us_survey_left(s));
  UsStatus status = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL)
                        ? check_size(path, &out->info, height, width)
                        : us_fail(US_MEMORY, "%s: out of memory", path);
  if (status == US_OK) status = read_windows(path, s, hash);
  if (status == US_OK && !out->ours) status = verify_foreign(path, s, hash, out);
  EVP_MD_CTX_free(hash);
  us_survey_close(s);
  return status == US_OK && out->ours ? verify_ours(path, out) : status;
}
