#ifndef UNDERSTUDY_SEARCH_H_
#define UNDERSTUDY_SEARCH_H_

// Search by sampling, for planners: what every slot knows of its best plan (a mean and a deviation
// of each of its numbers, and the elites), and the steps that make it better. A plan begins with
// the choice where each slot's search starts: anew, or from the shifted last plan. Then come
// iterations, in each of which a planner calls the steps in an order of its own:
//
//   sample     candidates around the mean, with noise correlated in time
//   imagine    their rewards, by the env
//   cost       their costs
//   elites     the best candidates, with those kept of the last iteration
//   fit        mean and deviation of the elites
//
// At last the blocks to play are handed out, and the mean is shifted by them.
//
// All of it lies in tensor memory of the env's device and is written in the operations of ops.h.
// What varies from plan to plan goes there in one piece before the first iteration, and the actions
// of all slots come back in one piece after the last. In between nothing comes from the host,
// unless the env imagines there: a device that records then records a plan's iterations when they
// are made a second time with as many slots and iterations, and replays them from then on.
//
// Random numbers are named by (seed, episode, plan, iteration, candidate), and a slot's numbers
// depend on no other slot.
//
// Threads: one thread at a time; inside, the config's pool works. Nothing allocates after create.

#include "planner/planner.h"
#include "worldmodel/base/arena.h"
#include "worldmodel/ops.h"

// What varies from plan to plan, by place. A slot's place is where it comes when slots are ordered
// by falling number of iterations: those that have some left are always the first ones.
typedef struct UsSearchPlan {
  int* slot;         // (N)
  int* fresh;        // (N) the slot if its mean starts at 0, else -1
  float* zero;       // (N) 0
  float* deviation;  // (N) at the start
  float* weight;     // (N, H) cost weights
  UsRng* stream;     // (N) of the plan, its last name is 0
} UsSearchPlan;

// The iterations of plans of n slots, of which `many` have the larger number of them.
typedef struct UsSearchRecording {
  int n, many;   // n 0: nothing
  int64_t used;  // when it was last, in plans
  void* calls;   // NULL: such a plan was made once
} UsSearchRecording;

enum { US_SEARCH_RECORDINGS = 8 };  // kept; the one not used for longest goes

typedef struct UsSearch {
  UsArena host, tensors;
  UsEnv* env;
  UsDevice* device;
  UsPlannerConfig config;
  int length, played;  // L = H K A, numbers of a plan, and P of its part that is played
  int lag;             // A, numbers from env step to env step
  uint64_t* episode;   // (N)
  uint32_t* plan;      // (N) plans made for the episode
  // The plan in progress.
  int n, many;         // slots, and those of them, the first, with the larger number of iterations
  int most, fewest;    // iterations of those and of the others
  int iteration;       // in progress
  int count;           // places of the slots that have it: 0 .. count - 1
  int64_t made;        // iterations made, of all slots together
  int* from;           // (N) by place: where the caller has the slot
  UsSearchPlan here;   // host
  UsSearchPlan there;  // tensor memory
  size_t plan_bytes;   // of either
  float* row;          // (N, P) actions by place, host
  float* actions;      // (N, samples, L) host. NULL: the env takes tensor memory
  float* returned;     // (N, samples, H) host. NULL: alike
  // Tensor memory.
  float *mean, *deviation;  // (N, L)
  float* elite[2];          // (N, E, L) of even and of odd iterations, best first
  double* elite_cost[2];    // (N, E) INFINITY: there is none
  float* candidates;        // (N, samples, L) by place
  float* rewards;           // (N, samples, H) by place
  double* cost;             // (N, samples) by place
  int* order;               // (N, E) by place
  float* handed;            // (N, P) by place
  // Recordings.
  int plain;      // 1: none are made
  int64_t plans;  // calls of us_search_plan
  UsSearchRecording recording[US_SEARCH_RECORDINGS];
} UsSearch;

// On failure nothing is held.
UsStatus us_search_create(UsSearch* s, UsEnv* env, const UsPlannerConfig* config);

// Frees what it holds; an empty one is fine.
void us_search_free(UsSearch* s);

// Begins episodes in the listed slots: slots (n), episodes (n).
void us_search_start(UsSearch* s, int n, const int* slots, const uint64_t* episodes);

// The next plan of the listed slots (n): actions (n, replan, K, A), the blocks to play. An
// iteration is made of the steps below alone, and of the same ones in every plan. Returns the
// iterations made, those of all slots together.
typedef void UsSearchIteration(UsSearch* s);
int64_t us_search_plan(UsSearch* s, int n, const int* slots, UsSearchIteration* iteration,
                       float* actions);

// A step: the rewards of all that have this iteration, by the env.
void us_search_imagine(UsSearch* s);

// A step's work on `n` slots from place `first` on, and a step on all that have this iteration.
typedef void UsSearchStep(UsSearch* s, int first, int n);
UsSearchStep us_search_sample, us_search_cost, us_search_elites, us_search_fit;
void us_search_each(UsSearch* s, UsSearchStep* work);

#endif  // UNDERSTUDY_SEARCH_H_
