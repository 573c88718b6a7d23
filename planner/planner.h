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
// A planner is one file, planner/<name>.c, with one table us_planner_<name>, and one line in
// US_PLANNERS.
//
// Threads: calls on one planner come from one thread at a time; inside, the pool works.
// Nothing allocates after create.

#include "env/env.h"

#define US_PLANNERS(X)                                                   \
  X(cem, "cross-entropy method over sequences of actions, warm-started") \
  X(random, "uniform actions without imagining anything: the floor")

// Everything that a planner can be told. Start from us_planner_defaults().
typedef struct UsPlannerConfig {
  uint64_t seed;
  int horizon;            // H blocks imagined
  int execute;            // blocks of each plan that are played before the next plan, 1 .. H
  int samples;            // candidates an iteration
  int iterations;         // of an episode's first plan
  int warm_iterations;    // of the plans after it, which start from the shifted last one
  int elites;             // candidates that the next distribution is fitted to
  int keep;               // best candidates that stay in the next iteration's selection
  float deviation;        // of the actions at the start of a first plan
  float warm_deviation;   // and of the plans after it
  float least_deviation;  // the fit never falls below
  float momentum;         // share of the old mean and deviation in an update, [0, 1)
  float correlation;      // of every second candidate's noise, from env step to env step, [0, 1)
  float first_weight;     // cost weight of the first block; rises linearly to 1 at the last
  int last_only;          // 1: only the last block costs
  int deadline;           // 1: the goal is due H blocks after the start and every H blocks from
                          // then on: a plan's blocks before that cost nothing, the others 1
  int cold;               // 1: every plan starts anew
  int play_best;          // 1: play the best candidate, 0: the mean of the elites
  UsPool* pool;           // not owned, must outlive the planner. Nullable: one thread
} UsPlannerConfig;

// The defaults of the program.
UsPlannerConfig us_planner_defaults(void);

typedef struct UsPlanner UsPlanner;

// The table of one planner. A planner is a struct whose first member is UsPlanner.
typedef struct UsPlannerClass {
  const char* name;
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
extern const UsPlannerClass* const us_planners[];

// US_USAGE for an unknown name or a setting out of range.
UsStatus us_planner_check(const char* name, const UsPlannerConfig* config);

// Makes the planner `name` for all slots of `env`, which must outlive it. Fails as
// us_planner_check does. On failure *out is NULL.
UsStatus us_planner_create(const char* name, UsEnv* env, const UsPlannerConfig* config,
                           UsPlanner** out);

// NULL is fine.
void us_planner_destroy(UsPlanner* p);

// Begins episodes in the listed slots and forgets their last plans. slots (n), episodes (n): the
// numbers that name the episodes' random streams.
void us_planner_start(UsPlanner* p, int n, const int* slots, const uint64_t* episodes);

// Plans from the present state of the listed slots: slots (n), actions (n, execute, K, A) in
// [-1, 1]. The next plan of a slot supposes that these blocks were played.
void us_planner_plan(UsPlanner* p, int n, const int* slots, float* actions);

#endif  // UNDERSTUDY_PLANNER_H_
