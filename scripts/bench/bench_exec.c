// What a robot behind a pipe costs a step: `bench_exec COMMAND [STEPS]` plays random actions with a
// frame each, and prints milliseconds a step, the robot's own work included.

#include <stdio.h>
#include <stdlib.h>

#include "env/exec.h"
#include "env/sim.h"
#include "tasks/exec_task.h"
#include "worldmodel/base/progress.h"

static UsStatus play(UsEnv* e, int steps) {
  const UsEnvInfo* info = us_env_info(e);
  const size_t bytes = (size_t)info->height * (size_t)info->width * 3;
  float* action = calloc((size_t)info->action, sizeof(float));
  uint8_t* frame = malloc(bytes + 1);
  uint64_t seed = 1;
  if (!action || !frame) return us_fail(US_MEMORY, "out of memory");
  us_env_reset(e, NULL, &seed);
  double start = us_seconds();
  UsStatus status = US_OK;
  for (int i = 0, slot = 0; i < steps && status == US_OK; i++) {
    us_sim_policy(e, 0, &i, action);
    us_env_step(e, action, NULL);
    if (us_env_error(e)) status = us_fail(US_IO, "%s", us_env_error(e)->text);
    if (status == US_OK && bytes) status = us_env_render(e, 1, &slot, frame);
  }
  if (status == US_OK) {
    printf("%s: %.4f ms a step, with frames of %d x %d\n", info->name,
           1000 * (us_seconds() - start) / steps, info->width, info->height);
  }
  free(action);
  free(frame);
  return status;
}

int main(int argc, char** argv) {
  const int steps = argc > 2 ? atoi(argv[2]) : 5000;
  const UsTask* task = NULL;
  UsEnv* e = NULL;
  const UsEnvConfig config = {.slots = 1, .block = 1, .pixels = 1};
  char name[256];
  if (argc < 2 || steps < 1) {
    fprintf(stderr, "bench_exec COMMAND [STEPS]\n");
    return 2;
  }
  UsStatus status = us_exec_open(argv[1], &task);
  if (status == US_OK) {
    snprintf(name, sizeof(name), "sim:%s", task->name);
    status = us_env_open(name, (const UsTask* const[]){task, NULL}, &config, &e);
  }
  if (status == US_OK) status = play(e, steps);
  if (status != US_OK) fprintf(stderr, "bench_exec: %s\n", us_message());
  us_env_close(e);
  us_exec_close(task);
  return status != US_OK;
}
