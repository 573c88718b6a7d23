// Training windows. Episode e has len(e) - span windows, where span is the rows between a window's
// first and last frame; `first_window` holds their running sum, so that one uniform number and a
// binary search pick a window.

#include <stdlib.h>
#include <string.h>

#include "datasets/features.h"
#include "worldmodel/base/bfloat.h"
#include "worldmodel/base/rng.h"

// The columns of its episodes, of which the first drawn one is number 0.
struct UsSampler {
  UsSamplerConfig config;
  const int32_t* length;  // (E)
  const int64_t* offset;  // (E)
  const float* actions;   // (N, A), or NULL and config.bfloats
  const double* times;    // (N)
  const UsFeatures* features;
  int action;  // A
  size_t row;  // numbers of a row, G D
  int span;    // rows from the first frame to the last, of the widest window
  int64_t episodes;
  int64_t* first_window;  // (episodes + 1)
};

UsStatus us_sampler_create(const UsDataset* data, const UsFeatures* features,
                           const UsSamplerConfig* config, UsSampler** out) {
  *out = NULL;
  US_ASSERT(config->frames >= 1 && config->block >= 1 && config->gap_max >= 0);
  const UsDatasetInfo* info = us_dataset_info(data);
  US_ASSERT(config->first >= 0 && config->first < info->episodes);
  // What is read of the dataset, from the first drawn episode on.
  UsSampler* s = calloc(1, sizeof(*s));
  if (!s) return us_fail(US_MEMORY, "out of memory");
  *s = (UsSampler){.config = *config,
                   .length = us_dataset_lengths(data) + config->first,
                   .offset = us_dataset_offsets(data) + config->first,
                   .actions = us_dataset_actions(data),
                   .times = us_dataset_times(data),
                   .features = features,
                   .action = config->actions || config->bfloats ? config->action : info->action,
                   .row = (size_t)us_features_tokens(features) * (size_t)us_features_dim(features)};
  if (config->actions || config->bfloats) s->actions = config->actions;
  s->span = (config->frames - 1) * (config->gap_max ? config->gap_max : config->block);
  int64_t behind = info->episodes - config->first;
  s->episodes = config->episodes > 0 && config->episodes < behind ? config->episodes : behind;
  // The windows, of which there must be one; 32 bits draw them.
  s->first_window = calloc((size_t)s->episodes + 1, sizeof(*s->first_window));
  UsStatus status = s->first_window ? US_OK : us_fail(US_MEMORY, "out of memory");
  int64_t windows = 0;
  for (int64_t e = 0; status == US_OK && e < s->episodes; e++) {
    if (s->length[e] > s->span) windows += s->length[e] - s->span;
    s->first_window[e + 1] = windows;
  }
  if (status == US_OK && (windows < 1 || windows > UINT32_MAX)) {
    status = us_fail(US_FORMAT,
                     "%s: expected an episode of at least %d rows (and fewer than 2^32 windows), "
                     "found %lld windows",
                     us_dataset_path(data), s->span + 1, (long long)windows);
  }
  if (status == US_OK) *out = s;
  if (status != US_OK) us_sampler_destroy(s);
  return status;
}

void us_sampler_destroy(UsSampler* s) {
  if (!s) return;
  free(s->first_window);
  free(s);
}

int64_t us_sampler_windows(const UsSampler* s) {
  return s->first_window[s->episodes];
}

// The episode that window w lies in.
static int64_t find_episode(const UsSampler* s, int64_t w) {
  int64_t low = 0, high = s->episodes;  // first_window[low] <= w < first_window[high]
  while (high - low > 1) {
    int64_t middle = low + (high - low) / 2;
    if (s->first_window[middle] <= w) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// Rows from one frame to the next.
static int draw_gap(const UsSamplerConfig* c, UsRng* rng) {
  return c->gap_max > 0 ? 1 + (int)us_rng_below(rng, (uint32_t)c->gap_max) : c->block;
}

// The first row of a window, drawn in proportion to the windows of an episode. With varied gaps the
// window is drawn for its episode alone: the gaps, which `gaps` will give again, say how wide it
// is.
static int64_t draw_window(const UsSampler* s, int64_t step, int b, UsRng gaps) {
  const UsSamplerConfig* c = &s->config;
  UsRng rng = us_rng(c->seed, US_RNG_BATCH, (uint64_t)step, (uint64_t)b, 0);
  int64_t window = us_rng_below(&rng, (uint32_t)s->first_window[s->episodes]);
  int64_t e = find_episode(s, window);
  if (c->gap_max == 0) return s->offset[e] + window - s->first_window[e];
  int span = 0;
  for (int t = 1; t < c->frames; t++) span += draw_gap(c, &gaps);
  return s->offset[e] + us_rng_below(&rng, (uint32_t)(s->length[e] - span));
}

// The same, all episodes alike that are long enough; there is one, or create had failed.
static int64_t draw_even(const UsSampler* s, int64_t step, int b) {
  int held = s->config.use == US_SAMPLE_HELD;
  UsRng rng = us_rng(s->config.seed, held ? US_RNG_BATCH : US_RNG_CONTEXT, (uint64_t)step,
                     (uint64_t)b, held ? 4 : 0);
  int64_t e;
  do {
    e = us_rng_below(&rng, (uint32_t)s->episodes);
  } while (s->length[e] <= s->span);
  return s->offset[e] + us_rng_below(&rng, (uint32_t)(s->length[e] - s->span));
}

// How often a sample counts whose first and last frames are these rows.
static float weigh(const UsSampler* s, int64_t first, int64_t last) {
  if (!s->config.weight || last == first) return 1;
  double sum = 0;
  for (int64_t row = first; row < last; row++) sum += (double)s->config.weight[row];
  return (float)(sum / (double)(last - first));
}

// A frame of the batch, as it asks for it.
static void read_frame(const UsSampler* s, int64_t row, size_t at, UsBatch* out) {
  if (out->latents) {
    us_features_read(s->features, row, out->latents + at * s->row);
    return;
  }
  const uint16_t* bfloats = us_features_bfloats(s->features, row);
  US_ASSERT(out->bfloats && bfloats);
  memcpy(out->bfloats + at * s->row, bfloats, s->row * sizeof(uint16_t));
}

void us_sampler_source(void* source, int64_t step, int b, UsBatch* out) {
  const UsSampler* s = source;
  const UsSamplerConfig* c = &s->config;
  US_ASSERT(out->frames == c->frames && b >= 0 && b < out->batch);
  US_ASSERT(!out->actions || c->gap_max == 0);
  UsRng gaps = us_rng(c->seed, US_RNG_BATCH, (uint64_t)step, (uint64_t)b, 1);
  int64_t first =
      c->use == US_SAMPLE_TRAINING ? draw_window(s, step, b, gaps) : draw_even(s, step, b);
  // Frames, a gap after the other.
  int64_t row = first;
  for (int t = 0; t < c->frames; t++) {
    if (t > 0) row += draw_gap(c, &gaps);
    size_t at = (size_t)b * (size_t)out->frames + (size_t)t;
    read_frame(s, row, at, out);
    out->times[at] = (float)(s->times[row] - s->times[first]);
  }
  if (out->weight) out->weight[b] = weigh(s, first, row);
  // With one block between frames the actions lie one behind the other.
  if (!out->actions) return;
  size_t width = (size_t)(c->frames - 1) * (size_t)c->block * (size_t)s->action;
  float* to = out->actions + (size_t)b * width;
  if (s->actions) memcpy(to, s->actions + first * s->action, width * sizeof(float));
  if (!s->actions) us_bfloats_wide(width, c->bfloats + first * s->action, to);
}
