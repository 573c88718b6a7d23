#ifndef UNDERSTUDY_ENCODER_H_
#define UNDERSTUDY_ENCODER_H_

// Frozen encoders: from a frame (or a true state) to G tokens of D numbers.
//
//   vit    a vision transformer in the layout of DINOv2 checkpoints (safetensors + config.json), as
//          `encoder train` makes it and as people have it; a section `head` of its config says what
//          stands behind it (merge tokens, linear map), DINOv2 files have none
//   blur   principal components of the frame blurred at four widths, whose distances grow with the
//          way that something moved: made from frames of any scene in seconds, as the default was
//   pca    principal components of the whole frame: the linear baseline
//   state  the simulator's true state, normalised: the upper bound of any encoder
//
// An encoder is constant after it was made and may be used by several threads; scratch memory is
// taken per call from the encoder's own pool of work areas, one per worker.
// Same frame, same bits on one device: the result does not depend on n, threads or neighbours,
// unless a device was opened for fast products.

#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/pool.h"
#include "worldmodel/device.h"

US_C_BEGIN

// A kind is one file, encoder/encoder_<kind>.c, and one word here: among those that a folder
// brings, or those that are also made from the rows of a dataset.
#define US_ENCODERS_OPENED(X) X(vit)
#define US_ENCODERS_MADE(X) X(blur) X(pca) X(state)
#define US_ENCODERS(X) US_ENCODERS_OPENED(X) US_ENCODERS_MADE(X)

// The kinds that are made, as they stand in a help text: ", blur, pca, state".
#define US_ENCODER_WORD(name) ", " #name
#define US_ENCODERS_MADE_TEXT US_ENCODERS_MADE(US_ENCODER_WORD)

struct UsVitConfig;

typedef struct UsEncoder UsEncoder;

typedef struct UsEncoderInfo {
  char kind[16];             // a name of US_ENCODERS
  int tokens;                // G
  int dim;                   // D
  int grid_h, grid_w;        // the tokens' places, grid_h * grid_w = G
  int height, width;         // frame size; 0 for `state`
  int state;                 // S for `state`, else 0
  int decoder;               // 1: us_encoder_decode works
  char hash[US_HASH_CHARS];  // SHA-256 of weights and config
} UsEncoderInfo;

// Latents beyond this are of weights that are broken.
#define US_LATENT_MOST 1e6f

// Opens a folder with config.json and model.safetensors, or the embedded default for "default", to
// compute on a device, which must outlive it; so do all that make encoders. Nullable: device (the
// CPU).
// Weights that make NaN, or numbers beyond US_LATENT_MOST, of a test frame are US_FORMAT. On
// failure *out is NULL.
US_API UsStatus us_encoder_open(const char* path, UsDevice* device, UsEncoder** out);

// Writes config.json and model.safetensors (and decoder.safetensors) into a folder.
US_API UsStatus us_encoder_save(const UsEncoder* e, const char* folder);

// NULL is fine.
US_API void us_encoder_destroy(UsEncoder* e);

US_API const UsEncoderInfo* us_encoder_info(const UsEncoder* e);
US_API UsDevice* us_encoder_device(const UsEncoder* e);

// What a kind is made from: rows of a dataset.
typedef struct UsEncoderData {
  const char* path;       // of the dataset, for messages
  const char* task;       // the same
  int64_t n;              // rows
  int height, width;      // px
  const uint8_t* pixels;  // (n, height, width, 3). NULL for kinds that read states
  int state;              // S
  int positions;          // leading numbers of a state that are positions; 0: not known
  const double* states;   // (n, S). NULL for kinds that read frames
  int dim;                // most numbers of the latent, where the kind has a choice
} UsEncoderData;

// What us_encoder_make reads for a kind: 'f' frames, 's' states; 0: no kind that is made.
US_API int us_encoder_reads(const char* kind);

// Makes an encoder of one of the kinds US_ENCODERS_MADE. Nullable: pool, device. On failure *out is
// NULL.
US_API UsStatus us_encoder_make(const char* kind, const UsEncoderData* data, UsPool* pool,
                                UsDevice* device, UsEncoder** out);

// Makes a `state` encoder from the mean and standard deviation of states. mean, std (S).
US_API UsStatus us_encoder_make_state(int state, const double* mean, const double* std,
                                      UsDevice* device, UsEncoder** out);

// Frames of one dataset: frames (count, height, width, 3), not owned.
typedef struct UsFrameSet {
  const uint8_t* frames;
  int count;
} UsFrameSet;

// Makes a `blur` encoder of `dim` components from frames of `sets` sets, which count alike and of
// which at most 8192 are looked at. Shows a bar; Ctrl-C gives US_INTERRUPTED. Nullable: device.
US_API UsStatus us_encoder_make_blur(int dim, int height, int width, const UsFrameSet* set,
                                     int sets, UsDevice* device, UsEncoder** out);

// Makes a `pca` encoder of `dim` components from n frames (n, height, width, 3). Shows a bar;
// Ctrl-C gives US_INTERRUPTED.
US_API UsStatus us_encoder_make_pca(int dim, int n, int height, int width, const uint8_t* frames,
                                    UsPool* pool, UsDevice* device, UsEncoder** out);

// Makes a `vit` encoder from weights, ordinary memory laid out as vit.h's params (and decoder.h's
// for decoder_weights), on the config's device. Nullable: decoder_weights.
US_API UsStatus us_encoder_make_vit(const struct UsVitConfig* config, const float* weights,
                                    const float* decoder_weights, UsEncoder** out);

// latents (n, G, D) of pixels (n, height, width, 3) or, for `state`, of states (n, S). Ordinary
// memory. Nullable: the one of pixels, states that the kind does not read; pool. Ctrl-C gives
// US_INTERRUPTED, a device that failed US_DEVICE, both with latents that mean nothing; else it is
// US_OK.
US_API UsStatus us_encoder_encode(const UsEncoder* e, int n, const uint8_t* pixels,
                                  const double* states, float* latents, UsPool* pool);

// The same to latents in tensor memory of the encoder's device, for which nothing is waited.
US_API UsStatus us_encoder_encode_to(const UsEncoder* e, int n, const uint8_t* pixels,
                                     const double* states, float* latents, UsPool* pool);

// pixels (n, height, width, 3) of latents (n, G, D), for pictures; needs info->decoder.
// Nullable: pool. Ctrl-C as above.
US_API UsStatus us_encoder_decode(const UsEncoder* e, int n, const float* latents, uint8_t* pixels,
                                  UsPool* pool);

US_C_END

#endif  // UNDERSTUDY_ENCODER_H_
