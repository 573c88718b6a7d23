#ifndef UNDERSTUDY_FEATURES_H_
#define UNDERSTUDY_FEATURES_H_

// The features of a frozen encoder over a whole dataset, computed once into a memory-mapped file
// beside it or in a folder of the caller's choice, keyed by the hashes of the encoder and of what
// it reads (frames or states, not actions: a film has the features of its trajectories) and the
// kind of device that encodes; and the training batches drawn from them. They are floats, or where
// that device is one of US_FAST_FEATURES bfloat16 (worldmodel/base/bfloat.h), of half the bytes.
//
// Threads: a feature map is constant after it was opened; us_sampler_source may be called from
// several threads.

#include "datasets/dataset.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/pool.h"
#include "worldmodel/batch.h"
#include "worldmodel/encoder.h"

US_C_BEGIN

typedef struct UsFeatures UsFeatures;

// Where caches lie; folders that are not there are made. A zero-initialised struct is useful.
typedef struct UsFeaturesPlace {
  const char* folder;  // of the cache. Nullable: the dataset's
  const char* spare;  // taken, with a line of us_log, where the dataset's folder cannot be written.
                      // Nullable: that is a failure
} UsFeaturesPlace;

// Opens the features of `data` under `encoder`, computing them (with progress) when the cache file,
// <dataset without .h5>.features-<key>.bin beside the dataset or
// <name>-<hash of its path>.features-<key>.bin in another folder, is missing, unfinished or of
// another key. A caller who wants to stop gets US_INTERRUPTED and keeps what is there. Memory is
// that of a few hundred frames. On failure *out is NULL. Nullable: place (all zeros), pool.
US_API UsStatus us_features_open(UsDataset* data, const UsEncoder* encoder,
                                 const UsFeaturesPlace* place, UsPool* pool, UsFeatures** out);

// NULL is fine.
US_API void us_features_close(UsFeatures* f);

// The features of a row: (G, D), as floats or bfloat16. Where they are kept as the other it is
// NULL.
US_API const float* us_features_row(const UsFeatures* f, int64_t row);
US_API const uint16_t* us_features_bfloats(const UsFeatures* f, int64_t row);

// The same as floats, whichever they are kept as, into out (G, D).
US_API void us_features_read(const UsFeatures* f, int64_t row, float* out);

// The cache file, G and D.
US_API const char* us_features_path(const UsFeatures* f);
US_API int us_features_tokens(const UsFeatures* f);
US_API int us_features_dim(const UsFeatures* f);

// Who draws windows, and by which random numbers.
typedef enum UsSampleUse {
  US_SAMPLE_TRAINING,  // episodes in proportion to their windows: (seed, US_RNG_BATCH, step, b, 0,
                       // 1)
  US_SAMPLE_HELD,      // episodes that are long enough, all alike: (seed, US_RNG_BATCH, step, b, 4)
  US_SAMPLE_STARTS     // the same, from (seed, US_RNG_CONTEXT, step, b, 0)
} UsSampleUse;

typedef struct UsSamplerConfig {
  uint64_t seed;
  UsSampleUse use;
  int frames;            // T
  int block;             // K: fine-tuning has exactly one block between frames
  int gap_max;           // pretraining: gaps between frames uniform in 1 .. gap_max env steps; 0: K
  int64_t first;         // the first episode that is drawn
  int64_t episodes;      // so many from there; 0: all
  const float* actions;  // (N, A) that stand for the dataset's. Nullable
  int action;            // A of those
  const float* weight;   // (N) of each row's action; that of a sample is their mean. Nullable: 1
  const uint16_t* bfloats;  // (N, A) actions as bfloat16, read where `actions` is NULL. Nullable
} UsSamplerConfig;

typedef struct UsSampler UsSampler;

// A source of batches: an episode is drawn as `use` says (with gap_max: in proportion to the widest
// windows), then a window at any phase. Times are seconds since the window's first frame. Fails
// with US_FORMAT when no episode is long enough. data and features are not owned.
US_API UsStatus us_sampler_create(const UsDataset* data, const UsFeatures* features,
                                  const UsSamplerConfig* config, UsSampler** out);
US_API void us_sampler_destroy(UsSampler* s);

// Windows that can be drawn (with gap_max: of the widest kind).
US_API int64_t us_sampler_windows(const UsSampler* s);

// A UsBatchSource; `source` is the sampler. With gap_max > 0 out->actions must be NULL. It fills
// out->latents from features of either kind, else out->bfloats, from bfloat16 alone.
US_API void us_sampler_source(void* source, int64_t step, int b, UsBatch* out);

US_C_END

#endif  // UNDERSTUDY_FEATURES_H_
