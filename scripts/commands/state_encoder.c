#include "scripts/commands/state_encoder.h"

#include <math.h>
#include <stdlib.h>

#include "env/sim.h"
#include "scripts/commands/cli.h"
#include "worldmodel/base/progress.h"

// Positions of a task's simulator, nq; 0 when the task is not known here.
static int count_positions(const char* task) {
  UsEnv* e;
  if (us_cli_open_sim(task, NULL, &e) != US_OK) return 0;
  int nq = (int)us_sim_model(e)->nq;
  us_env_close(e);
  return nq;
}

UsStatus us_state_encoder(const char* path, const char* task, int state, int64_t rows,
                          const double* states, UsEncoder** out) {
  int nq = count_positions(task);
  *out = NULL;
  if (nq < 1 || nq > state) {
    return us_fail(
        US_UNSUPPORTED,
        "%s: the encoder \"state\" needs a task that is known here (see --plugin, which also "
        "takes mjcf:FILE.xml) to tell positions from velocities, found \"%s\"",
        path, task);
  }
  double* mean = calloc(2 * (size_t)state, sizeof(double));  // a deviation of 0 drops a number
  if (!mean) return us_fail(US_MEMORY, "out of memory");
  for (int j = 0; j < nq && !us_interrupted(); j++) {
    double squares = 0;
    for (int64_t i = 0; i < rows; i++) mean[j] += states[i * state + j] / (double)rows;
    for (int64_t i = 0; i < rows; i++) {
      double off = states[i * state + j] - mean[j];
      squares += off * off;
    }
    mean[state + j] = sqrt(squares / (double)rows);
  }
  UsStatus status = us_interrupt_check(path);
  if (status == US_OK) status = us_encoder_make_state(state, mean, mean + state, out);
  free(mean);
  return status;
}
