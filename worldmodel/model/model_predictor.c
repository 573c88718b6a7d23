// The kind `predictor`: the DINO-world predictor (predictor.h) as a world model.

#include "worldmodel/predictor.h"
#include "worldmodel/world_model.h"

// A model of this kind is a predictor.
static const UsPredictor* of(const UsWorldModel* m) {
  return (const UsPredictor*)m;
}

// ---- files ----

static UsStatus predictor_open(const char* name, const cJSON* config, const char* weights,
                               UsDevice* device, UsWorldModel** out) {
  UsPredictorConfig c;
  UsPredictor* p;
  *out = NULL;
  // Sizes from the config, then weights that fit them.
  US_TRY(us_predictor_config_parse(name, config, &c));
  c.device = device;
  US_TRY(us_predictor_create(name, &c, &p));
  UsStatus status = us_predictor_load(p, weights);
  if (status != US_OK) {
    us_predictor_destroy(p);
    return status;
  }
  *out = (UsWorldModel*)p;
  return US_OK;
}

// What follows hands calls on to the predictor's own functions.
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

static UsRolloutWork* predictor_work(const UsWorldModel* m, int candidates, int horizon) {
  return us_predictor_work_create(of(m), candidates, horizon);
}

// The cache is the context's keys and values.
static void predictor_observe(const UsWorldModel* m, UsRolloutWork* w, int n, const int* slot,
                              const float* contexts, const double* times, float* caches) {
  us_predictor_cache(of(m), w, n, slot, contexts, times, caches);
}

static void predictor_rollout(const UsWorldModel* m, UsRolloutWork* w, const UsRollout* r) {
  us_predictor_rollout(of(m), w, r);
}

// ---- training ----

static const UsParamList* predictor_list(const UsWorldModel* m) {
  return us_predictor_list(of(m));
}
static float* predictor_params(const UsWorldModel* m) {
  return us_predictor_params(of(m));
}

static void predictor_norm(const UsWorldModel* m, float* mean, float* scale) {
  us_predictor_norm(of(m), mean, scale);
}
static void predictor_set_norm(UsWorldModel* m, const float* mean, float scale) {
  us_predictor_set_norm((UsPredictor*)m, mean, scale);
}

// Losses and their gradients, on a tape.
static UsTape* predictor_tape(const UsWorldModel* m, const UsLossConfig* c) {
  return us_tape_create(of(m), c);
}
static double predictor_tape_bytes(const UsWorldModel* m, const UsLossConfig* c) {
  return us_tape_bytes(of(m), c);
}

static void predictor_load(const UsWorldModel* m, UsTape* t, const UsBatch* shard) {
  us_tape_load(of(m), t, shard);
}

static void predictor_loss(const UsWorldModel* m, UsTape* t, const UsBatch* shard, int total,
                           int action_only, float* gradient, double* sums) {
  us_predictor_loss(of(m), t, shard, total, action_only, gradient, sums);
}

static UsStatus predictor_balance(UsWorldModel* m, const UsTape* t, int samples) {
  return us_predictor_balance((UsPredictor*)m, t, samples);
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
    .list = predictor_list,
    .params = predictor_params,
    .norm = predictor_norm,
    .set_norm = predictor_set_norm,
    .tape_create = predictor_tape,
    .tape_bytes = predictor_tape_bytes,
    .tape_destroy = us_tape_destroy,
    .load = predictor_load,
    .loss = predictor_loss,
    .errors = us_tape_error_sums,
    .balance = predictor_balance,
};
