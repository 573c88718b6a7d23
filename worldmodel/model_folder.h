#ifndef UNDERSTUDY_MODEL_FOLDER_H_
#define UNDERSTUDY_MODEL_FOLDER_H_

// A trained world model as a folder that needs nothing else:
//
//   config.json            format, version, task, dt, frame size, the encoder's hash, what it was
//                          trained on; the kind of world model (US_WORLD_MODELS; none: the
//                          predictor) and its sizes in an object of that name; `whiten` (none: 0)
//   <kind>.safetensors     weights and normalisation
//   encoder/               the frozen encoder, as us_encoder_save writes it
//   contexts.safetensors   start contexts: `contexts` (n, C, G, D), raw features, frames one block
//                          apart, oldest first
//   success.safetensors    the success head (success_head.h); a folder may be without
//   <task>.zip             the robot, of a task that is one's own (datasets/robots.h)
//
// and, for people, log.jsonl and loss.svg. config.json is written last: a folder with it is whole.
//
// The distance of two frames is mean m_d (z_d - g_d)^2 over places and numbers, with the metric
//
//   m_d = (v_d / mean v)^-whiten, times what keeps sum m v = sum v
//
// of v_d, the variance of number d over all places of the start contexts, at least mean v / 1000.
// With 0 it is the plain one, in which a few numbers of great variance, the place of what is large,
// may drown all others; with 1 all count alike. It may be changed in config.json.
//
// A pretrained predictor (without actions) is a smaller folder: config.json, model.safetensors, and
// latent.safetensors where its actions are latent ones (latent.h).
//
// Threads: an open model is constant and may be used from several threads.

#include <cjson/cJSON.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/file.h"
#include "worldmodel/encoder.h"
#include "worldmodel/predictor.h"
#include "worldmodel/success_head.h"

US_C_BEGIN

typedef struct UsModelInfo {
  char task[64];      // of the data that it was trained on
  double dt;          // s an env step; frames are dt * block apart
  int block, action;  // K, A
  int height, width;  // of frames; 0 when the encoder reads states
  int contexts;       // n start contexts
  double whiten;      // of distances, as above
  // The camera of the frames that it was trained on and its pose (env.h); "" where the folder does
  // not say.
  char camera[64], camera_pose[256];
  char hash[US_HASH_CHARS];  // SHA-256 over everything that imagination depends on
} UsModelInfo;

typedef struct UsModel UsModel;

// Opens a folder, to compute on a device, which must outlive the model (NULL: the CPU). Missing or
// contradicting files are US_IO or US_FORMAT. On failure *out is NULL.
US_API UsStatus us_model_open(const char* folder, UsDevice* device, UsModel** out);

// NULL is fine.
US_API void us_model_destroy(UsModel* m);

US_API const UsModelInfo* us_model_info(const UsModel* m);
US_API const UsWorldModel* us_model_world(const UsModel* m);
// NULL when the folder holds a model of another kind.
US_API const UsPredictor* us_model_predictor(const UsModel* m);
US_API const UsEncoder* us_model_encoder(const UsModel* m);

// The start contexts (n, C, G, D), raw, ordinary memory.
US_API const float* us_model_contexts(const UsModel* m);

// The actions that led through each start context (n, past, K, A); NULL when the model reads no
// past.
US_API const float* us_model_past(const UsModel* m);

// NULL when the folder has none.
US_API const UsSuccessHead* us_model_success(const UsModel* m);

typedef struct UsModelParts {
  const char* task;
  double dt;
  // Nullable, and then not written. robot_path: from the folder to the file that the task's robot
  // was read from, which lies beside config.json (datasets/robots.h)
  const char *camera, *camera_pose, *robot_path;
  const UsWorldModel* model;
  const UsEncoder* encoder;
  double whiten;                 // 0 .. 1, as above
  int contexts;                  // n
  const float* context;          // (n, C, G, D) raw
  const float* past;             // (n, past, K, A). Nullable when past is 0
  const UsSuccessHead* success;  // Nullable
  const cJSON* training;         // what it was trained on and how, for people. Nullable
} UsModelParts;

// Writes a folder, which is made if missing.
US_API UsStatus us_model_save(const char* folder, const UsModelParts* parts);

// Opens a pretrained predictor's folder, or that embedded in the library for "default"; the encoder
// whose tokens it knows is named by its hash. Nullable: device (the CPU). On failure *out is NULL.
US_API UsStatus us_pretrained_open(const char* folder, UsDevice* device, UsPredictor** out,
                                   char encoder[US_HASH_CHARS]);

// What it was trained on and how, as us_pretrained_save was told; the caller deletes it. *out is
// NULL on failure, and where the folder does not say.
US_API UsStatus us_pretrained_training(const char* folder, cJSON** out);

// Writes such a folder. Nullable: training.
US_API UsStatus us_pretrained_save(const char* folder, const UsPredictor* p, const char* encoder,
                                   const cJSON* training);

US_C_END

#endif  // UNDERSTUDY_MODEL_FOLDER_H_
