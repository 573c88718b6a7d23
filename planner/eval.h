#ifndef UNDERSTUDY_EVAL_H_
#define UNDERSTUDY_EVAL_H_

// The job of an evaluation: from a model folder and held-out trajectories to success rates, as
// `understudy eval` does it.
//
//   UsEvalConfig config = us_eval_defaults();
//   config.model = "runs/pm/model";
//   config.data = "runs/pm/heldout.h5";
//   config.tasks = us_tasks;
//   UsEvalResult result;
//   if (us_eval(&config, &result) == US_OK) ...us_result_rate(&result.row[US_ROW_model], ...);
//   us_eval_free(&result);
//
// A result has rows, of which each is one run of evaluate.h on the same pairs with another env to
// imagine in.
//
// With `json` the results are written there, films beside it, and finished batches are kept in a
// journal beside it until it is written, with which a stopped run can go on, on the same device.
//
// Threads: one job at a time in a thread; inside, a pool of its own works.

#include "env/gl.h"
#include "env/task.h"
#include "planner/evaluate.h"
#include "worldmodel/device.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// The rows of the table, in its order: name, planner (NULL: the chosen one), what it sees, title.
#define US_EVAL_ROWS(X)                                 \
  X(model, NULL, US_SEES_PIXELS, "model")               \
  X(state, NULL, US_SEES_STATE, "model on true states") \
  X(random, "random", US_SEES_NOTHING, "random")        \
  X(oracle, NULL, US_SEES_STATE, "oracle (simulator)")

typedef enum UsEvalRow {
#define X(name, planner, sees, title) US_ROW_##name,
  US_EVAL_ROWS(X)
#undef X
      US_ROW_COUNT
} UsEvalRow;

// Names of the rows, by UsEvalRow, which are the keys of the JSON, and their titles.
extern US_API const char* const us_eval_row_names[US_ROW_COUNT];
extern US_API const char* const us_eval_row_titles[US_ROW_COUNT];

// Everything that a run can be told beside its planner's settings, as worldmodel/base/settings.h
// describes a list. Texts are not copied.
#define US_EVAL_SETTINGS(X)                                                                        \
  X(TEXT, task, 0, 0, 0, FREE, "T", "task (the data's); also mjcf:FILE or exec:COMMAND")           \
  X(TEXT, model, 0, 0, 0, FREE, "DIR", "model folder, for the row model")                          \
  X(TEXT, state_model, 0, 0, 0, FREE, "DIR", "model folder on true states, for the row state")     \
  X(TEXT, data, 0, 0, 0, FREE, "F.h5", "held-out trajectories")                                    \
  X(TEXT, json, 0, 0, 0, FREE, "R.json", "file for the results")                                   \
  X(TEXT, protocol, 0, 0, 0, RESULT, "P", "one of" US_PROTOCOLS(US_NAME_SHOWN) " (the first)")     \
  X(INT, episodes, 0, 1, 1 << 20, RESULT, "N", "pairs (the protocol's)")                           \
  X(TEXT, rows, 0, 0, 0, RESULT, "LIST",                                                           \
    "of" US_EVAL_ROWS(US_NAME_SHOWN) ", separated by commas (all that it can)")                    \
  X(INT, oracle_pairs, 128, 0, 1 << 20, RESULT, "N",                                               \
    "pairs of the row oracle; 0: it is run where --rows names it")                                 \
  X(SEED, seed, 0, 0, 0, RESULT, "S", "of pairs and planners")                                     \
  X(INT, batch, 64, 1, 1 << 16, FREE, "N", "episodes at a time; changes no result")                \
  X(INT, threads, 0, 0, 4096, FREE, "N", "changes no result; 0: all processors")                   \
  X(TEXT, gl, 0, 0, 0, FREE, "WHAT", US_GL_HELP)                                                   \
  US_DEVICE_SETTINGS(X)                                                                            \
  X(TEXT, vary, 0, 0, 0, RESULT, "LIST",                                                           \
    "factors of variation to draw for every pair (the file's own)")                                \
  X(TEXT, vary_range, 0, 0, 0, RESULT, "R", "one of" US_VARY_RANGES(US_NAME_SHOWN) " (the first)") \
  X(FLAG, resume, 0, 0, 1, FREE, NULL, "go on with the batches that a stopped run finished")       \
  X(FLAG, stop_at_hit, 0, 0, 1, RESULT, NULL, "end an episode at its first success")               \
  X(INT, subgoals, 0, 0, 1 << 16, RESULT, "N",                                                     \
    "rows between start and goal that are shown as goals first")                                   \
  X(TEXT, goal, 0, 0, 0, FREE, "GOAL",                                                             \
    "the goal of all pairs, in place of their rows: a state (0.5,-1,0,0) or a row (F.h5:120)")     \
  X(INT, films, 8, 0, 1000, RESULT, "N", "episodes whose frames are kept for the report")          \
  X(INT, film_size, 96, 8, 2048, RESULT, "N", "pixels of a side of these frames")                  \
  X(TEXT, planner, 0, 0, 0, RESULT, "NAME", "one of" US_PLANNERS(US_NAME_SHOWN) " (the first)")

// Start from us_eval_defaults(). Without `rows`, those are run that the models allow.
typedef struct UsEvalConfig {
  US_EVAL_SETTINGS(US_SETTING_FIELD)
  UsPlannerConfig plan;               // horizon and replan 0: the protocol's; seed, pool: the job's
  const struct UsTask* const* tasks;  // that the data's task is looked up in, NULL-terminated
  // Names of the settings that were chosen, separated by spaces; for others the task's own count
  // (us_task_settings). NULL: those do not count.
  const char* given;
  // An env of the caller's own in the place of a model's folder. Opens the one that `own_row`,
  // model or state, imagines in: config says slots, pool and the block of the task, which have to
  // be its own, as do the task's name and, of the row model, the size of the data's frames. Its
  // info.hash names it in the JSON. us_eval closes it. Nullable
  UsStatus (*own)(void* user, UsEvalRow row, const UsEnvConfig* config, UsEnv** out);
  UsEvalRow own_row;
  void* user;
  const UsPlannerClass* own_planner;  // in the place of `planner`; not owned. Nullable
} UsEvalConfig;

extern US_API const UsSetting us_eval_settings[];

// The defaults of the program.
US_API UsEvalConfig us_eval_defaults(void);

// How often MuJoCo warned, and of what.
typedef struct UsWarnings {
  long long count;
  char kinds[256];
} UsWarnings;

typedef struct UsEvalResult {
  int complete;  // 1: with resume, the JSON holds the results of this very run; nothing follows
  const UsProtocol* protocol;
  const struct UsTask* task;
  UsPairs pairs;
  int on[US_ROW_COUNT];        // 1: the row was run
  UsResult row[US_ROW_COUNT];  // empty where it was not
  char vary[1024];             // names of the factors that varied; "": none
  char vary_range[32];
  UsWarnings played, imagined;  // in the episodes, and in what the oracle imagined
} UsEvalResult;

// Runs the rows and writes the JSON. Refuses data that a model was trained on. Free with
// us_eval_free. On failure *out is empty; Ctrl-C gives US_INTERRUPTED.
US_API UsStatus us_eval(const UsEvalConfig* config, UsEvalResult* out);

// Frees what a result holds; an empty one is fine.
US_API void us_eval_free(UsEvalResult* r);

// Mean, lower quartile, median and upper quartile over the episodes, out (4), of the distance to
// the goal after `block` blocks, 0 .. r->blocks. Episodes that ended count with their last
// distance, those that are not finite do not count. Returns how many counted; out is NaN when none
// did.
US_API int us_eval_distance(const UsResult* r, int block, double* out);

US_C_END

#endif  // UNDERSTUDY_EVAL_H_
