#ifndef UNDERSTUDY_ENCODER_JOBS_H_
#define UNDERSTUDY_ENCODER_JOBS_H_

// Encoders and datasets: opening or making the encoder that goes with a dataset.
//
// Threads: one call at a time for a dataset; inside, the pool works.

#include "datasets/dataset.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/pool.h"
#include "worldmodel/encoder.h"

US_C_BEGIN

struct UsTask;

// What --encoder is called in a help text.
#define US_ENCODER_HELP "a folder, or default" US_ENCODERS_MADE_TEXT

// The encoder `name` for a dataset: one of the kinds US_ENCODERS_MADE, made from its rows, or else
// what us_encoder_open opens. A `state` encoder needs the dataset's task to be among `tasks`
// (NULL-terminated). On failure *out is NULL. Nullable: tasks, pool.
US_API UsStatus us_dataset_encoder(const char* name, UsDataset* data,
                                   const struct UsTask* const* tasks, UsPool* pool,
                                   UsEncoder** out);

US_C_END

#endif  // UNDERSTUDY_ENCODER_JOBS_H_
