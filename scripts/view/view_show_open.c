// Opens what a show consists of, checks that the parts fit together, and closes it.

#include "scripts/view/view_show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/cli/cli.h"
#include "scripts/view/view_show_inner.h"

static const double longest_step = 1.0 / 15;  // s of an env step that is shown as one state
static const double inner_rate = 24;          // states a second shown of longer ones

static void layout(UsArena* a, UsShow* s) {
  Inner* in = s->own;
  // Everything is as large as the truth's numbers; K and the plan come from the config.
  const UsEnvInfo* info = us_env_info(s->sim);
  size_t action = (size_t)info->action, state = (size_t)info->state;
  size_t frame = (size_t)info->height * (size_t)info->width * 3;
  size_t replan = (size_t)s->config.plan.replan, block = (size_t)s->block;
  s->action = US_TAKE(a, float, action + 1);
  s->state = US_TAKE(a, double, state);
  s->goal = US_TAKE(a, double, state);
  s->history = US_TAKE(a, float, US_SHOW_HISTORY);
  s->picture = US_TAKE(a, uint8_t, frame);
  s->inside = US_TAKE(a, double, (size_t)s->inner* state);
  in->act = US_TAKE(a, float, action + 1);
  in->blocks = US_TAKE(a, float, block* action + 1);
  in->plan = US_TAKE(a, float, replan* block* action + 1);
  in->pixels = US_TAKE(a, uint8_t, frame);
  in->proprio = US_TAKE(a, float, (size_t)info->proprio + 1);
  in->snapshot = US_TAKE(a, char, us_env_save_size(s->sim));
}

static UsStatus open_sim(UsShow* s) {
  // The task is the one asked for, else the data's, else the model's.
  const UsEnvInfo* model = s->dream ? us_env_info(s->dream) : NULL;
  const char* task = s->config.task;
  if (!task) task = s->own->data ? us_dataset_info(s->own->data)->task : model->task;
  UsEnvConfig config = {.slots = 1, .block = 1, .pool = s->config.pool, .gl = s->config.gl};
  // Frames of the truth are as large as those that the model knows.
  if (model && model->height > 0) {
    config.height = model->height;
    config.width = model->width;
    config.pixels = 1;
  }
  // They are of the camera that the model knows, or else of the data's.
  const UsDatasetInfo* data = s->own->data ? us_dataset_info(s->own->data) : NULL;
  if (model && model->camera[0]) {
    config.camera = model->camera;
    config.camera_pose = model->camera_pose;
  } else if (data && data->camera_pose[0] && strcmp(data->task, task) == 0) {
    config.camera = data->camera;
    config.camera_pose = data->camera_pose;
  }
  // What a robot sends is shown.
  const UsTask* known = us_cli_task(task);
  if (known && known->exec) config.pixels = 1;
  US_TRY(us_cli_open_sim(task, &config, &s->sim));
  s->own->task = us_sim_task(s->sim);
  if (!model || strcmp(model->task, us_env_info(s->sim)->task) == 0) return US_OK;
  return us_fail(US_FORMAT, "%s: expected a model of the task \"%s\", found \"%s\"",
                 s->config.model, us_env_info(s->sim)->task, model->task);
}

static UsStatus check_data(UsShow* s) {
  if (!s->own->data) return US_OK;
  // Another task, or another version of this one, cannot be replayed.
  const UsDatasetInfo* d = us_dataset_info(s->own->data);
  const UsEnvInfo* sim = us_env_info(s->sim);
  if (strcmp(d->task, sim->task) != 0) {
    return us_fail(US_FORMAT, "%s: expected trajectories of the task \"%s\", found \"%s\"",
                   s->config.data, sim->task, d->task);
  }
  if (d->action == 0) {
    return us_fail(US_FORMAT, "%s: expected trajectories with actions, found film without",
                   s->config.data);
  }
  if (d->state != sim->state || d->action != sim->action) {
    return us_fail(US_FORMAT,
                   "%s: expected states of %d and actions of %d numbers as %s has, found %d and %d",
                   s->config.data, sim->state, sim->action, sim->name, d->state, d->action);
  }
  if (d->variation == 0) return US_OK;
  return us_vary_read(s->config.data, d->variation_names, d->variation, s->sim, &s->vary);
}

static UsStatus open_all(UsShow* s) {
  // Data first, then the model, then the simulator that has to fit both.
  if (s->config.data) US_TRY(us_dataset_open(s->config.data, &s->own->data));
  int64_t episodes = s->own->data ? us_dataset_info(s->own->data)->episodes : INT64_MAX;
  if (s->config.episode >= episodes) {
    return us_fail(US_USAGE, "%s: expected an episode from 0 to %lld, found %lld", s->config.data,
                   (long long)episodes - 1, (long long)s->config.episode);
  }
  UsEnvConfig config = {.slots = 1, .pool = s->config.pool, .device = s->config.device};
  if (s->config.model) US_TRY(us_cli_open_model(s->config.model, &config, &s->dream));
  US_TRY(open_sim(s));
  US_TRY(check_data(s));
  // A goal that was named, with a frame as the model sees it.
  if (s->config.goal) {
    const UsEnvInfo* model = s->dream ? us_env_info(s->dream) : NULL;
    US_TRY(us_goal_read(s->config.goal, s->sim, model ? model->height : 0, model ? model->width : 0,
                        &s->own->goal));
    if (!s->own->goal.state) s->aim = s->own->goal.pixels;
  }
  US_TRY(us_task_settings(s->own->task, "eval", s->config.given, us_planner_settings,
                          &s->config.plan));
  US_TRY(us_sim_find_policy(s->own->task, s->config.policy, &s->policy));
  const UsEnvInfo* info = us_env_info(s->sim);
  s->block = s->dream ? us_env_info(s->dream)->block : s->own->task->block;
  // Long env steps are shown as several states.
  s->inner = info->dt > longest_step ? (int)ceil(info->dt * inner_rate) : 1;
  if (s->own->task->exec) s->inner = 1;
  if (s->inner > s->own->task->frame_skip) s->inner = s->own->task->frame_skip;
  if (s->inner > 1) s->own->physics = mj_makeData(us_sim_model(s->sim));
  // Memory is measured, taken, and laid out.
  layout(&s->own->arena, s);
  US_TRY(us_arena_alloc(&s->own->arena));
  layout(&s->own->arena, s);
  // A model that cannot draw imagines nothing to look at; the show says so.
  UsStatus status = s->dream ? us_env_render(s->dream, 1, &slot, s->picture) : US_OK;
  s->undrawn = status == US_UNSUPPORTED;
  if (status != US_OK && !s->undrawn) return status;
  if (s->undrawn) {
    us_env_close(s->dream);
    s->dream = NULL;
  }
  // The first episode starts when the mode is known.
  s->episode = -1;
  US_TRY(us_show_take_mode(s, s->config.mode));
  return us_show_reset(s, s->config.seed, 1);
}

UsStatus us_show_open(const UsShowConfig* config, UsShow* out) {
  *out = (UsShow){.config = *config, .own = calloc(1, sizeof(Inner))};
  if (!out->own) return us_fail(US_MEMORY, "out of memory");
  US_ASSERT(config->task || config->model || config->data);
  UsStatus status = open_all(out);
  if (status != US_OK) us_show_close(out);
  return status;
}

void us_show_close(UsShow* s) {
  if (!s->own) return;
  us_planner_destroy(s->own->planner);
  us_env_close(s->own->answer);
  us_env_close(s->dream);
  mj_deleteData(s->own->physics);
  us_env_close(s->sim);
  us_dataset_close(s->own->data);
  us_goal_free(&s->own->goal);
  us_arena_free(&s->own->arena);
  free(s->own);
  *s = (UsShow){0};
}
