#ifndef UNDERSTUDY_PROBE_H_
#define UNDERSTUDY_PROBE_H_

// What features know: how well a target can be read out of them, by a linear map (ridge regression)
// and by a small network. Both are fitted on one set of rows and judged on another.
//
//   R^2 = 1 - sum (y - prediction)^2 / sum (y - mean of the test targets)^2, per target
//
// Features and targets are standardised by the training rows. The ridge is 1e-4 of the (unit)
// diagonal. The network is in -> 256 -> out with GELU, trained by AdamW for a fixed number of steps
// on seeded batches.
//
// Threads: one call runs in the calling thread.

#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

enum { US_PROBE_WIDTH = 1024 };  // most features

// x_train (n_train, in), y_train (n_train, out), x_test (n_test, in), y_test (n_test, out), host.
// R^2 per target into r2_linear (out) and r2_mlp (out); NaN where a test target is constant. At
// least two rows each, in <= US_PROBE_WIDTH. Nullable: r2_linear, r2_mlp. Only US_MEMORY and
// US_INTERRUPTED can fail.
US_API UsStatus us_probe(int n_train, int n_test, int in, int out, const float* x_train,
                         const float* y_train, const float* x_test, const float* y_test,
                         uint64_t seed, float* r2_linear, float* r2_mlp);

US_C_END

#endif  // UNDERSTUDY_PROBE_H_
