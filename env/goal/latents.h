#ifndef UNDERSTUDY_LATENTS_H_
#define UNDERSTUDY_LATENTS_H_

// Features of a frozen encoder in ordinary memory, and what is said of two of them: their reward,
// and whether one counts as success for the other. With a model that is what its stand-in env says;
// with an encoder alone there is no success, and differences are not normalised.
//
//   reward = - mean m (z - g)^2,  z, g normalised by the model, m its metric (world_model.h)
//
// Threads: calls on one object come from one thread at a time; inside, the pool works.

#include "worldmodel/model_folder.h"

typedef struct UsLatents UsLatents;

// Those of an open model, which is not owned.
UsStatus us_latents_of(const UsModel* m, UsPool* pool, UsLatents** out);

// Those that `path` names: default, an encoder's folder or a model's. `name` stands in messages. On
// failure *out is NULL. Nullable: device, pool.
UsStatus us_latents_open(const char* name, const char* path, UsDevice* device, UsPool* pool,
                         UsLatents** out);

// NULL is fine.
void us_latents_close(UsLatents* l);

const UsEncoder* us_latents_encoder(const UsLatents* l);
const UsModel* us_latents_model(const UsLatents* l);  // NULL: an encoder alone

// Features (n, G, D) of frames or, where the encoder reads them, of states.
UsStatus us_latents_encode(UsLatents* l, int n, const uint8_t* pixels, const double* states,
                           float* features);

// reward (n) and success (n) of features achieved (n, G, D) and desired (n, G, D). The result for a
// pair does not depend on the others. US_UNSUPPORTED where success is asked for and there is no
// head. Nullable: reward, success.
UsStatus us_latents_judge(UsLatents* l, const char* name, int n, const float* achieved,
                          const float* desired, float* reward, uint8_t* success);

// The same of frames, which are encoded first: (n, height, width, 3).
UsStatus us_latents_judge_frames(UsLatents* l, const char* name, int n, const uint8_t* achieved,
                                 const uint8_t* desired, float* reward, uint8_t* success);

#endif  // UNDERSTUDY_LATENTS_H_
