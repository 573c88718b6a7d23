#ifndef UNDERSTUDY_REPORT_H_
#define UNDERSTUDY_REPORT_H_

// The report of an evaluation: what its JSON says, read and checked (report_read.c), as charts
// (report_charts.c), filmstrips (report_films.c) and a page that shows both with the numbers
// (report_page.c).

#include <stdio.h>

#include "planner/eval.h"

enum { US_RULE_COLUMNS = US_RULE_COUNT + 1, US_REPORT_STEPS = 1 << 20 };

typedef struct UsReportRate {
  int known;
  double rate, low, high;  // per cent
} UsReportRate;

typedef struct UsReportRow {
  int on, pairs, hard_pairs;
  UsReportRate rate[US_RULE_COLUMNS];
  double figure[US_FIGURE_COUNT], part[US_PART_COUNT];  // NaN: not known
  const cJSON* distance;                                // {mean, median, ...}
  const cJSON* first_hit_step;
} UsReportRow;

typedef struct UsReport {
  const char* path;  // of the JSON
  const char* out;   // folder
  cJSON* json;
  char task[64], protocol[64], blas[128], version[64];
  int episodes, solved_at_start, budget, block;
  double radius;
  UsReportRow row[US_ROW_COUNT];
  int film_count, film_pages;
  UsRule rule;  // that the protocol counts by; US_RULE_COUNT: not known
  UsColumn counted[US_RULE_COLUMNS];
  int rules;
} UsReport;

// Reads r->path, which is set, into the rest. Free r->json in every case.
UsStatus us_report_read(UsReport* r);

// Member of a JSON object, or NULL, and as a number, or NaN.
const cJSON* us_report_member(const cJSON* object, const char* key);
double us_report_number(const cJSON* object, const char* key);

// Writes the charts of success and of the way there, as SVG.
UsStatus us_report_charts(const UsReport* r, FILE* out);

// Draws the filmstrips into r->out and counts films and pages of them in r.
UsStatus us_report_films(UsReport* r);

// File of a page of films: films.png, films-2.png, ..
const char* us_report_films_name(int page, char name[32]);

// Draws the films and writes index.html with everything into the folder r->out.
UsStatus us_report_write(UsReport* r);

#endif  // UNDERSTUDY_REPORT_H_
