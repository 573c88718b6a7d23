// Two plots side by side: the losses of training, and errors on held-back episodes.

#include "scripts/report/loss_curve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/report/chart.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/progress.h"

enum { kPath = 4096 };

// Draws the four series: losses, then errors.
static UsStatus draw(const UsSeries s[4], const char* path) {
  const UsPlot loss = {"training loss", "step", "smooth L1", 1, 0, 0};
  const UsPlot held = {"held-back error / copy-last", "step", NULL, 1, 0, 0};
  // The loss of rollouts is drawn where there is one.
  int rolled = 0;
  for (int i = 0; i < s[1].count; i++) rolled |= s[1].y[i] > 0;
  // In memory first, so that no half of it is ever seen.
  char* text = NULL;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  if (!out) return us_fail(US_MEMORY, "%s: out of memory", path);
  us_chart_begin(out, 1000, 420);
  us_chart_lines(out, (UsBox){0, 0, 500, 420}, &loss, rolled ? 2 : 1, s);
  us_chart_lines(out, (UsBox){500, 0, 500, 420}, &held, 2, s + 2);
  us_chart_end(out);
  fclose(out);
  UsStatus status = us_file_write(path, text, size);
  free(text);
  return status;
}

UsStatus us_loss_curve_draw(const char* folder) {
  static const char* const keys[] = {"loss", "rollout", "one_step", "open_loop"};
  static const char* const names[] = {"loss", "rollout loss", "next frame", "open loop"};
  void* data = NULL;
  size_t size = 0, lines = 1, number = 0;
  char log[kPath], path[kPath], name[kPath + 32];
  us_path_join(log, kPath, folder, "log.jsonl");
  us_path_join(path, kPath, folder, "loss.svg");
  US_TRY(us_file_read(log, 0, &data, &size));
  for (size_t i = 0; i < size; i++) lines += ((char*)data)[i] == '\n';
  // Four curves of at most a point a line.
  double* numbers = malloc(8 * lines * sizeof(double));
  if (!numbers) {
    free(data);
    return us_fail(US_MEMORY, "%s: out of memory", path);
  }
  double *x[4], *y[4];
  UsSeries series[4];
  for (size_t i = 0; i < 4; i++) {
    x[i] = numbers + 2 * i * lines, y[i] = x[i] + lines;
    series[i] = (UsSeries){names[i], 0, x[i], y[i], i >= 2};
  }
  // Lines of steps and lines of validations: each has the numbers of its curves.
  // Lines that a kill cut short are told and left out.
  char* rest = NULL;
  for (char* l = strtok_r(data, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest)) {
    cJSON* json;
    number++;
    snprintf(name, sizeof(name), "%s: line %zu", log, number);
    if (us_json_parse(name, l, strlen(l), &json) != US_OK) {
      us_log("left out of %s: %s", path, us_message());
      continue;
    }
    const cJSON* step = cJSON_GetObjectItemCaseSensitive(json, "step");
    for (int i = 0; i < 4 && cJSON_IsNumber(step); i++) {
      const cJSON* value = cJSON_GetObjectItemCaseSensitive(json, keys[i]);
      if (!cJSON_IsNumber(value)) continue;
      x[i][series[i].count] = step->valuedouble;
      y[i][series[i].count++] = value->valuedouble;
    }
    cJSON_Delete(json);
  }
  UsStatus status = draw(series, path);
  free(numbers);
  free(data);
  return status;
}
