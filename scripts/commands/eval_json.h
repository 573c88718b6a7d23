#ifndef UNDERSTUDY_EVAL_JSON_H_
#define UNDERSTUDY_EVAL_JSON_H_

// What `understudy eval` writes down about a row: the JSON of its rates, times and episodes, and
// the comparison of two rows on the same pairs.
//
// Threads: every call works on its arguments alone.

#include <cjson/cJSON.h>

#include "planner/evaluate.h"

// The object of one row: `pairs`, one {rate, low, high, hits} per rule, `hard` with the same for
// the hard pairs, `seconds_per_plan`, `candidate_steps_per_core_second`, `time` by part, `distance`
// to the goal after every block, `first_hit_step` per pair (env steps, -1: none), `failed` (pairs
// that never hit) and `not_finite`. Rules that a run with stop_at_hit cannot answer are null.
cJSON* us_eval_row_json(const UsResult* r, const UsPairs* pairs);

// Mean, lower quartile, median and upper quartile over the episodes, out (4), of the distance to
// the goal after `block` blocks, 0 .. r->blocks. Episodes that ended count with their last
// distance, those that are not finite do not count. Returns how many counted; out is NaN when none
// did.
int us_eval_distance(const UsResult* r, int block, double* out);

// McNemar's test of two rows by first hit on the pairs that both ran.
cJSON* us_eval_compare_json(const char* name_a, const UsResult* a, const char* name_b,
                            const UsResult* b);

// The planner's settings.
cJSON* us_eval_planner_json(const char* name, const UsPlannerConfig* c);

// 1 if a run with stop_at_hit still answers a rule.
int us_eval_answers(const UsResult* r, UsRule rule);

#endif  // UNDERSTUDY_EVAL_JSON_H_
