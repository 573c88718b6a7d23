#ifndef UNDERSTUDY_ENCODER_CLASS_H_
#define UNDERSTUDY_ENCODER_CLASS_H_

// Inside the encoders: what a kind provides and what all kinds share.
//
// A kind is one file, encoder_<kind>.c, with one table us_encoder_class_<kind>, and one line in
// US_ENCODERS. Its tensors stand in lists, so opening, saving and hashing are the same for all.

#include <pthread.h>

#include "worldmodel/device.h"
#include "worldmodel/encoder.h"
#include "worldmodel/ops/ops_table.h"
#include "worldmodel/param_list.h"

typedef struct UsEncoderClass {
  const char* name;

  // Fills info, lists and self from a config; the weights are allocated after it.
  UsStatus (*parse)(UsEncoder* e, const char* name, const cJSON* config);

  // The config as JSON; NULL when out of memory.
  cJSON* (*config)(const UsEncoder* e);

  // Reads the model's weights into host memory (params->floats).
  UsStatus (*read)(UsEncoder* e, const UsTensors* file, float* host);

  // Scratch memory of one worker; NULL when out of memory.
  void* (*work_create)(const UsEncoder* e);
  void (*work_destroy)(void* work);

  // n frames or states, 1 .. e->tile: latents (n, G, D), tensor memory. A frame's latents depend
  // neither on n nor on its neighbours: on the CPU all tiles are computed alike, those of fewer
  // frames padded, where that matters.
  void (*encode)(const UsEncoder* e, void* work, int n, const uint8_t* pixels, const double* states,
                 float* latents);

  int draws;  // 1: decode needs no weights of its own

  // One latent (G, D) to pixels (height, width, 3); needs draws or decoder_weights. Nullable.
  void (*decode)(const UsEncoder* e, void* work, const float* latents, uint8_t* pixels);

  void (*destroy)(UsEncoder* e);  // frees self

  // Of the kinds US_ENCODERS_MADE: as us_encoder_reads and us_encoder_make.
  int reads;
  UsStatus (*make)(const UsEncoderData* data, UsPool* pool, UsDevice* device, UsEncoder** out);
} UsEncoderClass;

// What one worker needs.
typedef struct UsEncoderWork {
  void* own;       // of the kind
  float* latents;  // (tile, G, D) tensor memory, of what goes to ordinary memory
} UsEncoderWork;

struct UsEncoder {
  const UsEncoderClass* kind;
  UsDevice* device;
  UsEncoderInfo info;
  const UsParamList* params;          // of the model
  const UsParamList* decoder_params;  // NULL: the kind has no decoder of its own
  float* weights;                     // (params->floats) tensor memory
  float* decoder_weights;             // (decoder_params->floats) tensor memory; NULL: no decoder
  void* self;                         // the kind's own
  int tile;                           // frames that encode takes at once; parse may raise it from 1

  pthread_mutex_t lock;   // guards the free works
  pthread_cond_t change;  // a work came back
  UsEncoderWork** idle;   // (room): works that nobody uses
  int idle_count, made, room;
};

#define X(name) extern const UsEncoderClass us_encoder_class_##name;
US_ENCODERS(X)
#undef X

// The `blur` encoder e with a decoder: its sizes, of which the encoder's part is not looked at, and
// weights, ordinary memory, as decoder.h has them.
UsStatus us_encoder_blur_decoder(const UsEncoder* e, const struct UsVitConfig* config,
                                 const float* decoder_weights, UsEncoder** out);

// Frames that a wide device takes at once, where each makes `rows` rows of a matrix product and
// takes `bytes` on its way there: as many as fill it, within some memory, at least one.
int us_encoder_wide_tile(size_t rows, size_t bytes);

// An encoder of a kind and config, weights from host (params->floats) and decoder (or NULL), on a
// device (NULL: the CPU).
UsStatus us_encoder_assemble(const UsEncoderClass* kind, const char* name, const cJSON* config,
                             const float* host, const float* decoder, UsDevice* device,
                             UsEncoder** out);

#endif  // UNDERSTUDY_ENCODER_CLASS_H_
