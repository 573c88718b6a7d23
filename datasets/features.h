#ifndef UNDERSTUDY_FEATURES_H_
#define UNDERSTUDY_FEATURES_H_

// The features of a frozen encoder over a whole dataset, computed once into a memory-mapped file
// beside it, keyed by the hashes of data and encoder; and the training batches drawn from them.
//
// Threads: a feature map is constant after it was opened; us_sampler_source may be called from
// several threads.

#include "datasets/dataset.h"
#include "worldmodel/base/pool.h"
#include "worldmodel/batch.h"
#include "worldmodel/encoder.h"

typedef struct UsFeatures UsFeatures;

// Opens the features of `data` under `encoder`, computing them (with a progress bar) when the cache
// file beside the dataset is missing, unfinished or of another key. Ctrl-C keeps what is there.
UsStatus us_features_open(UsDataset* data, const UsEncoder* encoder, UsPool* pool,
                          UsFeatures** out);

// NULL is fine.
void us_features_close(UsFeatures* f);

// The features of a row: (G, D).
const float* us_features_row(const UsFeatures* f, int64_t row);

typedef struct UsSamplerConfig {
  uint64_t seed;
  int frames;        // T
  int block;         // K: fine-tuning has exactly one block between frames
  int gap_max;       // pretraining: gaps between frames uniform in 1 .. gap_max env steps; 0: K
  int64_t episodes;  // only the first so many episodes; 0: all
} UsSamplerConfig;

typedef struct UsSampler UsSampler;

// A source of batches: an episode is drawn in proportion to the windows in it, then a window at any
// phase. Fails when no episode is long enough.
UsStatus us_sampler_create(const UsDataset* data, const UsFeatures* features,
                           const UsSamplerConfig* config, UsSampler** out);
void us_sampler_destroy(UsSampler* s);

// A UsBatchSource; `source` is the sampler.
void us_sampler_source(void* source, int64_t step, int b, UsBatch* out);

#endif  // UNDERSTUDY_FEATURES_H_
