// The viewer in variations: episodes and pairs of varied data look and move as the file says, and a
// planner's simulator imagines in the variation of the truth.

#include "tests/scripts/show_help.h"

// A simulator that stands where the show's truth does. like: in its variation, else in none.
static UsEnv* stand_in(const UsShow* s, int like) {
  char name[128];
  snprintf(name, sizeof(name), "sim:%s", us_sim_task(s->sim)->name);
  UsEnvConfig config = {.slots = 1, .block = s->block, .pixels = 1};
  UsEnv* sim;
  const int slot = 0;
  assert_int_equal(us_env_open(name, us_cli_tasks(), &config, &sim), US_OK);
  if (like) us_sim_vary(sim, &s->vary, 1, &slot, s->variation);
  UsObs now = {.state = s->state, .time = s->time, .first = 1}, goal = {.state = s->goal};
  assert_int_equal(us_env_set_goal(sim, 1, &slot, &goal), US_OK);
  assert_int_equal(us_env_observe(sim, 1, &slot, &now), US_OK);
  return sim;
}

// The first action of a plan that is made in a simulator which stands in: action (A).
static void plan_beside(const UsShow* s, int like, float* action) {
  UsEnv* sim = stand_in(s, like);
  const int slot = 0, width = us_env_info(sim)->action;
  UsPlanner* planner;
  assert_int_equal(us_planner_create("cem", sim, &s->config.plan, &planner), US_OK);
  float* plan = calloc((size_t)(s->config.plan.replan * s->block * width), sizeof(float));
  us_planner_start(planner, 1, &slot, &s->seed);
  us_planner_plan(planner, 1, &slot, plan);
  for (int i = 0; i < width; i++) action[i] = fminf(fmaxf(plan[i], -1), 1);
  free(plan);
  us_planner_destroy(planner);
  us_env_close(sim);
}

// The next step of a show in plan mode is what a simulator in its variation plans, and no other.
static void check_plan(UsShow* s) {
  float with[US_TASK_ACTIONS], without[US_TASK_ACTIONS];
  size_t size = sizeof(float) * (size_t)us_env_info(s->sim)->action;
  plan_beside(s, 1, with);
  plan_beside(s, 0, without);
  assert_int_equal(us_show_step(s, NULL), US_OK);
  assert_memory_equal(s->action, with, size);
  assert_memory_not_equal(s->action, without, size);
}

// The truth's frame is the data's; the panel is as bright and as coloured.
static void check_look(Here* h, UsDataset* d, int64_t row, double mean[3]) {
  const UsEnvInfo* info = us_env_info(h->show.sim);
  Image truth = image_new(info->height, info->width), want = image_new(info->height, info->width);
  const int slot = 0;
  assert_int_equal(us_env_render(h->show.sim, 1, &slot, truth.pixels), US_OK);
  assert_int_equal(us_dataset_pixels(d, row, 1, want.pixels), US_OK);
  assert_true(image_difference(&truth, &want) == 0);
  Image all = here_draw(h);
  UsBox p = us_stage_panel(h->stage);
  Image panel = image_cut(&all, (int)p.y, (int)p.x, kSide, kSide);
  double shown[3];
  image_mean(&want, mean);
  image_mean(&panel, shown);
  for (int k = 0; k < 3; k++) {
    if (fabs(mean[k] - shown[k]) > 8) fail_msg("row %d: %g, %g", (int)row, mean[k], shown[k]);
  }
  free(truth.pixels);
  free(want.pixels);
  free(all.pixels);
  free(panel.pixels);
}

static void test_replay_in_its_variation(void** state) {
  UsDataset* d;
  assert_int_equal(us_dataset_open(path_of("varied.h5"), &d), US_OK);
  UsShowConfig config = {.data = path_of("varied.h5"), .mode = US_VIEW_replay};
  Here h = here_open(&config, kSide);
  double mean[6][3], most = 0;
  for (int e = 0; e < 6; e++) {
    check_look(&h, d, us_dataset_offsets(d)[e], mean[e]);
    assert_int_equal(us_show_step(&h.show, NULL), US_OK);
    check_look(&h, d, us_dataset_offsets(d)[e] + 1, mean[e]);
    for (int k = 0; k < 3; k++) most = fmax(most, fabs(mean[e][k] - mean[0][k]));
    assert_int_equal(us_show_reset(&h.show, 0, 0), US_OK);
  }
  assert_true(most > 20);  // episodes do look different
  assert_int_equal(us_show_set_mode(&h.show, US_VIEW_plan), US_OK);
  check_plan(&h.show);
  assert_int_equal(us_show_set_mode(&h.show, US_VIEW_policy), US_OK);
  assert_int_equal(us_show_reset(&h.show, 5, 0), US_OK);  // a start of the task's own
  assert_null(h.show.variation);
  assert_ptr_equal(us_sim_slot_model(h.show.sim, 0), us_sim_model(h.show.sim));
  here_close(&h);
  us_dataset_close(d);
}

static void test_plan_in_the_variation_of_the_truth(void** state) {
  UsShowConfig config = {.data = path_of("varied.h5"), .mode = US_VIEW_plan};
  Here h = here_open(&config, 64);
  int solved = 0;
  for (uint64_t seed = 0; seed < 4; seed++) {
    assert_int_equal(us_show_reset(&h.show, seed, 0), US_OK);
    assert_non_null(h.show.variation);
    check_plan(&h.show);
    while (!h.show.over) assert_int_equal(us_show_step(&h.show, NULL), US_OK);
    solved += h.show.first_hit > 0;
  }
  assert_true(solved >= 3);
  here_close(&h);
}

// Physics steps of an action from a state, in a model: state (S), in place.
static void play_inside(const UsTask* t, const mjModel* m, const float* action, int steps,
                        double* state) {
  mjData* d = mj_makeData(m);
  mju_copy(d->qpos, state, m->nq);
  mju_copy(d->qvel, state + m->nq, m->nv);
  mj_kinematics(m, d);
  t->control(m, d, action);
  for (int i = 0; i < steps; i++) mj_step(m, d);
  mju_copy(state, d->qpos, m->nq);
  mju_copy(state + m->nq, d->qvel, m->nv);
  mj_deleteData(d);
}

static void test_inner_states_in_the_variation(void** state) {
  DONE(
      "collect --task pusht --episodes 1 --steps 20 --vary strength,damping --vary-range test "
      "--out %s",
      path_of("long.h5"));
  UsShowConfig config = {.data = path_of("long.h5"), .mode = US_VIEW_replay};
  Here h = here_open(&config, 64);
  UsShow* s = &h.show;
  const UsTask* t = us_sim_task(s->sim);
  size_t size = sizeof(double) * (size_t)us_env_info(s->sim)->state;
  double varied[64], plain[64];
  assert_true(s->inner > 1 && size <= sizeof(plain));
  int differs = 0;
  for (int i = 0; i < 20; i++) {
    memcpy(varied, s->state, size);
    memcpy(plain, s->state, size);
    assert_int_equal(us_show_step(s, NULL), US_OK);
    int steps = t->frame_skip / s->inner;
    play_inside(t, us_sim_slot_model(s->sim, 0), s->action, steps, varied);
    play_inside(t, us_sim_model(s->sim), s->action, steps, plain);
    assert_memory_equal(s->inside, varied, size);
    differs += memcmp(plain, varied, size) != 0;
  }
  assert_true(differs > 0);
  here_close(&h);
}

int main(void) {
  setenv("LP_NUM_THREADS", "0", 0);
  if (!mkdtemp(folder)) return 1;
  Run made = command(
      "collect --task pointmaze --episodes 6 --steps 60 --seed 3 --vary light,colour,physical "
      "--vary-range test --out %s",
      path_of("varied.h5"));
  if (made.code != 0) printf("exit %d: %s\n", made.code, made.err);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_replay_in_its_variation),
      cmocka_unit_test(test_plan_in_the_variation_of_the_truth),
      cmocka_unit_test(test_inner_states_in_the_variation),
  };
  int failed = cmocka_run_group_tests_name("view_vary", tests, NULL, NULL);
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line) != 0 || failed;
}
