// understudy eval: plans in a world model, in the simulator and not at all on the same held-out
// pairs, and writes down how often each reached the goal.

#include <math.h>
#include <stdio.h>

#include "planner/eval.h"
#include "scripts/commands/cli.h"
#include "worldmodel/base/text.h"

static const char usage[] = "--model DIR --data HELDOUT.h5 --json R.json [options]";

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
    "Protocols say how many pairs, how far ahead, how many blocks are imagined (--horizon) and "
    "played\n"
    "of each plan (--replan); these options change it.\n\n"
    "Finished batches are kept beside the JSON until it is written: after a kill, --resume goes "
    "on\n"
    "with them.\n\n"
    "Example:\n"
    "  understudy eval --task pointmaze --model runs/pm/model --data runs/pm/heldout.h5 \\\n"
    "    --protocol dinoworld --episodes 512 --json runs/pm/eval.json\n";

// ---- the table ----

static void print_rate(const UsEvalResult* e, int row, UsRule rule, int hard) {
  const UsResult* r = &e->row[row];
  char text[64] = "-";
  if (us_eval_answers(r, rule)) {
    UsRate rate = us_result_rate(r, &e->pairs, rule, hard);
    snprintf(text, sizeof(text), "%.1f [%.1f, %.1f]", 100 * rate.rate, 100 * rate.low,
             100 * rate.high);
  }
  printf("  %-21s", text);
}

// Mean distance to the goal at the start and at the end, and the median at the end.
static void print_distance(const UsResult* r) {
  double start[4], end[4];
  us_eval_distance(r, 0, start);
  us_eval_distance(r, r->blocks, end);
  printf("  %.3f > %.3f (%.3f)", start[0], end[0], end[2]);
}

static void print_warnings(const char* where, const UsWarnings* w) {
  if (w->count == 0) return;
  printf("%s: MuJoCo warned %lld time%s (%s)\n", where, w->count, w->count == 1 ? "" : "s",
         w->kinds);
}

// What the simulators said, if anything: a sentence a row.
static void print_trouble(const UsEvalResult* e) {
  for (int k = 0; k < US_ROW_COUNT; k++) {
    int diverged = 0;
    for (int i = 0; i < e->row[k].count; i++) diverged += !e->row[k].outcome[i].finite;
    if (diverged == 0) continue;
    printf("%s: %d episode%s diverged and count%s as failed\n", us_eval_row_names[k], diverged,
           diverged == 1 ? "" : "s", diverged == 1 ? "s" : "");
  }
  print_warnings("the episodes", &e->played);
  print_warnings("what the oracle imagined", &e->imagined);
}

static void print_table(const UsEvalResult* e) {
  const UsProtocol* p = e->protocol;
  printf("%s, protocol %s (%s), %d pairs; %d were solved at the start%s\n\n", e->task->name,
         p->name, us_rule_names[p->rule], e->pairs.count, e->pairs.solved_at_start,
         p->keep_solved ? " and stay in" : " and left out");
  if (*e->vary) printf("varies %s (%s)\n\n", us_shown(e->vary), us_shown(e->vary_range));
  int plan_end = p->rule == US_RULE_plan_end, object = e->task->success_object != NULL;
  printf("%-7s %5s  %-21s  %-21s  %-21s  %-21s%s%s  %s\n", "row", "pairs", "first hit", "last step",
         "hold 3", "first hit, hard", object ? "  object alone         " : "",
         plan_end ? "  plan end             " : "", "mean distance > at the end (median)");
  for (int k = 0; k < US_ROW_COUNT; k++) {
    if (!e->on[k]) continue;
    printf("%-7s %5d", us_eval_row_names[k], e->row[k].count);
    print_rate(e, k, US_RULE_first_hit, 0);
    print_rate(e, k, US_RULE_last_step, 0);
    print_rate(e, k, US_RULE_hold_3, 0);
    print_rate(e, k, US_RULE_first_hit, 1);
    if (object) print_rate(e, k, US_RULE_object_hit, 0);
    if (plan_end) print_rate(e, k, US_RULE_plan_end, 0);
    print_distance(&e->row[k]);
    printf("\n");
  }
  print_trouble(e);
  printf("\n%-7s %8s %8s  %9s %9s %9s %9s  %10s  %s\n", "row", "seconds", "core-s", "simulate",
         "render", "encode", "plan", "ms a plan", "candidate-steps a core-second");
  for (int k = 0; k < US_ROW_COUNT; k++) {
    const UsResult* r = &e->row[k];
    if (!e->on[k]) continue;
    printf("%-7s %8.1f %8.1f ", us_eval_row_names[k], r->wall_all, r->core_all);
    for (int i = 0; i < US_PART_COUNT; i++) printf(" %9.2f", r->wall[i]);
    printf("  %10.3f  %.0f\n", 1e3 * r->wall[US_PART_plan] / fmax((double)r->plans, 1),
           (double)r->candidate_steps / fmax(r->core[US_PART_plan], 1e-9));
  }
}

// ---- the command ----

int us_cmd_eval(int argc, const char** argv) {
  UsEvalConfig c = us_eval_defaults();
  struct poptOption job[US_CLI_ROWS] = {POPT_TABLEEND}, planner[US_CLI_ROWS] = {POPT_TABLEEND};
  us_cli_rows(us_eval_settings, &c, job);
  us_cli_rows(us_planner_settings, &c.plan, planner);
  const struct poptOption table[] = {
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, job, 0, NULL, NULL},
      {NULL, 0, POPT_ARG_INCLUDE_TABLE, planner, 0, "Planner:", NULL},
      POPT_TABLEEND};
  int code = us_cli_parse(argc, argv, table, usage, help, NULL, 0);
  if (code < 0 && !c.json) code = us_cli_usage("eval", "--json is missing");
  if (code < 0) {
    UsEvalResult result;
    c.tasks = us_cli_tasks();
    UsStatus status = us_eval(&c, &result);
    if (status == US_OK && result.complete) printf("%s: is complete\n", c.json);
    if (status == US_OK && !result.complete) print_table(&result);
    code = status == US_OK ? 0 : us_cli_fail("eval", status);
    us_eval_free(&result);
  }
  us_cli_free(us_eval_settings, &c);
  return code;
}
