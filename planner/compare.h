#ifndef UNDERSTUDY_COMPARE_H_
#define UNDERSTUDY_COMPARE_H_

// Evaluations beside each other: the cells of a table, each the row `model` of one evaluation's
// JSON, with intervals, and each tested against another cell on the same pairs (McNemar, exact).
//
// A cell of several training seeds has the mean of their rates, with the interval of one
// evaluation: seeds are no more pairs. It is tested pair by pair against one of as many seeds
// (us_sign_flip), each pair once however many models played it.
//
//   UsCompareCell cell[2] = {{.json = "scratch.json", .against = -1, .ceiling = -1},
//                            {.json = "full.json", .against = 0, .ceiling = -1}};
//   if (us_compare(2, cell) == US_OK) printf("p = %g\n", cell[1].p);
//
// Threads: calls on other cells may run at once.

#include "planner/evaluate.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/file.h"

US_C_BEGIN

// Nothing is owned.
typedef struct UsCompareCell {
  // Set by the caller.
  const char* json;  // of an evaluation (eval.h)
  // Evaluations of models of other training seeds on the same pairs, NULL-terminated, which are
  // taken together with json. NULL: there are none.
  const char* const* seeds;
  int against;  // the cell that this one is tested against; -1: none
  int ceiling;  // the cell that stands for the best there can be; -1: none
  int family;   // tests of one number are corrected together
  // Found.
  int known;                    // 0: a file is not there; then nothing below counts
  int evaluations;              // json and seeds
  UsRate first_hit, last_step;  // last_step.count is 0 where the evaluation did not answer it
  char pairs[US_HASH_CHARS];    // names the pairs
  int only, only_against;       // pairs that this cell alone solved (first hit), or the other alone
  double p, p_holm;             // the test, and that after Holm's correction; NaN: none
  double gap;                   // (x - against) / (ceiling - against) of first hits; NaN: not known
} UsCompareCell;

// Reads the evaluations of n cells and compares them. US_FORMAT where a file is none of an
// evaluation with a row `model`, or where two cells that are compared, or the seeds of one, were
// run on other pairs, or differ in how many seeds they have.
US_API UsStatus us_compare(int n, UsCompareCell* cells);

US_C_END

#endif  // UNDERSTUDY_COMPARE_H_
