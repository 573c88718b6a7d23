#ifndef UNDERSTUDY_SEARCH_H_
#define UNDERSTUDY_SEARCH_H_

// Search by sampling, for planners: what every slot knows of its best plan (a mean and a deviation
// of each of its numbers, and the elites), and the steps that make it better. A planner calls the
// steps in an order of its own:
//
//   begin      choose where a plan's search starts: anew, or from the shifted last plan
//   activate   choose the slots that the next steps mean
//   sample     candidates around the mean, with noise correlated in time
//   imagine    their rewards, by the env
//   cost       their costs
//   elites     the best candidates, with those kept of the last iteration
//   fit        mean and deviation of the elites
//   hand_out   the blocks to play, and shift the mean by them
//
// All of it lies in tensor memory of the env's device and is written in the operations of ops.h.
// Random numbers are named by (seed, episode, plan, iteration, candidate), and a slot's numbers
// depend on no other slot.
//
// Threads: one thread at a time; inside, the config's pool works. Nothing allocates after create.

#include "planner/planner.h"
#include "worldmodel/base/arena.h"
#include "worldmodel/ops.h"

typedef struct UsSearch {
  UsArena memory;  // of the host
  float* tensors;  // tensor memory, one block
  UsEnv* env;
  UsDevice* device;
  UsPlannerConfig config;
  int length, played;  // L = H K A, numbers of a plan, and of its part that is played
  int lag;             // A, numbers from env step to env step
  int iteration;       // of the plan in progress
  int count;           // active slots
  int* active;         // (N)
  uint64_t* episode;   // (N)
  uint32_t* plan;      // (N) plans made for the episode
  int* iterations;     // (N) of the plan in progress
  float* row;          // (L)
  float* weight;       // (N, H) cost weights by place
  UsRng* stream;       // (N) by place
  float* actions;      // (N, samples, L) NULL: the env takes tensor memory
  float* returned;     // (N, samples, H) NULL: alike
  // Tensor memory.
  float *mean, *deviation;  // (N, L)
  float* elite[2];          // (N, E, L) of even and of odd iterations, best first
  double* elite_cost[2];    // (N, E) INFINITY: there is none
  float* candidates;        // (N, samples, L) by place
  float* rewards;           // (N, samples, H) by place
  double* cost;             // (N, samples) by place
  int* order;               // (N, E) by place
} UsSearch;

// On failure nothing is held.
UsStatus us_search_create(UsSearch* s, UsEnv* env, const UsPlannerConfig* config);

// Frees what it holds; an empty one is fine.
void us_search_free(UsSearch* s);

// Begins episodes in the listed slots: slots (n), episodes (n).
void us_search_start(UsSearch* s, int n, const int* slots, const uint64_t* episodes);

// Starts the search for the next plan of the listed slots (n).
void us_search_begin(UsSearch* s, int n, const int* slots);

// Makes those of the listed slots (n) active whose search has iterations left; returns how many.
int us_search_activate(UsSearch* s, int n, const int* slots);

// The rewards of all active slots, by the env.
void us_search_imagine(UsSearch* s);

// A step's work on `n` active slots from place `first` on, and a step on all of them.
typedef void UsSearchStep(UsSearch* s, int first, int n);
UsSearchStep us_search_sample, us_search_cost, us_search_elites, us_search_fit;
void us_search_each(UsSearch* s, UsSearchStep* work);

// Writes the blocks to play of a slot, actions (replan, K, A), and shifts its mean by them.
void us_search_hand_out(UsSearch* s, int slot, float* actions);

#endif  // UNDERSTUDY_SEARCH_H_
