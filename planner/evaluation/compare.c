// Cells are read first, then each is compared with the one it names, then families are corrected.

#include "planner/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planner/eval.h"
#include "planner/statistics.h"

// ---- reading ----

enum { kSeeds = 255, kPairs = 1 << 22 };  // of which all hits together are an int

// Adds what one evaluation says of a rule.
static UsStatus read_rate(const char* path, const cJSON* row, UsRule rule, int count, UsRate* out) {
  const cJSON* rate = cJSON_GetObjectItemCaseSensitive(row, us_rules[rule].name);
  int hits;
  if (!rate || cJSON_IsNull(rate)) return US_OK;
  US_TRY(us_json_int(path, rate, "hits", 0, count, NULL, &hits));
  out->hits += hits;
  out->count += count;
  return US_OK;
}

// Adds one evaluation to a cell; *solved (pairs) counts how often each was solved. The first one
// makes it, to be freed.
static UsStatus read_row(UsCompareCell* c, const char* path, const cJSON* json, uint8_t** solved) {
  const char* model = us_eval_row_names[US_ROW_model];
  const cJSON* rows = cJSON_GetObjectItemCaseSensitive(json, "rows");
  const cJSON* row = cJSON_GetObjectItemCaseSensitive(rows, model);
  const cJSON* hashes = cJSON_GetObjectItemCaseSensitive(json, "hashes");
  if (!cJSON_IsObject(row) || !cJSON_IsObject(hashes)) {
    return us_fail(US_FORMAT, "%s: expected the results of an evaluation with the row %s", path,
                   model);
  }
  int count, before = c->first_hit.hits;
  char pairs[US_HASH_CHARS];
  US_TRY(us_json_text(path, hashes, "pairs", NULL, pairs, sizeof(pairs)));
  US_TRY(us_json_int(path, row, "pairs", 0, kPairs, NULL, &count));
  if (*solved && (strcmp(pairs, c->pairs) != 0 || count != c->first_hit.count / c->evaluations)) {
    return us_fail(US_FORMAT, "%s: expected the pairs of %s, found others", path, c->json);
  }
  memcpy(c->pairs, pairs, sizeof(pairs));
  US_TRY(read_rate(path, row, US_RULE_first_hit, count, &c->first_hit));
  US_TRY(read_rate(path, row, US_RULE_last_step, count, &c->last_step));
  c->evaluations++;
  // Pair by pair, which have to add up to the rate.
  const cJSON* steps = cJSON_GetObjectItemCaseSensitive(row, "first_hit_step");
  if (!cJSON_IsArray(steps) || cJSON_GetArraySize(steps) != count) {
    return us_fail(US_FORMAT, "%s: first_hit_step: expected %d numbers, found %d", path, count,
                   cJSON_IsArray(steps) ? cJSON_GetArraySize(steps) : 0);
  }
  if (!*solved) *solved = calloc((size_t)count + 1, 1);
  if (!*solved) return us_fail(US_MEMORY, "out of memory");
  int i = 0, hits = 0;
  const cJSON* step;
  cJSON_ArrayForEach(step, steps) {
    int hit = cJSON_IsNumber(step) && step->valuedouble >= 0;
    (*solved)[i++] += (uint8_t)hit;
    hits += hit;
  }
  int stated = c->first_hit.hits - before;
  if (hits == stated && c->first_hit.count == c->evaluations * count) return US_OK;
  return us_fail(US_FORMAT, "%s: first_hit: expected the %d pairs of first_hit_step, found %d",
                 path, hits, stated);
}

// The rate of all evaluations, with the interval of as many trials as one has.
static void finish_rate(int evaluations, UsRate* rate) {
  if (rate->count == 0) return;
  rate->rate = (double)rate->hits / rate->count;
  us_wilson((double)rate->hits / evaluations, rate->count / evaluations, &rate->low, &rate->high);
}

static UsStatus read_cell(UsCompareCell* c, uint8_t** solved) {
  c->first_hit = c->last_step = (UsRate){0};
  c->known = c->evaluations = 0;
  // All evaluations are there, or the cell has not been run.
  int n = 1;
  if (!us_file_exists(c->json)) return US_OK;
  for (; c->seeds && c->seeds[n - 1]; n++) {
    if (n >= kSeeds) return us_fail(US_USAGE, "%s: expected at most %d seeds", c->json, kSeeds);
    if (!us_file_exists(c->seeds[n - 1])) return US_OK;
  }
  for (int i = 0; i < n; i++) {
    const char* path = i == 0 ? c->json : c->seeds[i - 1];
    cJSON* json;
    US_TRY(us_json_read(path, &json));
    UsStatus status = read_row(c, path, json, solved);
    cJSON_Delete(json);
    US_TRY(status);
  }
  c->known = 1;
  finish_rate(n, &c->first_hit);
  // What not all evaluations answer is not known.
  if (c->last_step.count != c->first_hit.count) c->last_step = (UsRate){0};
  finish_rate(n, &c->last_step);
  return US_OK;
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
  if (c->evaluations != base->evaluations) {
    return us_fail(US_FORMAT, "%s: expected as many evaluations as %s has, %d, found %d", c->json,
                   base->json, base->evaluations, c->evaluations);
  }
  const uint8_t *a = solved[c - cells], *b = solved[c->against];
  int pairs = c->first_hit.count / c->evaluations;
  int* differences = calloc((size_t)pairs + 1, sizeof(int));
  if (!differences) return us_fail(US_MEMORY, "out of memory");
  for (int i = 0; i < pairs; i++) {
    differences[i] = a[i] - b[i];
    c->only += differences[i] > 0 ? differences[i] : 0;
    c->only_against += differences[i] < 0 ? -differences[i] : 0;
  }
  // The first is the second of single tries, and has no limit.
  c->p =
      c->evaluations == 1 ? us_mcnemar(c->only, c->only_against) : us_sign_flip(pairs, differences);
  free(differences);
  if (isnan(c->p)) return us_fail(US_MEMORY, "out of memory");
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
