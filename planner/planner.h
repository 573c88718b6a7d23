#ifndef UNDERSTUDY_PLANNER_H_
#define UNDERSTUDY_PLANNER_H_

// Planners: from an env with a goal to the action blocks that should be played next.
//
// A planner imagines through us_env_rollout alone, so it runs unchanged on a simulator, on the
// world model that stands in for it and on anything else behind env.h; it never steps the env,
// never reads a state and never learns whether the goal was reached. It plans for many slots
// (episodes) at once. Its random numbers are named by (seed, episode, plan, iteration, candidate),
// so the actions of an episode do not depend on which other slots are planned with it, nor on
// threads.
//
// A planner is one file, planner/planners/<name>.c, with one table us_planner_<name>, and one line
// in US_PLANNERS.
//
// What a call takes of sizes, names and slots is checked with a status; plan, the inner call,
// asserts. Threads: calls on one planner come from one thread at a time; inside, the pool works.
// Nothing allocates after create.

#include "env/env.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/settings.h"

US_C_BEGIN

#define US_PLANNERS(X)                                                   \
  X(cem, "cross-entropy method over sequences of actions, warm-started") \
  X(random, "uniform actions without imagining anything: the floor")

// The names of a list, for help and messages: "one of" US_PLANNERS(US_NAME_SHOWN).
#define US_NAME_SHOWN(name, ...) " " #name

// Everything that a planner can be told, as worldmodel/base/settings.h describes a list. Beyond the
// ranges: replan <= horizon, keep <= elites <= samples, and not both of last_only and deadline.
#define US_PLANNER_SETTINGS(X)                                                             \
  X(INT, horizon, 5, 1, 1000, RESULT, "N", "blocks imagined")                              \
  X(INT, replan, 1, 1, 1000, RESULT, "N", "blocks played of each plan")                    \
  X(INT, samples, 64, 2, 1 << 20, RESULT, "N", "candidates an iteration")                  \
  X(INT, iterations, 4, 1, 4096, RESULT, "N", "of an episode's first plan")                \
  X(INT, warm_iterations, 2, 1, 4096, RESULT, "N",                                         \
    "of the plans after it, which start from the shifted last one")                        \
  X(INT, elites, 6, 1, 1 << 20, RESULT, "N", "candidates that a fit uses")                 \
  X(INT, keep, 3, 0, 1 << 20, RESULT, "N", "elites that stay for the next iteration")      \
  X(FLOAT, deviation, 1, 0, 100, RESULT, "X", "of actions at the start of a first plan")   \
  X(FLOAT, warm_deviation, 0.4, 0, 100, RESULT, "X", "at the start of the plans after it") \
  X(FLOAT, least_deviation, 0.05, 0, 100, RESULT, "X", "below which no fit falls")         \
  X(FLOAT, momentum, 0.1, 0, 0.999, RESULT, "X", "share of the old fit in a new one")      \
  X(FLOAT, correlation, 0.9, 0, 0.999, RESULT, "X",                                        \
    "from env step to env step, of every second candidate's noise")                        \
  X(FLOAT, first_weight, 0.2, 0, 1000, RESULT, "X",                                        \
    "cost weight of the first block; the last has 1")                                      \
  X(FLAG, last_only, 0, 0, 1, RESULT, NULL, "only the last block costs")                   \
  X(FLAG, deadline, 0, 0, 1, RESULT, NULL,                                                 \
    "the goal is due a horizon after the start, then again; blocks before are free")       \
  X(FLAG, cold, 0, 0, 1, RESULT, NULL, "every plan starts anew")                           \
  X(FLAG, play_best, 0, 0, 1, RESULT, NULL, "play the best candidate, not the mean of the elites")

// Start from us_planner_defaults().
typedef struct UsPlannerConfig {
  US_PLANNER_SETTINGS(US_SETTING_FIELD)
  uint64_t seed;
  UsPool* pool;  // not owned, must outlive the planner. Nullable: one thread
} UsPlannerConfig;

extern US_API const UsSetting us_planner_settings[];

// The defaults of the program.
US_API UsPlannerConfig us_planner_defaults(void);

typedef struct UsPlanner UsPlanner;

// The table of one planner. A planner is a struct whose first member is UsPlanner.
typedef struct UsPlannerClass {
  const char* name;
  unsigned needs;  // entries that the env must have, bits of UsEnvEntry: US_ENV_rollout_gradient
  UsStatus (*create)(UsEnv* env, const UsPlannerConfig* config, UsPlanner** out);
  void (*destroy)(UsPlanner* p);
  void (*start)(UsPlanner* p, int n, const int* slots, const uint64_t* episodes);
  void (*plan)(UsPlanner* p, int n, const int* slots, float* actions);
} UsPlannerClass;

struct UsPlanner {
  const UsPlannerClass* cls;
  UsEnv* env;
  UsPlannerConfig config;
  int64_t plans;            // made so far, one per slot and call
  int64_t candidate_steps;  // blocks imagined so far, all slots and candidates
};

#define X(name, summary) extern const UsPlannerClass us_planner_##name;
US_PLANNERS(X)
#undef X

// The planners in the order of the list, NULL-terminated.
extern US_API const UsPlannerClass* const us_planners[];

// US_USAGE for an unknown name or a setting out of range.
US_API UsStatus us_planner_check(const char* name, const UsPlannerConfig* config);

// Makes the planner `name` for all slots of `env`, which must outlive it. Fails as
// us_planner_check does, and with US_UNSUPPORTED where the env lacks an entry that the planner
// needs. On failure *out is NULL.
US_API UsStatus us_planner_create(const char* name, UsEnv* env, const UsPlannerConfig* config,
                                  UsPlanner** out);

// The same of a planner that is in no list.
US_API UsStatus us_planner_make(const UsPlannerClass* cls, UsEnv* env,
                                const UsPlannerConfig* config, UsPlanner** out);

// NULL is fine.
US_API void us_planner_destroy(UsPlanner* p);

// Begins episodes in the listed slots and forgets their last plans. slots (n), episodes (n): the
// numbers that name the episodes' random streams. US_USAGE for a slot that there is not.
US_API UsStatus us_planner_start(UsPlanner* p, int n, const int* slots, const uint64_t* episodes);

// Plans from the present state of the listed slots: slots (n), actions (n, replan, K, A) in
// [-1, 1]. The next plan of a slot supposes that these blocks were played.
US_API void us_planner_plan(UsPlanner* p, int n, const int* slots, float* actions);

US_C_END

#endif  // UNDERSTUDY_PLANNER_H_
