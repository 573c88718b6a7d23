// The training loop: schedule, progress, log, validation, checkpoints.

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worldmodel/base/file.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/ops.h"
#include "worldmodel/tensor_file.h"
#include "worldmodel/training/train_inner.h"

enum { kLogEvery = US_TRAIN_UNREAD };

// ---- checkpoint ----

#define X(type, name) +1
enum { kNumbers = 0 TRAIN_STATE(X) };
#undef X

// The tensors of a checkpoint in host, ordinary memory: parameters, moments, best (floats each),
// mean (D), scale.
static int list_tensors(const UsTrainer* t, float* host, UsTensorOut out[6]) {
  const size_t floats = t->m->cls->list(t->m)->floats;
  const int64_t n = (int64_t)floats, d = t->m->dim;
  const char* const names[] = {"params", "m", "v", "best"};
  for (int i = 0; i < 4; i++) out[i] = (UsTensorOut){names[i], 1, {n}, host + (size_t)i * floats};
  out[4] = (UsTensorOut){"mean", 1, {d}, host + 4 * floats};
  out[5] = (UsTensorOut){"scale", 1, {1}, host + 4 * floats + d};
  return 6;
}

static float* make_host(const UsTrainer* t) {
  size_t d = (size_t)t->m->dim;
  return malloc((4 * t->m->cls->list(t->m)->floats + d + 1) * sizeof(float));
}

UsStatus us_trainer_save(UsTrainer* t, const char* path, const char* key) {
  size_t floats = t->m->cls->list(t->m)->floats, d = (size_t)t->m->dim;
  float* host = make_host(t);
  if (!host) return us_fail(US_MEMORY, "%s: out of memory", path);
  // Steps that came to nothing do not count.
  const UsTrainStep* unread;
  us_trainer_figures(t, &unread);
  // Tensors: one read of each from the device.
  us_optimiser_get(t->optimiser, host);
  us_ops_get(t->m->device, t->best, host + 3 * floats, floats);
  t->m->cls->norm(t->m, host + 4 * floats, host + 4 * floats + d);
  UsTensorOut out[6];
  int tensors = list_tensors(t, host, out), n = 0;
  // The state stands as texts in the file's metadata, the key behind it.
  char text[kNumbers][32];
  const char *keys[kNumbers + 1], *values[kNumbers + 1];
#define X(type, name)                                              \
  snprintf(text[n], sizeof(text[n]), "%.17g", (double)t->at.name); \
  keys[n] = #name;                                                 \
  values[n] = text[n];                                             \
  n++;
  TRAIN_STATE(X)
#undef X
  keys[n] = "key";
  values[n++] = key;
  UsStatus status = us_device_check(t->m->device, path);
  if (status == US_OK) status = us_tensors_write(path, tensors, out, n, keys, values);
  free(host);
  return status;
}

// A number of the state; whole: one that has no fraction, and is finite.
static UsStatus read_number(const char* path, const UsTensors* file, const char* name, int whole,
                            double* out) {
  const char* text = us_tensors_metadata(file, name);
  char* end = NULL;
  *out = text ? strtod(text, &end) : 0;
  if (text && *text && !*end && (!whole || (*out >= 0 && *out <= INT32_MAX))) return US_OK;
  return us_fail(US_FORMAT, "%s: expected the number \"%s\" of a training state, found \"%s\"",
                 path, name, text ? text : "nothing");
}

// Reads into host, then takes everything over.
static UsStatus load_from(UsTrainer* t, const char* path, const char* key, const UsTensors* file,
                          float* host) {
  size_t floats = t->m->cls->list(t->m)->floats;
  const char* found = us_tensors_metadata(file, "key");
  if (!found) return us_fail(US_FORMAT, "%s: expected a checkpoint, found none", path);
  if (strcmp(found, key) != 0) {
    return us_fail(US_FORMAT,
                   "%s: expected a checkpoint of the same data and options (%s), found %s", path,
                   key, found);
  }
  // Tensors with their shapes, which refuse a checkpoint of other sizes.
  UsTensorOut part[6];
  int tensors = list_tensors(t, host, part);
  for (int i = 0; i < tensors; i++) {
    US_TRY(us_tensors_read(file, part[i].name, 1, part[i].shape, (float*)part[i].data));
  }
  // The state, number by number.
  TrainState at;
  double x;
#define X(type, name)                                         \
  US_TRY(read_number(path, file, #name, (type)0.5 == 0, &x)); \
  at.name = (type)x;
  TRAIN_STATE(X)
#undef X
  float scale = *(const float*)part[5].data;
  if (!(scale > 0)) return us_fail(US_FORMAT, "%s: expected a scale, found %g", path, scale);
  // All of it is good: the trainer changes only now.
  t->at = at;
  us_optimiser_put(t->optimiser, host);
  us_ops_put(t->m->device, t->best, host + 3 * floats, floats);
  t->m->cls->set_norm(t->m, host + 4 * floats, scale);
  return US_OK;
}

UsStatus us_trainer_load(UsTrainer* t, const char* path, const char* key) {
  UsTensors* file = NULL;
  US_TRY(us_tensors_open(path, &file));
  float* host = make_host(t);
  UsStatus status =
      host ? load_from(t, path, key, file, host) : us_fail(US_MEMORY, "%s: out of memory", path);
  free(host);
  us_tensors_close(file);
  return status;
}

// ---- log ----

// Keeps the lines of an earlier run up to `step`, so that a resumed log has every step once.
static UsStatus trim_log(const char* path, int64_t step) {
  void* data = NULL;
  size_t size = 0;
  if (!us_file_exists(path)) return US_OK;
  US_TRY(us_file_read(path, 0, &data, &size));
  char* text = data;
  size_t kept = 0;
  while (kept < size) {
    char* end = memchr(text + kept, '\n', size - kept);
    long long found;
    if (!end || sscanf(text + kept, "{\"step\": %lld", &found) != 1 || found > step) break;
    kept = (size_t)(end - text) + 1;
  }
  UsStatus status = us_file_write(path, data, kept);
  free(data);
  return status;
}

// ---- loop ----

// A run of the loop over a trainer.
typedef struct Loop {
  UsTrainer* t;
  const UsTrainRun* run;
  FILE* log;
  UsProgress bar;
  double started, saved;  // s on the clock
  double before;          // s of training in earlier runs
  int every;              // steps between two reads of their figures
  char note[96];          // of the bar
} Loop;

// How far the run is, in [0, 1]: by steps, by minutes, or by what ends first.
static double progress(const Loop* l) {
  const UsTrainConfig* c = &l->t->c;
  double by_steps = c->steps > 0 ? (double)l->t->at.step / (double)c->steps : 0;
  if (c->steps > 0 && !(c->minutes > 0)) return by_steps;
  return fmax(by_steps, l->t->at.elapsed / (60 * c->minutes));
}

// Saves the state, if the run has a place for it.
static UsStatus checkpoint(Loop* l) {
  l->saved = us_seconds();
  // The lines of the log are out before a checkpoint says that their steps were taken.
  if (l->log && (fflush(l->log) != 0 || ferror(l->log))) {
    return us_fail(US_IO, "%s: cannot be written: %s", l->run->log, strerror(errno));
  }
  if (!l->run->checkpoint) return US_OK;
  return us_trainer_save(l->t, l->run->checkpoint, l->run->key ? l->run->key : "");
}

// Adds a step to the sums and, every so many, writes their means: a line of the log and the note of
// the bar. The sums are part of the state, so a resumed log has the same lines.
static void log_step(Loop* l, const UsTrainStep* s) {
  UsTrainer* t = l->t;
  t->at.loss += s->teacher;
  t->at.rollout += s->rollout;
  t->at.count++;
  if (s->step % kLogEvery != 0) return;
  char text[4][US_NUMBER_CHARS];
  double loss = t->at.loss / t->at.count, rollout = t->at.rollout / t->at.count;
  snprintf(l->note, sizeof(l->note), "loss %.4f  held-back %.3f / %.3f of copy-last", loss,
           t->at.one_step, t->at.open_loop);
  if (l->log) {
    fprintf(l->log,
            "{\"step\": %lld, \"loss\": %s, \"rollout\": %s, \"norm\": %s, \"rate\": %s, "
            "\"seconds\": %.3f}\n",
            (long long)s->step, us_json_format(text[0], "%.6g", loss),
            us_json_format(text[1], "%.6g", rollout), us_json_format(text[2], "%.4g", s->norm),
            us_json_format(text[3], "%.4g", s->rate), t->at.elapsed);
  }
  t->at.loss = t->at.rollout = 0;
  t->at.count = 0;
}

static void keep_validation(UsTrainer* t, UsValidation v) {
  t->at.one_step = v.one_step;
  t->at.open_loop = v.open_loop;
}

// Reads what the steps since the last read were. The device had them in hand until here, and its
// numbers count only if it did not fail.
static UsStatus read_steps(Loop* l) {
  const UsTrainStep* step;
  int n = us_trainer_figures(l->t, &step);
  US_TRY(us_device_check(l->t->m->device, "training"));
  for (int i = 0; i < n; i++) {
    const UsTrainStep* s = &step[i];
    // The checkpoint on disk is left as it is: its weights are good.
    if (!s->finite) {
      return us_fail(US_DIVERGED, "training: step %lld: the loss is not finite (%g); %s%s",
                     (long long)s->step, s->teacher + s->rollout,
                     l->run->checkpoint ? "the last good weights are in " : "no checkpoint",
                     l->run->checkpoint ? l->run->checkpoint : "");
    }
    log_step(l, s);
  }
  return US_OK;
}

// Validates, once a step, and keeps the best weights; *done = 1 when patience is at its end.
static UsStatus validate(Loop* l, int* done) {
  UsTrainer* t = l->t;
  *done = t->c.patience > 0 && t->at.worse >= t->c.patience;
  if (t->at.validated == t->at.step) return US_OK;
  UsValidation v = us_trainer_validate(t);
  US_TRY(us_device_check(t->m->device, "training"));
  if (us_interrupted()) return US_OK;
  keep_validation(t, v);
  t->at.validated = t->at.step;
  // A line of the log of its own, out at once: people watch it.
  if (l->log && t->held.fill) {
    char text[2][US_NUMBER_CHARS];
    fprintf(l->log, "{\"step\": %lld, \"one_step\": %s, \"open_loop\": %s}\n",
            (long long)t->at.step, us_json_format(text[0], "%.6g", v.one_step),
            us_json_format(text[1], "%.6g", v.open_loop));
    fflush(l->log);
  }
  // Patience: better weights are kept, and so many validations without any end the run.
  if (t->c.patience <= 0 || !t->held.fill) return US_OK;
  if (v.open_loop < t->at.best_error) {
    t->at.best_error = v.open_loop;
    t->at.worse = 0;
    us_ops_copy(t->m->device, t->m->cls->params(t->m), t->best, t->m->cls->list(t->m)->floats);
  } else {
    t->at.worse++;
  }
  *done = t->at.worse >= t->c.patience;
  return US_OK;
}

static UsStatus loop(Loop* l) {
  UsTrainer* t = l->t;
  double every = l->run->checkpoint_seconds > 0 ? l->run->checkpoint_seconds : 30;
  int done = t->c.patience > 0 && t->at.worse >= t->c.patience, unread = 0;
  // A validation that was stopped is made up for when the run goes on.
  if (t->at.step > 0 && t->at.step % t->c.validate_every == 0) US_TRY(validate(l, &done));
  while (!done && progress(l) < 1 && !us_interrupted()) {
    if (!us_trainer_step(t, progress(l))) break;
    t->at.elapsed = l->before + us_seconds() - l->started;
    // What steps were is read for a line of the log, before a validation and before a checkpoint.
    int measured = t->at.step % t->c.validate_every == 0, saved = us_seconds() - l->saved > every;
    if (++unread >= l->every || t->at.step % kLogEvery == 0 || measured || saved) {
      US_TRY(read_steps(l));
      unread = 0;
    }
    us_progress_show(&l->bar, t->c.steps > 0 ? (double)t->at.step : t->at.elapsed, l->note);
    if (measured) US_TRY(validate(l, &done));
    if (saved && !us_interrupted()) US_TRY(checkpoint(l));
  }
  // The end: the last weights are measured. Or the caller wants to stop: the state is kept.
  US_TRY(read_steps(l));
  if (!us_interrupted()) US_TRY(validate(l, &done));
  if (!us_interrupted()) return US_OK;
  US_TRY(checkpoint(l));
  return us_fail(US_INTERRUPTED, "training: stopped at step %lld; --resume continues",
                 (long long)t->at.step);
}

static UsStatus run_all(UsTrainer* t, const UsTrainRun* run, UsValidation* result) {
  Loop l = {.t = t, .run = run, .every = t->wide ? kLogEvery : 1};
  // Where an earlier run stopped: weights, optimizer, step, log.
  if (run->resume && run->checkpoint && us_file_exists(run->checkpoint)) {
    US_TRY(us_trainer_load(t, run->checkpoint, run->key ? run->key : ""));
  }
  // The log goes on behind that step; a new run starts a new one.
  if (run->log) {
    if (t->at.step > 0) US_TRY(trim_log(run->log, t->at.step));
    l.log = fopen(run->log, t->at.step > 0 ? "a" : "w");
    if (!l.log) return us_fail(US_IO, "%s: cannot be written: %s", run->log, strerror(errno));
  }
  l.before = t->at.elapsed;
  l.started = l.saved = us_seconds();
  l.bar = t->c.steps > 0
              ? us_progress_start(run->label, "steps", (double)t->c.steps, (double)t->at.step)
              : us_progress_start(run->label, "s", 60 * t->c.minutes, t->at.elapsed);
  // The first checkpoint is there before the first step, so a place that cannot be written is told
  // at once.
  UsStatus status = checkpoint(&l);
  if (status == US_OK) status = loop(&l);
  if (status == US_OK) status = checkpoint(&l);
  // With patience the best weights are the result, and their errors.
  if (status == US_OK && t->c.patience > 0 && isfinite(t->at.best_error)) {
    us_ops_copy(t->m->device, t->best, t->m->cls->params(t->m), t->m->cls->list(t->m)->floats);
    keep_validation(t, us_trainer_validate(t));
    status = us_device_check(t->m->device, "training");
    if (status == US_OK) status = us_interrupt_check("training");
  }
  us_progress_end(&l.bar);
  if (l.log) fclose(l.log);
  if (result) {
    int measured = t->held.fill && t->at.validated > 0;
    *result = (UsValidation){t->at.one_step, t->at.open_loop, measured};
  }
  return status;
}

UsStatus us_trainer_run(UsTrainer* t, const UsTrainRun* run, UsValidation* result) {
  UsLock* lock = NULL;
  if (run->checkpoint) US_TRY(us_lock_take(run->checkpoint, &lock));
  UsStatus status = run_all(t, run, result);
  us_lock_release(lock);
  return status;
}
