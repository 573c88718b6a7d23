// understudy eval: plans in a world model, in the simulator and not at all on the same held-out
// pairs, and writes down how often each reached the goal.

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "planner/eval.h"
#include "scripts/cli/cli.h"
#include "worldmodel/base/text.h"

static const char help[] =
    "Plans to goals that held-out trajectories reached and counts successes, in rows:\n"
    "  model   the planner imagines in the world model, which sees rendered frames\n"
    "  state   the same with a model on true states: what a perfect encoder would give\n"
    "  random  uniform actions: the floor\n"
    "  oracle  the planner imagines in the simulator itself: the ceiling\n\n"
    "Where the held-out file varies (collect --vary), every pair is played in its own variation. "
    "--vary\n"
    "draws one for every pair instead and draws the frames of starts and goals anew: the same "
    "pairs in\n"
    "another light. Names and ranges are those of collect.\n\n"
    "The frames that a model sees are drawn as --gl says (see collect): best by what drew those "
    "that "
    "it\n"
    "was trained on. The JSON names the renderer.\n\n"
    "A robot of one's own is opened from the data or the model, which keep it, unless --task names "
    "its\n"
    "file.\n\n"
    "Protocols say how many pairs, how far ahead, how many blocks are imagined (--horizon) and "
    "played\n"
    "of each plan (--replan); these options change it.\n\n"
    "--goal gives all pairs one goal, in place of the rows that their trajectories reached "
    "later.\n\n"
    "Finished batches are kept beside the JSON until it is written: after a kill, --resume goes "
    "on\n"
    "with them.\n\n"
    "Example:\n"
    "  understudy eval --task pointmaze --model runs/pm/model --data runs/pm/heldout.h5 \\\n"
    "    --protocol dinoworld --episodes 512 --json runs/pm/eval.json\n";

// ---- the table ----

// How often MuJoCo warned in one kind of work.
static void print_warnings(const char* where, const UsWarnings* w) {
  if (w->count == 0) return;
  printf("%s: MuJoCo warned %lld time%s (%s)\n", where, w->count, w->count == 1 ? "" : "s",
         w->kinds);
}

// What the simulators said, if anything: a sentence a row.
static void print_trouble(const UsEvalResult* e) {
  for (int k = 0; k < US_ROW_COUNT; k++) {
    // A state that is no number ends an episode.
    int diverged = 0;
    for (int i = 0; i < e->row[k].count; i++) diverged += !e->row[k].outcome[i].finite;
    if (diverged == 0) continue;
    printf("%s: %d episode%s diverged and count%s as failed\n", us_eval_row_names[k], diverged,
           diverged == 1 ? "" : "s", diverged == 1 ? "s" : "");
  }
  print_warnings("the episodes", &e->played);
  print_warnings("what the oracle imagined", &e->imagined);
}

// Success by rule with Wilson intervals, and how near episodes came: a line a row.
static void print_rates(const UsEvalResult* e) {
  // The columns that this protocol and this task have.
  UsColumn column[US_RULE_COUNT + 1];
  int columns = us_rule_columns(e->protocol->rule, e->task->success_object != NULL, column);
  printf("%-7s %5s", "row", "pairs");
  for (int c = 0; c < columns; c++) printf("  %-21s", column[c].title);
  printf("  mean distance > at the end (median)\n");
  for (int k = 0; k < US_ROW_COUNT; k++) {
    if (!e->on[k]) continue;
    const UsResult* r = &e->row[k];
    printf("%-7s %5d", us_eval_row_names[k], r->count);
    // "-" where a row cannot answer a rule.
    for (int c = 0; c < columns; c++) {
      char text[64] = "-";
      if (us_result_answers(r, column[c].rule)) {
        UsRate rate = us_result_rate(r, &e->pairs, column[c].rule, column[c].hard);
        snprintf(text, sizeof(text), "%.1f [%.1f, %.1f]", 100 * rate.rate, 100 * rate.low,
                 100 * rate.high);
      }
      printf("  %-21s", text);
    }
    // Mean distance to the goal at the start and at the end, and the median at the end.
    double start[4], end[4];
    us_eval_distance(r, 0, start);
    us_eval_distance(r, r->blocks, end);
    printf("  %.3f > %.3f (%.3f)\n", start[0], end[0], end[2]);
  }
}

// Figures with a title, then where the time went: a line a row.
static void print_times(const UsEvalResult* e) {
  // The head: only figures with a title have a column.
  printf("\n%-7s", "row");
  for (int f = 0; f < US_FIGURE_COUNT; f++) {
    if (us_figures[f].title) printf("  %9s", us_figures[f].title);
  }
  for (int p = 0; p < US_PART_COUNT; p++) printf("  %9s", us_part_names[p]);
  printf("\n");
  for (int k = 0; k < US_ROW_COUNT; k++) {
    if (!e->on[k]) continue;
    printf("%-7s", us_eval_row_names[k]);
    for (int i = 0; i < US_FIGURE_COUNT; i++) {
      const UsFigure* f = &us_figures[i];
      double x = f->factor * f->of(&e->row[k]);
      char text[64] = "-";
      if (!f->title) continue;
      // As wide as its title, "-" where a row has no such figure.
      if (isfinite(x)) snprintf(text, sizeof(text), f->format, x);
      int width = (int)strlen(f->title);
      printf("  %*s", width > 9 ? width : 9, text);
    }
    for (int p = 0; p < US_PART_COUNT; p++) printf("  %9.2f", e->row[k].wall[p]);
    printf("\n");
  }
}

static void print_result(const UsEvalResult* e) {
  // What was asked, then the tables.
  const UsProtocol* p = e->protocol;
  printf("%s, protocol %s (%s), %d pairs; %d were solved at the start%s\n\n", e->task->name,
         p->name, us_rules[p->rule].name, e->pairs.count, e->pairs.solved_at_start,
         p->keep_solved ? " and stay in" : " and left out");
  if (*e->vary) printf("varies %s (%s)\n\n", us_shown(e->vary), us_shown(e->vary_range));
  print_rates(e);
  print_trouble(e);
  print_times(e);
}

// ---- the command ----

int us_cmd_eval(int argc, const char** argv) {
  // The options are the two lists of settings.
  UsEvalConfig c = us_eval_defaults();
  struct poptOption job[US_CLI_ROWS] = {POPT_TABLEEND}, planner[US_CLI_ROWS] = {POPT_TABLEEND};
  us_cli_rows(us_eval_settings, &c, job);
  us_cli_rows(us_planner_settings, &c.plan, planner);
  const struct poptOption table[] = {
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, job, 0, NULL, NULL},
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, planner, 0, "Planner:", NULL},
      POPT_TABLEEND};
  int code = us_cli_parse(argc, argv, table,
                          "--model DIR --data HELDOUT.h5 --json R.json [options]", help, NULL, 0);
  if (code < 0 && !c.json) code = us_cli_usage("eval", "--json is missing");
  if (code < 0) code = us_cli_robots("eval", 3, (const char*[]){c.data, c.model, c.state_model});
  if (code < 0) {
    // Built-in tasks, those of plugins and of MJCF files; their settings where no option is given.
    UsEvalResult result;
    c.tasks = us_cli_tasks();
    c.given = us_cli_given();
    UsStatus status = us_eval(&c, &result);
    if (status == US_OK && result.complete) printf("%s: is complete\n", c.json);
    if (status == US_OK && !result.complete) print_result(&result);
    code = status == US_OK ? 0 : us_cli_fail("eval", status);
    us_eval_free(&result);
  }
  us_cli_free(us_eval_settings, &c);
  return code;
}
