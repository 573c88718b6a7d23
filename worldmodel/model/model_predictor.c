// The kind `predictor`: the DINO-world predictor (predictor.h) as a world model.

#include "worldmodel/predictor.h"
#include "worldmodel/world_model.h"

// A model of this kind is a predictor.
static const UsPredictor* of(const UsWorldModel* m) {
  return (const UsPredictor*)m;
}

// ---- files ----

static UsStatus predictor_open(const char* name, const cJSON* config, const char* weights,
                               UsWorldModel** out) {
  UsPredictorConfig c;
  UsPredictor* p;
  *out = NULL;
  // Sizes from the config, then weights that fit them.
  US_TRY(us_predictor_config_parse(name, config, &c));
  US_TRY(us_predictor_create(name, &c, &p));
  UsStatus status = us_predictor_load(p, weights);
  if (status != US_OK) {
    us_predictor_destroy(p);
    return status;
  }
  *out = (UsWorldModel*)p;
  return US_OK;
}

static cJSON* predictor_config(const UsWorldModel* m) {
  return us_predictor_config_json(us_predictor_config(of(m)));
}

static UsStatus predictor_save(const UsWorldModel* m, const char* weights) {
  return us_predictor_save(of(m), weights);
}

static void predictor_destroy(UsWorldModel* m) {
  us_predictor_destroy((UsPredictor*)m);
}

// ---- rollouts ----

static void predictor_normalise(const UsWorldModel* m, int rows, const float* x, float* z) {
  us_predictor_normalise(of(m), rows, x, z);
}

static void predictor_denormalise(const UsWorldModel* m, int rows, const float* z, float* x) {
  us_predictor_denormalise(of(m), rows, z, x);
}

static UsRolloutWork* predictor_work(const UsWorldModel* m, int candidates) {
  return us_predictor_work_create(of(m), candidates);
}

// The cache is the context's keys and values.
static void predictor_observe(const UsWorldModel* m, UsRolloutWork* w, const float* context,
                              const double* times, float* cache) {
  us_predictor_cache(of(m), w, context, times, cache);
}

static void predictor_rollout(const UsWorldModel* m, UsRolloutWork* w, const UsRollout* r) {
  us_predictor_rollout(of(m), w, r);
}

// The kind's table.
const UsWorldModelClass us_world_model_predictor = {
    .kind = "predictor",
    .open = predictor_open,
    .config = predictor_config,
    .save = predictor_save,
    .destroy = predictor_destroy,
    .normalise = predictor_normalise,
    .denormalise = predictor_denormalise,
    .work_create = predictor_work,
    .work_destroy = us_predictor_work_destroy,
    .observe = predictor_observe,
    .rollout = predictor_rollout,
};
