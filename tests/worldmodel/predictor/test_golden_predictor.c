// The predictor against PyTorch (golden/make_predictor.py): predictions, losses, gradients, and the
// losses of ten steps of AdamW.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/worldmodel/golden.h"
#include "tests/worldmodel/on_device.h"
#include "worldmodel/predictor.h"

enum { STEPS = 10 };

typedef struct Golden {
  UsTensors* file;
  cJSON* json;
  UsPredictor* p;
  UsLossConfig loss;
  UsBatch batch;
  UsTape* tape;
  float* gradient;  // (list floats) tensor memory
} Golden;

static double number(const cJSON* json, const char* key) {
  double x;
  assert_int_equal(us_json_number("golden", json, key, -1e9, 1e9, NULL, &x), US_OK);
  return x;
}

static void load_predictor(Golden* g) {
  UsPredictorConfig c;
  const cJSON* json = cJSON_GetObjectItemCaseSensitive(g->json, "predictor");
  assert_int_equal(us_predictor_config_parse("golden", json, &c), US_OK);
  c.device = test_device();
  assert_int_equal(us_predictor_create("golden", &c, &g->p), US_OK);
  const UsParamList* list = us_predictor_list(g->p);
  float* host = calloc(list->floats, sizeof(float));
  if (us_params_read(list, g->file, "weights.", 0, host) != US_OK) fail_msg("%s", us_message());
  us_ops_put(test_device(), us_predictor_params(g->p), host, list->floats);
  free(host);
  float *mean = golden_read(g->file, "mean", NULL), *scale = golden_read(g->file, "scale", NULL);
  us_predictor_set_norm(g->p, mean, scale[0]);
  free(mean), free(scale);
}

static Golden open_golden(const char* name) {
  Golden g = {0};
  g.file = golden_open(name, "config", &g.json);
  load_predictor(&g);
  const cJSON* json = cJSON_GetObjectItemCaseSensitive(g.json, "loss");
  g.loss = (UsLossConfig){.batch = (int)number(json, "batch"),
                          .frames = (int)number(json, "frames"),
                          .first = (int)number(json, "first"),
                          .rollout = (int)number(json, "rollout"),
                          .weight = (float)number(json, "weight"),
                          .beta = (float)number(json, "beta")};
  g.batch = (UsBatch){.batch = g.loss.batch,
                      .frames = g.loss.frames,
                      .latents = golden_read(g.file, "latents", NULL),
                      .times = golden_read(g.file, "times", NULL),
                      .actions = golden_read(g.file, "actions", NULL)};
  g.tape = us_tape_create(g.p, &g.loss);
  g.gradient = us_ops_alloc(test_device(), us_predictor_list(g.p)->floats);
  assert_true(g.tape && g.gradient);
  return g;
}

static void close_golden(Golden* g) {
  free(g->batch.latents), free(g->batch.times), free(g->batch.actions);
  us_ops_free(test_device(), g->gradient);
  us_tape_destroy(g->tape);
  us_predictor_destroy(g->p);
  us_tensors_close(g->file);
  cJSON_Delete(g->json);
}

static void check_predictions(const Golden* g) {
  const UsPredictorConfig* c = us_predictor_config(g->p);
  size_t one = (size_t)(g->loss.batch * c->grid_h * c->grid_w * c->dim);
  size_t nt = one * (size_t)(g->loss.frames - g->loss.first), nr = one * (size_t)g->loss.rollout;
  float *teacher = calloc(nt, sizeof(float)), *rollout = calloc(nr, sizeof(float));
  us_tape_predictions(g->tape, teacher, rollout);
  golden_compare(g->file, "teacher", nt, teacher, 1e-4);
  golden_compare(g->file, "rollout", nr, rollout, 1e-4);
  free(teacher), free(rollout);
}

// With action_only, tensors outside the action blocks must have no gradient.
static void check_gradient(const Golden* g, int action_only) {
  const UsParamList* list = us_predictor_list(g->p);
  float* host = calloc(list->floats, sizeof(float));
  us_ops_get(test_device(), g->gradient, host, list->floats);
  for (int i = 0; i < list->count; ++i) {
    const UsParam* p = &list->param[i];
    char tensor[US_TENSOR_NAME];
    snprintf(tensor, sizeof tensor, "gradient.%s", p->name);
    if (action_only && !(p->flags & US_PARAM_ACTION)) {
      for (size_t k = 0; k < p->count; ++k) assert_true(host[p->offset + k] == 0.0f);
    } else {
      golden_compare(g->file, tensor, p->count, host + p->offset, 1e-3);
    }
  }
  free(host);
}

static UsLosses loss(const Golden* g, int action_only) {
  us_ops_zero(test_device(), g->gradient, us_predictor_list(g->p)->floats);
  us_predictor_loss(g->p, g->tape, &g->batch, g->loss.batch, action_only, g->gradient, NULL);
  return us_tape_losses(g->tape);
}

static void close_to(double got, double expected) {
  if (!(fabs(got - expected) <= 1e-3 * fabs(expected) + 1e-7)) {
    fail_msg("got %.7g, expected %.7g", got, expected);
  }
}

// Ten steps; expected (STEPS + 1, 2): teacher and rollout loss before each step and at the end.
static void check_steps(const Golden* g, const float* expected) {
  const UsParamList* list = us_predictor_list(g->p);
  float *m = us_ops_alloc(test_device(), list->floats),
        *v = us_ops_alloc(test_device(), list->floats);
  float* x = us_predictor_params(g->p);
  UsPiece pieces[64];
  assert_true(list->count <= 64);
  for (int i = 0; i < list->count; ++i) {
    const UsParam* p = &list->param[i];
    double decay = p->flags & US_PARAM_DECAY ? number(g->json, "decay") : 0.0;
    assert_true(p->count <= US_PIECE);
    pieces[i] =
        (UsPiece){.at = p->offset, .count = (int)p->count, .factor = 1, .decay = (float)decay};
  }
  const UsPiece* there = tensor_bytes(pieces, sizeof(UsPiece) * (size_t)list->count);
  for (int step = 1; step <= STEPS + 1; ++step) {
    UsLosses l = loss(g, 0);
    close_to(l.teacher, expected[2 * step - 2]);
    close_to(l.rollout, expected[2 * step - 1]);
    const float beta1 = (float)number(g->json, "beta1"), beta2 = (float)number(g->json, "beta2");
    double when[3];
    us_ops_adamw_when((float)number(g->json, "rate"), beta1, beta2, step, when);
    us_ops_adamw(test_device(), list->count, there, tensor_bytes(when, sizeof(when)), beta1, beta2,
                 (float)number(g->json, "eps"), NULL, g->gradient, m, v, x);
  }
  us_ops_free(test_device(), m), us_ops_free(test_device(), v);
}

static void check(const char* name) {
  Golden g = open_golden(name);
  size_t count;
  float* expected = golden_read(g.file, "losses", &count);
  assert_int_equal(count, 2 * (STEPS + 1));
  UsLosses l = loss(&g, 0);
  close_to(l.teacher, expected[0]);
  close_to(l.rollout, expected[1]);
  check_predictions(&g);
  check_gradient(&g, 0);
  if (us_predictor_config(g.p)->action) {
    loss(&g, 1);
    check_gradient(&g, 1);
  }
  check_steps(&g, expected);
  free(expected);
  close_golden(&g);
  drop_tensors();
}

static void test_vector(void** state) {
  check("predictor_vector");
}
static void test_video(void** state) {
  check("predictor_video");
}
static void test_grid(void** state) {
  check("predictor_grid");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vector),
      cmocka_unit_test(test_video),
      cmocka_unit_test(test_grid),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
