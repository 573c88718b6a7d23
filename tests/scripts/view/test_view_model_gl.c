// A model whose encoder is a plain ViT, as DINOv2's are, has nothing to draw its latents with: the
// env says so, and the viewer shows words where the imagined picture would stand.

#include "tests/scripts/show_help.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/vit.h"

enum { kFrame = 16, kPatch = 8, kHidden = 8, kTokens = 4, kContexts = 2 };

// Random weights for frames of 16 x 16 px of a task with two actions.
static void make_model(const char* task, int block) {
  const UsVitConfig c = {.height = kFrame,
                         .width = kFrame,
                         .patch = kPatch,
                         .hidden = kHidden,
                         .layers = 1,
                         .heads = 2,
                         .mlp = 16,
                         .cls = 1,
                         .eps = 1e-6f,
                         .std = {1, 1, 1}};
  UsVit* v;
  UsEncoder* e;
  UsPredictor* p;
  assert_int_equal(us_vit_create(&c, &v), US_OK);
  float* weights = calloc(v->params.floats, sizeof(float));
  us_params_init(&v->params, 1, 0, weights);
  assert_int_equal(us_encoder_make_vit(&c, weights, NULL, &e), US_OK);
  assert_int_equal(us_encoder_info(e)->decoder, 0);
  UsPredictorConfig config = us_predictor_config_default(2, 2, kHidden, block, 2);
  config.width = 16;
  config.depth = 1;
  config.heads = 2;
  config.action_hidden = 8;
  assert_int_equal(us_predictor_create("test", &config, &p), US_OK);
  assert_int_equal(us_predictor_init(p, 1), US_OK);
  float* context = calloc(kContexts * 2 * kTokens * kHidden, sizeof(float));
  float* past = calloc((size_t)(kContexts * block * 2), sizeof(float));
  UsStatus status = us_model_save(path_of("model"), &(UsModelParts){.task = task,
                                                                    .dt = 0.05,
                                                                    .model = us_predictor_model(p),
                                                                    .encoder = e,
                                                                    .contexts = kContexts,
                                                                    .context = context,
                                                                    .past = past});
  if (status != US_OK) fail_msg("%s", us_message());
  free(context);
  free(past);
  free(weights);
  us_vit_destroy(v);
  us_encoder_destroy(e);
  us_predictor_destroy(p);
}

static int make(void** state) {
  if (!mkdtemp(folder)) return 1;
  make_model("wall", us_cli_task("wall")->block);
  return 0;
}

static int drop(void** state) {
  char line[128];
  snprintf(line, sizeof(line), "rm -rf '%s'", folder);
  return system(line);
}

static void test_env(void** state) {
  static uint8_t pixels[kFrame * kFrame * 3];
  const int slot = 0;
  UsEnv* e;
  UsObs obs = {.pixels = pixels};
  assert_int_equal(us_cli_open_model(path_of("model"), NULL, &e), US_OK);
  assert_int_equal(us_env_render(e, 1, &slot, pixels), US_UNSUPPORTED);
  assert_non_null(strstr(us_message(), "no decoder"));
  assert_int_equal(us_env_look(e, 1, &slot, &obs), US_UNSUPPORTED);
  us_env_close(e);
}

static void test_pane(void** state) {
  UsShowConfig config = {.model = path_of("model"), .seed = 1, .mode = US_VIEW_policy};
  Here h = here_open(&config, 128);
  assert_int_equal(us_show_step(&h.show, NULL), US_OK);
  Image all = here_draw(&h);
  UsBox truth = us_stage_panel(h.stage);
  int left = (int)(truth.x + truth.width), side = (int)truth.height;
  assert_true(all.width >= left + side);  // a pane stands beside the simulator's
  Image pane = image_cut(&all, (int)truth.y + 4, left + 16, side - 8, side - 8);
  int ink = 0;
  for (int i = 0; i < pane.height * pane.width; i++) ink += pane.pixels[3 * i] < 200;
  assert_true(ink > 100 && ink < pane.height * pane.width / 5);  // words on white
  free(pane.pixels);
  free(all.pixels);
  here_close(&h);
}

static void test_program(void** state) {
  DONE("view --model %s --policy random --steps 3 --size 64 --record %s", path_of("model"),
       path_of("sheet.png"));
  Image sheet = image_png(path_of("sheet.png"));
  assert_non_null(sheet.pixels);
  free(sheet.pixels);
  Run r = command("inspect %s", path_of("model"));
  assert_int_equal(r.code, 0);
  assert_non_null(strstr(r.out, "encoder vit, 4 tokens"));
  assert_null(strstr(r.out, "with a decoder"));
  assert_non_null(strstr(r.out, "no success head"));
}

// A picture is a goal for the model alone, a state one for both; without a model a picture is none.
static void test_goal(void** state) {
  char row[512];
  UsShowConfig config = {.model = path_of("model"), .seed = 1, .mode = US_VIEW_plan};
  config.plan = us_planner_defaults();
  config.plan.samples = 8, config.plan.elites = 2, config.plan.iterations = 1;
  config.goal = path_of("sheet.png");  // of test_program
  Here h = here_open(&config, 128);
  assert_true(!h.show.has_goal && h.show.aim != NULL);
  for (int i = 0; i < 6; i++) assert_int_equal(us_show_step(&h.show, NULL), US_OK);
  Image all = here_draw(&h);
  int ink = 0;
  for (int i = 0; i < all.height * all.width; i++) ink += all.pixels[3 * i] < 200;
  assert_true(ink > 0);
  free(all.pixels);
  here_close(&h);
  config.goal = "0.5,0.25,0,0";
  h = here_open(&config, 128);
  assert_true(h.show.has_goal && !h.show.aim && h.show.goal[0] == 0.5 && h.show.goal[1] == 0.25);
  assert_int_equal(us_show_step(&h.show, NULL), US_OK);
  assert_true(h.show.distance > 0);
  here_close(&h);
  UsShow none;
  config.model = NULL, config.task = "wall", config.goal = path_of("sheet.png");
  assert_int_equal(us_show_open(&config, &none), US_UNSUPPORTED);
  assert_non_null(strstr(us_message(), "found a picture"));
  snprintf(row, sizeof(row), "%s:3", path_of("none.h5"));
  config.goal = row;
  assert_int_equal(us_show_open(&config, &none), US_IO);
  Run r = command(
      "view --model %s --plan cem --samples 8 --elites 4 --goal %s --steps 5 --size 64 "
      "--record %s",
      path_of("model"), path_of("sheet.png"), path_of("to.png"));
  if (r.code) fail_msg("%s%s", r.out, r.err);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_env),
      cmocka_unit_test(test_pane),
      cmocka_unit_test(test_program),
      cmocka_unit_test(test_goal),
  };
  return cmocka_run_group_tests(tests, make, drop);
}
