// The cross-entropy method (Rubinstein 1999) with elites kept between iterations, correlated noise
// and warm starts (Pinneri et al. 2020, "Sample-efficient cross-entropy method for real-time
// planning", iCEM), written in the numbers x (L) of a plan, L = H K A:
//
//   noise    z_t = c z_{t-1} + sqrt(1 - c^2) n_t,  n_t ~ N(0, 1), along the env steps t;
//            c = 0 for every second candidate: both far and fine searches
//   sample   x = clip(mean + deviation z, -1, 1); candidate 0 is the mean itself
//   cost     sum_h w_h (-reward_h); not finite: +INFINITY, ranks last and is never fitted to;
//            w_h rises from the first block to the last or, with a deadline, is 0 before it and 1
//            from it on, so that plans made anew at every block do not put arriving off for ever
//   elites   the least costs of the new candidates and the kept ones, ties by age and index
//   fit      mean = m mean + (1 - m) average(elites), the deviation alike, not below a floor
//   shift    the next plan's mean is this one's without the blocks played, zeros behind it; the
//            first plan after a deadline searches as widely as an episode's first

#include <stdlib.h>

#include "planner/planners/search.h"

typedef struct Cem {
  UsPlanner base;
  UsSearch search;
} Cem;

static UsStatus cem_create(UsEnv* env, const UsPlannerConfig* config, UsPlanner** out) {
  Cem* c = calloc(1, sizeof(*c));
  if (!c) return us_fail(US_MEMORY, "planner: out of memory");
  UsStatus status = us_search_create(&c->search, env, config);
  *out = status == US_OK ? &c->base : NULL;
  if (status != US_OK) free(c);
  return status;
}

static void cem_destroy(UsPlanner* p) {
  us_search_free(&((Cem*)p)->search);
  free(p);
}

static void cem_start(UsPlanner* p, int n, const int* slots, const uint64_t* episodes) {
  us_search_start(&((Cem*)p)->search, n, slots, episodes);
}

static void iteration(UsSearch* s) {
  us_search_each(s, us_search_sample);
  us_search_imagine(s);
  us_search_each(s, us_search_cost);
  us_search_each(s, us_search_elites);
  us_search_each(s, us_search_fit);
}

static void cem_plan(UsPlanner* p, int n, const int* slots, float* actions) {
  int64_t made = us_search_plan(&((Cem*)p)->search, n, slots, iteration, actions);
  p->candidate_steps += made * p->config.samples * p->config.horizon;
}

const UsPlannerClass us_planner_cem = {
    .name = "cem",
    .create = cem_create,
    .destroy = cem_destroy,
    .start = cem_start,
    .plan = cem_plan,
};
