#ifndef UNDERSTUDY_EVAL_JOB_H_
#define UNDERSTUDY_EVAL_JOB_H_

// One run of `understudy eval`: what was asked for, everything that is open for it, and the results
// of its rows.
//
// Threads: one job at a time, from one thread; inside, its pool works.

#include "env/task.h"
#include "planner/evaluate.h"
#include "scripts/commands/eval_journal.h"
#include "worldmodel/base/lock.h"

// The rows of the table, in its order: name, planner (NULL: the chosen one), what it sees.
#define US_EVAL_ROWS(X)                \
  X(model, NULL, US_SEES_PIXELS)       \
  X(state, NULL, US_SEES_STATE)        \
  X(random, "random", US_SEES_NOTHING) \
  X(oracle, NULL, US_SEES_STATE)

typedef enum UsEvalRow {
#define X(name, planner, sees) US_ROW_##name,
  US_EVAL_ROWS(X)
#undef X
      US_ROW_COUNT
} UsEvalRow;

// Names of the rows, by UsEvalRow: the keys of the JSON.
extern const char* const us_eval_row_names[US_ROW_COUNT];

// The words of the command line; texts are owned.
typedef struct UsEvalOptions {
  char *task, *model, *state_model, *data, *protocol, *json, *rows, *planner, *vary, *range;
  int episodes, oracle_pairs, batch, threads, stop_at_hit, subgoals, films, film_size, resume;
  long long seed;
  UsPlannerConfig plan;
} UsEvalOptions;

typedef struct UsEvalJob {
  UsEvalOptions o;
  const UsProtocol* protocol;
  const UsTask* task;
  int on[US_ROW_COUNT];  // rows to run
  UsPool* pool;
  UsDataset* data;
  UsEnv* sim;                   // the truth
  UsEnv* answer[US_ROW_COUNT];  // Nullable: random has none
  UsPairs pairs;
  UsVary vary;  // to draw; none: what the file recorded
  UsVaryRange range;
  UsResult result[US_ROW_COUNT];
  UsLock* lock;  // of the JSON, with the journal and the films beside it
  UsJournal* journal;
  char key[US_HASH_CHARS];  // of all that the results depend on
  int complete;             // 1: with --resume, the JSON is there already
  char data_hash[US_HASH_CHARS];
  char model_hash[2][US_HASH_CHARS];  // of the rows model and state
} UsEvalJob;

// Opens what the rows need, draws the pairs and opens the journal beside the JSON (R.json.journal).
// Options, protocol and rows are set and checked.
UsStatus us_eval_open(UsEvalJob* j);

// Runs the rows that are on.
UsStatus us_eval_run(UsEvalJob* j);

// Bytes of the frames of one film of `blocks` blocks.
size_t us_eval_film_bytes(const UsEvalJob* j, int blocks);

// Plays `n` episodes of a row again and films them: frames (n, blocks + 2, size, size, 3) with
// size = film_size. list (n): pairs.
UsStatus us_eval_film(const UsEvalJob* j, UsEvalRow row, int n, const int* list, uint8_t* frames);

// Closes everything and frees the options; a job that was never opened is fine.
void us_eval_close(UsEvalJob* j);

// The planner that a row runs with.
const char* us_eval_planner_name(const UsEvalJob* j, UsEvalRow row);

#endif  // UNDERSTUDY_EVAL_JOB_H_
