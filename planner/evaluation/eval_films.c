// The films of an evaluation: which episodes, their frames, and what the JSON says of them.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "planner/evaluation/eval_job.h"
#include "worldmodel/base/file.h"
#include "worldmodel/base/progress.h"

size_t us_eval_film_bytes(const EvalJob* j, int blocks) {
  size_t side = (size_t)j->c.film_size;
  return side * side * 3 * (size_t)(blocks + 2);
}

// The episodes to film: failures fill at most half of the places, successes the others, each in the
// order of the pairs. list (films); returns how many.
static int choose_films(const UsResult* r, int films, int* list) {
  int failures = 0, n = 0;
  for (int i = 0; i < r->count; i++)
    failures += !us_outcome_solved(&r->outcome[i], US_RULE_first_hit);
  // Successes have what failures leave, and the other way round where there are too few.
  int successes = r->count - failures;
  int wanted = films / 2 > films - successes ? films / 2 : films - successes;
  if (wanted > failures) wanted = failures;
  for (int failed = 1; failed >= 0; failed--) {
    int left = failed ? wanted : films - n;
    for (int i = 0; i < r->count && left > 0; i++) {
      if (us_outcome_solved(&r->outcome[i], US_RULE_first_hit) == failed) continue;
      list[n++] = i;
      left--;
    }
  }
  return n;
}

// What the JSON says of a film: its pair, when it was solved and how the distance went.
static cJSON* film_json(const UsResult* r, const UsPair* pair, int i) {
  const UsOutcome* o = &r->outcome[i];
  const float* distance = r->distance + (size_t)i * (size_t)(r->blocks + 1);
  cJSON* film = cJSON_CreateObject();
  us_json_add(film, "pair", i);
  cJSON_AddBoolToObject(film, "hard", pair->hard);
  us_json_add(film, "first_hit_step", us_outcome_solved(o, US_RULE_first_hit) ? o->first_hit : -1);
  us_json_add(film, "blocks", o->played);
  cJSON* curve = cJSON_AddArrayToObject(film, "distance");
  for (int b = 0; b <= o->played; b++) us_json_append(curve, (double)distance[b]);
  return film;
}

// Plays `n` episodes of the list again: frames (n, blocks + 2, size, size, 3).
static UsStatus draw_films(const EvalJob* j, const UsResult* r, int n, const int* list,
                           uint8_t* frames) {
  // A simulator of its own with the size of film frames; the truth draws what models see.
  UsEnvConfig config = {
      .slots = 1, .block = r->block, .height = j->c.film_size, .pixels = 1, .gl = j->c.gl};
  const UsEnvInfo* truth = us_env_info(j->sim);
  config.camera = truth->camera;
  if (truth->camera_pose[0]) config.camera_pose = truth->camera_pose;
  UsEnv* sim;
  US_TRY(us_env_open(us_env_info(j->sim)->name, j->c.tasks, &config, &sim));
  size_t size = us_eval_film_bytes(j, r->blocks);
  UsStatus status = US_OK;
  UsProgress bar = us_progress_start("film", "episodes", n, 0);
  for (int k = 0; k < n && status == US_OK; k++) {
    status = us_result_film(r, j->data, &j->result->pairs, list[k], j->result->protocol->rest, sim,
                            frames + (size_t)k * size);
    if (status == US_OK) status = us_progress_step(&bar, k + 1, j->c.json);
  }
  us_progress_end(&bar);
  us_env_close(sim);
  return status;
}

UsStatus us_eval_add_films(const EvalJob* j, cJSON* json) {
  const UsResult* r = &j->result->row[US_ROW_model];
  if (!j->result->on[US_ROW_model] || j->c.films == 0) return US_OK;
  // Room for all films in memory, which check_films has made sure of.
  int most = j->c.films < r->count ? j->c.films : r->count;
  size_t size = us_eval_film_bytes(j, r->blocks);
  int* list = calloc((size_t)most, sizeof(int));
  uint8_t* frames = calloc((size_t)most, size);
  char path[4096];
  snprintf(path, sizeof(path), "%s.films", j->c.json);
  UsStatus status = list && frames ? US_OK : us_fail(US_MEMORY, "out of memory for films");
  int n = status == US_OK ? choose_films(r, most, list) : 0;
  if (status == US_OK) status = draw_films(j, r, n, list, frames);
  if (status == US_OK) status = us_file_write(path, frames, (size_t)n * size);
  // The JSON lies in the same folder and names the file alone.
  if (status == US_OK) {
    const char* slash = strrchr(path, '/');
    cJSON* films = cJSON_AddObjectToObject(json, "films");
    cJSON_AddStringToObject(films, "row", us_eval_row_names[US_ROW_model]);
    cJSON_AddStringToObject(films, "file", slash ? slash + 1 : path);
    us_json_add(films, "size", j->c.film_size);
    us_json_add(films, "frames", r->blocks + 2);
    cJSON* episodes = cJSON_AddArrayToObject(films, "episodes");
    for (int k = 0; k < n; k++) {
      cJSON_AddItemToArray(episodes, film_json(r, &j->result->pairs.pair[list[k]], list[k]));
    }
  }
  free(list);
  free(frames);
  return status;
}
