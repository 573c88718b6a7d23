// Cells are read first, then each is compared with the one it names, then families are corrected.

#include "planner/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planner/eval.h"
#include "planner/statistics.h"

// ---- reading ----

static UsStatus read_rate(const char* name, const cJSON* row, UsRule rule, int count, UsRate* out) {
  const cJSON* rate = cJSON_GetObjectItemCaseSensitive(row, us_rules[rule].name);
  *out = (UsRate){0};
  if (!rate || cJSON_IsNull(rate)) return US_OK;
  US_TRY(us_json_int(name, rate, "hits", 0, count, NULL, &out->hits));
  out->count = count;
  out->rate = count ? (double)out->hits / count : 0;
  us_wilson(out->hits, count, &out->low, &out->high);
  return US_OK;
}

// Reads a cell's evaluation; *solved (count) says which pairs it solved, to be freed.
static UsStatus read_row(UsCompareCell* c, const cJSON* json, uint8_t** solved) {
  const char* model = us_eval_row_names[US_ROW_model];
  const cJSON* rows = cJSON_GetObjectItemCaseSensitive(json, "rows");
  const cJSON* row = cJSON_GetObjectItemCaseSensitive(rows, model);
  const cJSON* hashes = cJSON_GetObjectItemCaseSensitive(json, "hashes");
  if (!cJSON_IsObject(row) || !cJSON_IsObject(hashes)) {
    return us_fail(US_FORMAT, "%s: expected the results of an evaluation with the row %s", c->json,
                   model);
  }
  int count;
  US_TRY(us_json_text(c->json, hashes, "pairs", NULL, c->pairs, sizeof(c->pairs)));
  US_TRY(us_json_int(c->json, row, "pairs", 0, 1 << 24, NULL, &count));
  US_TRY(read_rate(c->json, row, US_RULE_first_hit, count, &c->first_hit));
  US_TRY(read_rate(c->json, row, US_RULE_last_step, count, &c->last_step));
  // Pair by pair, which have to add up to the rate.
  const cJSON* steps = cJSON_GetObjectItemCaseSensitive(row, "first_hit_step");
  if (!cJSON_IsArray(steps) || cJSON_GetArraySize(steps) != count) {
    return us_fail(US_FORMAT, "%s: first_hit_step: expected %d numbers, found %d", c->json, count,
                   cJSON_IsArray(steps) ? cJSON_GetArraySize(steps) : 0);
  }
  *solved = calloc((size_t)count + 1, 1);
  if (!*solved) return us_fail(US_MEMORY, "out of memory");
  int i = 0, hits = 0;
  const cJSON* step;
  cJSON_ArrayForEach(step, steps) {
    (*solved)[i] = cJSON_IsNumber(step) && step->valuedouble >= 0;
    hits += (*solved)[i++];
  }
  if (hits == c->first_hit.hits && c->first_hit.count == count) return US_OK;
  return us_fail(US_FORMAT, "%s: first_hit: expected the %d pairs of first_hit_step, found %d",
                 c->json, hits, c->first_hit.hits);
}

static UsStatus read_cell(UsCompareCell* c, uint8_t** solved) {
  c->known = us_file_exists(c->json);
  if (!c->known) return US_OK;
  cJSON* json;
  US_TRY(us_json_read(c->json, &json));
  UsStatus status = read_row(c, json, solved);
  cJSON_Delete(json);
  return status;
}

// ---- comparing ----

static UsStatus compare_cell(UsCompareCell* cells, UsCompareCell* c, uint8_t* const* solved) {
  c->p = c->p_holm = c->gap = NAN;
  c->only = c->only_against = 0;
  if (!c->known || c->against < 0 || !cells[c->against].known) return US_OK;
  const UsCompareCell* base = &cells[c->against];
  if (strcmp(c->pairs, base->pairs) != 0) {
    return us_fail(US_FORMAT, "%s: expected the pairs of %s, found others", c->json, base->json);
  }
  const uint8_t *a = solved[c - cells], *b = solved[c->against];
  for (int i = 0; i < c->first_hit.count; i++) {
    c->only += a[i] && !b[i];
    c->only_against += b[i] && !a[i];
  }
  c->p = us_mcnemar(c->only, c->only_against);
  // How much of the way from the one to the other this cell went.
  if (c->ceiling < 0 || !cells[c->ceiling].known) return US_OK;
  double way = cells[c->ceiling].first_hit.rate - base->first_hit.rate;
  if (way > 0) c->gap = (c->first_hit.rate - base->first_hit.rate) / way;
  return US_OK;
}

// Corrects the tests of the family that cells[first] is the first of.
static void correct(int n, UsCompareCell* cells, int first, double* p) {
  int count = 0;
  for (int i = 0; i < n; i++) {
    if (isnan(cells[i].p) || cells[i].family != cells[first].family) continue;
    if (i < first) return;  // done with that one
    p[count++] = cells[i].p;
  }
  us_holm(count, p, p);
  count = 0;
  for (int i = first; i < n; i++) {
    if (!isnan(cells[i].p) && cells[i].family == cells[first].family) cells[i].p_holm = p[count++];
  }
}

UsStatus us_compare(int n, UsCompareCell* cells) {
  US_ASSERT(n >= 0 && (cells || n == 0));
  uint8_t** solved = calloc((size_t)n + 1, sizeof(*solved));
  double* p = malloc(((size_t)n + 1) * sizeof(*p));
  UsStatus status = solved && p ? US_OK : us_fail(US_MEMORY, "out of memory");
  for (int i = 0; i < n && status == US_OK; i++) {
    US_ASSERT(cells[i].against < n && cells[i].ceiling < n);
    status = read_cell(&cells[i], &solved[i]);
  }
  for (int i = 0; i < n && status == US_OK; i++) status = compare_cell(cells, &cells[i], solved);
  for (int i = 0; i < n && status == US_OK; i++) {
    if (!isnan(cells[i].p)) correct(n, cells, i, p);
  }
  for (int i = 0; solved && i < n; i++) free(solved[i]);
  free(solved);
  free(p);
  return status;
}
