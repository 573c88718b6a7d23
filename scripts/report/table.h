#ifndef UNDERSTUDY_TABLE_H_
#define UNDERSTUDY_TABLE_H_

// A table of evaluations: a JSON file lists its cells, and comes back with what they came to.
//
//   {"title": "..", "cells": [{"name": "pusht-50-full", "family": "sizes", "row": "PushT, 50",
//     "column": "full", "eval": "pusht-50-full.json", "against": "pusht-50-scratch"}, ..]}
//
// Of a cell are needed: name, which is unique; eval, the JSON of its evaluation, relative to the
// list's folder, or a list of them, of models of several training seeds on the same pairs; family,
// whose tests are corrected together; row and column, where it stands. It may have: against, the
// cell it is tested against; ceiling, the cell at the top of the gap; paper, a published rate in
// per cent; hidden, true where the picture leaves it out. Other members go through, such as the
// commands that make it. A cell whose evaluation is not there yet has no figures.

#include <stdio.h>

#include "planner/compare.h"

typedef struct UsTable {
  cJSON* json;
  char title[256];
  int count;
  UsCompareCell* cell;                 // (count)
  const char **name, **row, **column;  // (count), texts of json
  double* paper;                       // (count) per cent; NaN: none
  int* hidden;                         // (count)
  int evaluations;                     // of all cells
  char* paths;                         // (evaluations, 4096) of them
  const char** seeds;  // (evaluations + count) a cell's further ones, and NULL, cell by cell
} UsTable;

// Reads the list at `path` and the evaluations. Free with us_table_free, after a failure too.
UsStatus us_table_read(const char* path, UsTable* t);
void us_table_free(UsTable* t);

// Adds the figures to t->json: "first_hit", "last_step" {rate, low, high, hits}, "pairs", "against"
// {only, only_against, p, p_holm}, "gap_closed" and "difference" to the paper in points.
UsStatus us_table_add_figures(UsTable* t);

// Prints the table, a line a cell; draws it as dots with intervals.
void us_table_print(const UsTable* t, FILE* out);
UsStatus us_table_draw(const UsTable* t, FILE* out);

#endif  // UNDERSTUDY_TABLE_H_
