#include <stdio.h>
#include <stdlib.h>
#include <understudy.h>

static void check(UsStatus status) {
  if (status == US_OK) return;
  printf("%s: %s\n", us_status_text(status), us_message());
  exit(1);
}

// Records trajectories, trains a world model on the first file and plans in it on the second.
int main(void) {
  UsCollectConfig collect = us_collect_defaults();
  UsCollectResult collected;
  collect.task = "pointmaze", collect.tasks = us_tasks;
  collect.episodes = 40, collect.steps = 60;
  collect.seed = 1, collect.out = "train.h5";
  check(us_collect(&collect, &collected));
  collect.seed = 2, collect.out = "heldout.h5";
  check(us_collect(&collect, &collected));

  UsFinetuneConfig finetune = us_finetune_defaults();
  UsTrainResult trained;
  finetune.data = "train.h5", finetune.out = "model", finetune.tasks = us_tasks;
  finetune.steps = 100;
  check(us_finetune(&finetune, &trained));

  UsEvalConfig eval = us_eval_defaults();
  UsEvalResult result;
  eval.model = "model", eval.data = "heldout.h5", eval.tasks = us_tasks;
  eval.episodes = 32, eval.rows = "model,random", eval.json = "eval.json";
  check(us_eval(&eval, &result));
  for (int row = 0; row < US_ROW_COUNT; row++) {
    if (!result.on[row]) continue;
    UsRate rate = us_result_rate(&result.row[row], &result.pairs, US_RULE_first_hit, 0);
    printf("%s: %.1f %% of %d solved\n", us_eval_row_titles[row], 100 * rate.rate, rate.count);
  }
  us_eval_free(&result);
  return 0;
}
