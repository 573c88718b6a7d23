// The JSON of an evaluation. What a report cannot do without is checked; of the rest, what is not
// there is not known.

#include <math.h>
#include <string.h>

#include "scripts/report/report.h"
#include "worldmodel/base/file.h"

const cJSON* us_report_member(const cJSON* object, const char* key) {
  return cJSON_GetObjectItemCaseSensitive(object, key);
}

double us_report_number(const cJSON* object, const char* key) {
  const cJSON* x = us_report_member(object, key);
  return cJSON_IsNumber(x) ? x->valuedouble : NAN;
}

// A rate with its interval, in per cent.
static UsStatus read_rate(const UsReport* r, const cJSON* row, const UsColumn* c,
                          UsReportRate* out) {
  const cJSON* from = c->hard ? us_report_member(row, "hard") : row;
  const cJSON* rate = us_report_member(from, us_rules[c->rule].name);
  // A rule that a row cannot answer is null.
  *out = (UsReportRate){0};
  if (!rate || cJSON_IsNull(rate)) return US_OK;
  US_TRY(us_json_number(r->path, rate, "rate", 0, 1, NULL, &out->rate));
  US_TRY(us_json_number(r->path, rate, "low", 0, 1, NULL, &out->low));
  US_TRY(us_json_number(r->path, rate, "high", 0, 1, NULL, &out->high));
  out->known = 1;
  out->rate *= 100;
  out->low *= 100;
  out->high *= 100;
  return US_OK;
}

static UsStatus read_row(const UsReport* r, const cJSON* json, UsReportRow* out) {
  // What a table needs is checked, what a chart can do without is not.
  out->on = 1;
  US_TRY(us_json_int(r->path, json, "pairs", 0, 1 << 30, NULL, &out->pairs));
  const int none = 0;
  const cJSON* hard = us_report_member(json, "hard");
  if (hard) US_TRY(us_json_int(r->path, hard, "pairs", 0, 1 << 30, &none, &out->hard_pairs));
  for (int k = 0; k < r->rules; k++) US_TRY(read_rate(r, json, &r->counted[k], &out->rate[k]));
  for (int f = 0; f < US_FIGURE_COUNT; f++)
    out->figure[f] = us_report_number(json, us_figures[f].name);
  for (int p = 0; p < US_PART_COUNT; p++) {
    out->part[p] = us_report_number(
        us_report_member(us_report_member(json, "time"), us_part_names[p]), "seconds");
  }
  out->distance = us_report_member(json, "distance");
  out->first_hit_step = us_report_member(json, "first_hit_step");
  return US_OK;
}

UsStatus us_report_read(UsReport* r) {
  US_TRY(us_json_read(r->path, &r->json));
  // What was asked: the task and its protocol.
  const cJSON* j = r->json;
  US_TRY(us_json_text(r->path, j, "task", NULL, r->task, sizeof(r->task)));
  US_TRY(us_json_text(r->path, j, "protocol", NULL, r->protocol, sizeof(r->protocol)));
  US_TRY(us_json_text(r->path, j, "blas", "", r->blas, sizeof(r->blas)));
  US_TRY(us_json_text(r->path, j, "version", "", r->version, sizeof(r->version)));
  US_TRY(us_json_int(r->path, j, "episodes", 0, 1 << 30, NULL, &r->episodes));
  US_TRY(us_json_int(r->path, j, "solved_at_start", 0, 1 << 30, NULL, &r->solved_at_start));
  US_TRY(us_json_int(r->path, j, "budget", 1, US_REPORT_STEPS, NULL, &r->budget));
  US_TRY(us_json_int(r->path, j, "block", 1, US_REPORT_STEPS, NULL, &r->block));
  r->radius = us_report_number(j, "radius");
  // The columns are those of eval's own table; what the protocol counts is marked.
  char rule[32];
  US_TRY(us_json_text(r->path, j, "rule", "", rule, sizeof(rule)));
  r->rule = us_rule_find(rule);
  r->rules = us_rule_columns(r->rule, 0, r->counted);
  for (int k = 0; k < r->rules; k++) {
    UsColumn* c = &r->counted[k];
    if (c->rule == r->rule && !c->hard) strcat(c->title, " (the protocol's)");
  }
  // Rows that were not run are not there.
  const cJSON* rows = us_report_member(j, "rows");
  if (!cJSON_IsObject(rows)) {
    return us_fail(US_FORMAT, "%s: expected an object \"rows\", found none", r->path);
  }
  for (int k = 0; k < US_ROW_COUNT; k++) {
    const cJSON* row = us_report_member(rows, us_eval_row_names[k]);
    if (row) US_TRY(read_row(r, row, &r->row[k]));
  }
  return US_OK;
}
