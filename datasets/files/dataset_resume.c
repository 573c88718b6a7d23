// Whether a run may go on with a file, and what the file then has to say.

#include "datasets/files/dataset_resume.h"

#include <stdio.h>
#include <string.h>

#include "env/gl.h"
#include "worldmodel/base/progress.h"

// An episode has all rows, unless it diverged and was kept up to there.
static UsStatus check_lengths(const UsDataset* d, int rows) {
  const UsDatasetInfo* info = us_dataset_info(d);
  // With keep an episode that diverged is shorter, and not truncated in its last row.
  const int kept = strcmp(info->diverged, "keep") == 0;
  // Who drives ends an episode as he likes.
  const int driven = strcmp(info->policy, "teleop") == 0;
  for (int64_t e = 0; e < info->episodes; e++) {
    int length = us_dataset_lengths(d)[e];
    int cut = kept && !us_dataset_truncated(d)[us_dataset_offsets(d)[e] + length - 1];
    if (cut ? length < rows : driven ? length <= rows : length == rows) continue;
    return us_fail(US_FORMAT, "%s: ep_len, episode %lld: expected %d rows to go on with, found %d",
                   us_dataset_path(d), (long long)e, rows, length);
  }
  return US_OK;
}

UsStatus us_resume_check(const UsDataset* d, const UsDatasetInfo* want, int rows) {
  const UsDatasetInfo* found = us_dataset_info(d);
  const char* path = us_dataset_path(d);
  if (us_dataset_sources(d)[0]) {
    return us_fail(US_FORMAT,
                   "%s: expected the file of one run to go on with, found one made of others by "
                   "dataset merge, split or drop",
                   path);
  }
  const struct {
    const char *name, *want, *found;
  } text[] = {{"task", want->task, found->task},
              {"policy", want->policy, found->policy},
              {"camera", want->camera, found->camera},
              {"camera_pose", want->camera_pose, found->camera_pose},
              {"version", want->version, found->version},
              {"variation", want->variation_names, found->variation_names},
              {"diverged", want->diverged, found->diverged},
              {"range of the variation", want->variation_range, found->variation_range}};
  for (size_t i = 0; i < sizeof(text) / sizeof(*text); i++) {
    if (strcmp(text[i].want, text[i].found) == 0) continue;
    int robots = i == 0 && !strncmp(want->task, "mjcf-", 5) && !strncmp(found->task, "mjcf-", 5);
    return us_fail(US_FORMAT, "%s: %s: expected \"%s\" to go on with, found \"%s\"%s", path,
                   text[i].name, text[i].want, text[i].found,
                   robots ? " (without --task the robot that it was recorded with goes on)" : "");
  }
  const struct {
    const char* name;
    long long want, found;
  } number[] = {{"seed", (long long)want->seed, (long long)found->seed},
                {"height of frames", want->height, found->height},
                {"width of frames", want->width, found->width},
                {"numbers of an action", want->action, found->action},
                {"numbers of proprio", want->proprio, found->proprio},
                {"numbers of a state", want->state, found->state}};
  for (size_t i = 0; i < sizeof(number) / sizeof(*number); i++) {
    if (number[i].want == number[i].found) continue;
    return us_fail(US_FORMAT, "%s: %s: expected %lld to go on with, found %lld", path,
                   number[i].name, number[i].want, number[i].found);
  }
  return check_lengths(d, rows);
}

UsStatus us_resume_renderer(const char* path, const UsDatasetInfo* found, int64_t episodes,
                            int64_t asked, UsDatasetInfo* info) {
  static const char from[] = "; from episode ";
  char now[sizeof(found->renderer)];
  const char* last = found->renderer;
  for (const char* at = last; (at = strstr(at, from)); at++) last = at;
  if (last != found->renderer && strstr(last, ": ")) last = strstr(last, ": ") + 2;
  snprintf(now, sizeof(now), "%s", info->renderer);
  snprintf(info->renderer, sizeof(info->renderer), "%s", found->renderer);
  // Nothing to say where either is not known or both are one.
  if (!now[0] || !found->renderer[0] || strcmp(last, now) == 0) return US_OK;
  if (episodes == asked) return US_OK;  // nothing is drawn any more
  if (!us_gl_same(last, now)) {
    return us_fail(US_FORMAT, "%s: renderer (--gl): expected \"%s\" to go on with, found \"%s\"",
                   path, now, last);
  }
  size_t n = strlen(found->renderer);
  snprintf(info->renderer + n, sizeof(info->renderer) - n, "%s%lld: %s", from, (long long)episodes,
           now);
  us_log("%s: from episode %lld on, frames are drawn by %s, those before by %s", path,
         (long long)episodes, now, last);
  return US_OK;
}
