#ifndef UNDERSTUDY_AUTOENCODER_H_
#define UNDERSTUDY_AUTOENCODER_H_

// Self-supervised training of a `vit` encoder with a head: an autoencoder whose latent, a vector,
// is anchored to targets that have the right metric (anchor.h), and disturbed by noise. A latent of
// tokens, one a cell of the grid, has no anchor. With `linear` z is that of a `blur` encoder
// (encoder.h), fitted at once, and the decoder alone is trained.
//
//   z = vit(frame);  y = decoder(z + noise * normal);  z* = anchor(frame), of unit average variance
//   loss = pixels * mean of w (y - frame)^2 + anchor * mean (z - z*)^2,  w = 1 + foreground where
//          the frame differs from the mean image of its set by more than a tenth of full scale in
//          some channel, else 1
//
// Pixels weigh a tenth: at the weight of the anchor their part of the loss, 26 times as large after
// 3000 steps, keeps the latents from their targets. After 3000 steps on nine scenes those are
// missed by .018 at pixels = 1, .008 at .1, .007 at .01; the mean over pixels is .47, .58, .61.
//
// A step takes shards * shard_frames frames, an equal share of each set. Every shard has a fixed
// shape and its own gradient; gradients are summed in the order of the shards, so the bits do not
// depend on the number of threads. A device that works on many rows at once takes all frames of a
// step as one shard: results depend on the config and on the kind of device. AdamW, linear warm-up,
// cosine, clipping by the global norm.
//
// Threads: one call at a time; inside, the pool works.

#include "worldmodel/base/api.h"
#include "worldmodel/base/settings.h"
#include "worldmodel/encoder.h"
#include "worldmodel/vit.h"

US_C_BEGIN

// Everything that training can be told, as worldmodel/base/settings.h describes a list.
#define US_AUTOENCODER_SETTINGS(X)                                                                \
  X(INT, steps, 15000, 1, 1000000000, RESULT, "N", "training steps")                              \
  X(FLAG, linear, 0, 0, 1, RESULT, NULL,                                                          \
    "principal components of blurred frames; the steps train what draws them")                    \
  X(FLOAT, noise, 0.05, 0, 100, RESULT, "S", "deviation of the noise on the latent")              \
  X(FLOAT, pixels, 0.1, 0, 1e6, RESULT, "W", "weight of the pixels' reconstruction")              \
  X(FLOAT, anchor, 1, 0, 1e6, RESULT, "W", "weight of the anchor of the metric; 0: none")         \
  X(FLOAT, foreground, 20, 0, 1e6, RESULT, "W", "additional weight of pixels off the mean image") \
  X(INT, decode_every, 1, 1, 1000000000, RESULT, "N", "steps between those that compare pixels")  \
  X(FLOAT, rate, 1e-3, 0, 1e3, RESULT, "R", "learning rate")                                      \
  X(FLOAT, decay, 0.01, 0, 1e3, RESULT, "X", "weight decay of matrices")                          \
  X(FLOAT, clip, 1, 0, 1e6, RESULT, "X", "largest norm of the gradient")                          \
  X(INT, warmup, 200, 0, 1000000000, RESULT, "N", "steps of linear warm-up")                      \
  X(INT, shards, 4, 1, 4096, RESULT, "N", "parts of a step, each with its own gradient")          \
  X(INT, shard_frames, 12, 1, 4096, RESULT, "N", "frames of a part")                              \
  X(SEED, seed, 1, 0, 0, RESULT, "S", "names all random numbers")

// Start from us_autoencoder_defaults().
typedef struct UsAutoencoderConfig {
  US_AUTOENCODER_SETTINGS(US_SETTING_FIELD)
  // With a head; without an anchor its norm bounds the latent. An anchor needs a global vector.
  UsVitConfig vit;
} UsAutoencoderConfig;

typedef struct UsAutoencoder UsAutoencoder;

// Copies `sets` sets (not their frames, which are kept until destroy) and takes all memory that
// training needs. On failure *out is NULL.
US_API UsStatus us_autoencoder_create(const UsAutoencoderConfig* config, const UsFrameSet* set,
                                      int sets, UsAutoencoder** out);

// NULL is fine.
US_API void us_autoencoder_destroy(UsAutoencoder* a);

// Steps done so far.
US_API int us_autoencoder_steps(const UsAutoencoder* a);

enum { US_AUTOENCODER_UNREAD = 50 };

// One step, on which the device may still be at work when this is back. 0: the caller wants to
// stop; us_autoencoder_steps is as before, and so are the weights. At most US_AUTOENCODER_UNREAD
// steps are taken between two calls of us_autoencoder_figures. Nullable: pool.
US_API int us_autoencoder_step(UsAutoencoder* a, UsPool* pool);

// What a step was.
typedef struct UsAutoencoderStep {
  int step;         // counts from 1
  int compared;     // 1: it compared pixels
  double loss;      // the pixels' part; 0 when it compared none
  double distance;  // mean (z - z*)^2; 0 without an anchor
  int finite;       // 0: it was not; the weights are as they were before it
} UsAutoencoderStep;

// Waits for the device and gives the figures of the steps since the last call: their number, in
// order at *out, until the next call. Where one was not finite it is the last, and
// us_autoencoder_steps is the one before it; only us_autoencoder_load leads on from there.
US_API int us_autoencoder_figures(UsAutoencoder* a, const UsAutoencoderStep** out);

// Writes weights, moments and step to a file, and goes on from one of the same config. Figures that
// nobody asked for are gone then.
US_API UsStatus us_autoencoder_save(UsAutoencoder* a, const char* path);
US_API UsStatus us_autoencoder_load(UsAutoencoder* a, const char* path);

// An encoder with decoder from the present weights. With vit.norm its latents have zero mean and
// unit average variance over (a sample of) the frames: the map is folded into the last norm and the
// decoder's first layer; an anchored latent has that scale from its targets. Nullable: pool.
US_API UsStatus us_autoencoder_encoder(const UsAutoencoder* a, UsPool* pool, UsEncoder** out);

// The config that `encoder train` uses, with the defaults of the list: frames of width x height,
// patches of 8, cells of 2 x 2 patches with 32 numbers, blocks of `width` with heads of 32, a
// vector of dim.
US_API void us_autoencoder_defaults(int height, int width_px, int dim, int width, int depth,
                                    UsAutoencoderConfig* out);

US_C_END

#endif  // UNDERSTUDY_AUTOENCODER_H_
