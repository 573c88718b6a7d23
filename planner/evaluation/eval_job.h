#ifndef UNDERSTUDY_EVAL_JOB_H_
#define UNDERSTUDY_EVAL_JOB_H_

// One run of us_eval: what was asked for, everything that is open for it, and what its JSON and
// its films are made from.
//
// Threads: as us_eval.

#include <cjson/cJSON.h>

#include "datasets/goal.h"
#include "planner/eval.h"
#include "planner/evaluation/eval_journal.h"
#include "worldmodel/base/lock.h"

typedef struct EvalJob {
  UsEvalConfig c;  // with what was left open filled in
  UsEvalResult* result;
  UsPool* pool;
  UsDevice* device;  // of the models
  UsDataset* data;
  UsEnv* sim;                   // the truth
  UsEnv* answer[US_ROW_COUNT];  // Nullable: random has none
  UsGoal goal;                  // of all pairs; empty: their rows
  UsVary vary;                  // to draw; none: what the file recorded
  UsVaryRange range;
  char rows[64], drawn[1024];  // names, of which c.rows and c.vary point to
  UsLock* lock;                // of the JSON, with the journal and the films beside it
  UsJournal* journal;
  char key[US_HASH_CHARS];  // of all that the results depend on
  char data_hash[US_HASH_CHARS];
  char renderer[256];  // of the frames that the model sees; "": nothing is rendered
} EvalJob;

// ---- eval_json.c ----

// Everything that is written of the results, films aside.
cJSON* us_eval_json(const EvalJob* j);

// ---- eval_films.c ----

// Bytes of the frames of one film of `blocks` blocks.
size_t us_eval_film_bytes(const EvalJob* j, int blocks);

// Plays episodes of the row model again, writes their frames beside the JSON and lists them in it.
UsStatus us_eval_add_films(const EvalJob* j, cJSON* json);

#endif  // UNDERSTUDY_EVAL_JOB_H_
