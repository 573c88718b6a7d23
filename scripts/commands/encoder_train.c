// understudy encoder train: frames of datasets -> encoder folder, with checkpoints, log and
// pictures.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripts/commands/cli.h"
#include "scripts/commands/encoder_commands.h"
#include "scripts/commands/frames.h"
#include "scripts/report/picture.h"
#include "worldmodel/autoencoder.h"
#include "worldmodel/base/lock.h"
#include "worldmodel/base/progress.h"

enum { kSets = 16, kShown = 12 };

typedef struct Options {
  char* data;
  char* out;
  int steps, dim, width, depth, frames, decode_every, threads, resume;
  double minutes, noise, rate, pixels, anchor;
  long seed;
  const char* path[kSets + 1];  // datasets, NULL at the end
  int sets;
} Options;

typedef struct Run {
  Options o;
  UsFrames frames[kSets];
  UsAutoencoder* a;
  UsPool* pool;
  FILE* log;
  UsLock* lock;  // of the folder
  char checkpoint[4096];
  double started;  // s
} Run;

static UsStatus read_frames(Run* r) {
  UsFrameSet set[kSets];
  for (int i = 0; i < r->o.sets; i++) {
    UsFrames* f = &r->frames[i];
    US_TRY(us_frames_read(r->o.path[i], r->o.frames / r->o.sets, (uint64_t)r->o.seed, f));
    if (f->info.height != r->frames[0].info.height || f->info.width != r->frames[0].info.width) {
      return us_fail(US_FORMAT, "%s: expected frames of %d x %d px as in %s, found %d x %d",
                     r->o.path[i], r->frames[0].info.width, r->frames[0].info.height, r->o.path[0],
                     f->info.width, f->info.height);
    }
    set[i] = (UsFrameSet){f->pixels, f->count};
  }
  UsAutoencoderConfig c;
  us_autoencoder_defaults(r->frames[0].info.height, r->frames[0].info.width, r->o.dim, r->o.width,
                          r->o.depth, &c);
  c.steps = r->o.steps;
  c.seed = (uint64_t)r->o.seed;
  c.noise = (float)r->o.noise;
  c.rate = (float)r->o.rate;
  c.pixels = (float)r->o.pixels;
  c.anchor = (float)r->o.anchor;
  c.decode_every = r->o.decode_every;
  c.vit.norm = r->o.anchor <= 0;
  return us_autoencoder_create(&c, set, r->o.sets, &r->a);
}

// A picture: a row of originals above a row of reconstructions for every dataset.
static UsStatus draw(const Run* r, const UsEncoder* e, const char* path) {
  int h = r->frames[0].info.height, w = r->frames[0].info.width, cell_h = 2 * h + 8;
  size_t bytes = (size_t)h * (size_t)w * 3, latent = (size_t)us_encoder_info(e)->dim;
  double scale = us_picture_fit(2, kShown * (w + 4), 0);
  scale = us_picture_fit(scale, r->o.sets * cell_h, 0);
  UsPicture* p;
  US_TRY(us_picture_create((int)(kShown * (w + 4) * scale), (int)(r->o.sets * cell_h * scale), &p));
  float* z = malloc(kShown * latent * sizeof(float));
  uint8_t* seen = malloc(2 * kShown * bytes);
  if (!z || !seen) {
    us_picture_destroy(p);
    free(z);
    free(seen);
    return us_fail(US_MEMORY, "%s: out of memory for a picture", path);
  }
  UsStatus status = US_OK;
  for (int s = 0; s < r->o.sets && status == US_OK; s++) {
    const UsFrames* f = &r->frames[s];
    for (int i = 0; i < kShown; i++) {
      size_t at = (size_t)((int64_t)i * f->count / kShown);
      memcpy(seen + (size_t)i * bytes, f->pixels + at * bytes, bytes);
    }
    status = us_encoder_encode(e, kShown, seen, NULL, z, r->pool);
    if (status == US_OK) {
      status = us_encoder_decode(e, kShown, z, seen + kShown * bytes, r->pool);
    }
    for (int i = 0; i < 2 * kShown; i++) {
      double x = i % kShown * (w + 4) * scale, y = (s * cell_h + i / kShown * (h + 2)) * scale;
      us_picture_frame(p, x, y, scale, h, w, seen + (size_t)i * bytes);
    }
  }
  if (status == US_OK) status = us_picture_save(p, path);
  us_picture_destroy(p);
  free(z);
  free(seen);
  return status;
}

// Writes checkpoint, encoder and picture. After Ctrl-C the checkpoint is what counts: the others
// stay as they were where making them takes encoding.
static UsStatus save(Run* r) {
  char path[4096];
  UsEncoder* e;
  US_TRY(us_autoencoder_save(r->a, r->checkpoint));
  UsStatus status = us_autoencoder_encoder(r->a, r->pool, &e);
  if (status == US_OK) status = us_encoder_save(e, r->o.out);
  us_path_join(path, sizeof(path), r->o.out, "reconstructions.png");
  if (status == US_OK) status = draw(r, e, path);
  us_encoder_destroy(e);
  return status == US_INTERRUPTED ? US_OK : status;
}

static UsStatus start(Run* r) {
  char path[4096];
  US_TRY(us_folder_make_above(r->o.out));
  US_TRY(us_lock_take(r->o.out, &r->lock));
  US_TRY(us_folder_make(r->o.out));
  US_TRY(read_frames(r));
  us_path_join(r->checkpoint, sizeof(r->checkpoint), r->o.out, "checkpoint.safetensors");
  if (r->o.resume) US_TRY(us_autoencoder_load(r->a, r->checkpoint));
  us_path_join(path, sizeof(path), r->o.out, "log.jsonl");
  r->log = fopen(path, r->o.resume ? "a" : "w");
  return r->log ? US_OK : us_fail(US_IO, "%s: cannot be written", path);
}

// Losses since the last line of the log.
typedef struct Since {
  double sum;
  int steps, compared;  // all, and those that compared pixels
} Since;

// The mean of the steps that compared pixels; NaN: none did.
static double log_steps(const Run* r, const Since* s) {
  char loss[US_NUMBER_CHARS], anchor[US_NUMBER_CHARS];
  double mean = s->compared ? s->sum / s->compared : NAN;
  fprintf(r->log, "{\"step\": %d, \"loss\": %s, \"anchor\": %s, \"seconds\": %.1f}\n",
          us_autoencoder_steps(r->a), us_json_format(loss, "%.7g", mean),
          us_json_format(anchor, "%.7g", us_autoencoder_distance(r->a)), us_seconds() - r->started);
  fflush(r->log);
  return mean;
}

static UsStatus train(Run* r) {
  UsProgress bar =
      us_progress_start("encoder train", "steps", r->o.steps, us_autoencoder_steps(r->a));
  Since since = {0};
  int stop = 0;
  char note[48] = "";
  r->started = us_seconds();
  while (!stop && us_autoencoder_steps(r->a) < r->o.steps) {
    int before = us_autoencoder_steps(r->a), compares = us_autoencoder_compares(r->a);
    double loss = us_autoencoder_step(r->a, r->pool);
    int step = us_autoencoder_steps(r->a);
    if (isnan(loss)) return us_fail(US_FORMAT, "%s: training diverged at step %d", r->o.out, step);
    if (step == before) break;  // Ctrl-C
    since.sum += loss;
    since.compared += compares;
    if (++since.steps == 50 || step == r->o.steps) {
      double mean = log_steps(r, &since);
      if (isfinite(mean)) snprintf(note, sizeof(note), "loss %.5f", mean);
      since = (Since){0};
    }
    us_progress_show(&bar, step, note);
    stop = us_interrupted() || (r->o.minutes > 0 && us_seconds() - r->started > 60 * r->o.minutes);
    if (step % 500 == 0 && !stop && step < r->o.steps) US_TRY(save(r));
  }
  us_progress_end(&bar);
  US_TRY(save(r));
  if (!us_interrupted()) return US_OK;
  return us_fail(US_INTERRUPTED, "%s: stopped at step %d; --resume goes on", r->o.out,
                 us_autoencoder_steps(r->a));
}

static int parse(int argc, const char** argv, Options* o) {
  const struct poptOption table[] = {
      {"data", 0, POPT_ARG_STRING, &o->data, 0, "a dataset; more may follow as words", "A.h5"},
      {"out", 0, POPT_ARG_STRING, &o->out, 0, "folder of the encoder", "DIR"},
      {"steps", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->steps, 0, "training steps", "N"},
      {"minutes", 0, POPT_ARG_DOUBLE, &o->minutes, 0, "stop and save after so long", "M"},
      {"dim", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->dim, 0, "numbers of the vector",
       "D"},
      {"width", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->width, 0, "width of the ViT", "W"},
      {"depth", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->depth, 0, "blocks of the ViT",
       "L"},
      {"noise", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &o->noise, 0,
       "deviation of the noise on the latent", "S"},
      {"pixels", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &o->pixels, 0,
       "weight of the pixels' reconstruction", "W"},
      {"anchor", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &o->anchor, 0,
       "weight of the anchor of the metric; 0: none", "W"},
      {"decode-every", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->decode_every, 0,
       "steps between those that compare pixels", "N"},
      {"rate", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &o->rate, 0, "learning rate", "R"},
      {"frames", 0, POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &o->frames, 0,
       "frames kept in memory, over all datasets", "N"},
      {"seed", 0, POPT_ARG_LONG | POPT_ARGFLAG_SHOW_DEFAULT, &o->seed, 0, "seed", "S"},
      {"threads", 0, POPT_ARG_INT, &o->threads, 0, "threads; 0: one per processor", "N"},
      {"resume", 0, POPT_ARG_NONE, &o->resume, 0, "go on from the checkpoint in --out", NULL},
      POPT_TABLEEND};
  int code = us_cli_parse(
      argc, argv, table, "--data A.h5 [B.h5 ...] --out DIR [options]",
      "Trains an encoder as an autoencoder on the frames of all datasets, without states or\n"
      "actions, and writes config.json, model.safetensors, decoder.safetensors, a checkpoint,\n"
      "log.jsonl and reconstructions.png. Example:\n"
      "  understudy encoder train --data maze.h5 wall.h5 --out runs/encoder --steps 15000\n",
      o->path + 1, kSets - 1);
  if (code >= 0) return code;
  if (!o->data || !o->out) return us_cli_usage(argv[0], "expected --data and --out");
  o->path[0] = o->data;
  while (o->path[o->sets]) o->sets++;
  if (o->decode_every < 1) return us_cli_usage(argv[0], "expected --decode-every above 0");
  if (o->steps < 1 || o->frames < o->sets || o->threads < 0 || o->seed < 0) {
    return us_cli_usage(argv[0], "expected --steps, --frames, --threads and --seed above 0");
  }
  if (o->dim < 1 || o->dim > 4096 || o->width < 8 || o->width > 4096 || o->depth < 1 ||
      o->depth > 64) {
    return us_cli_usage(argv[0], "expected --dim 1..4096, --width 8..4096 and --depth 1..64");
  }
  return -1;
}

int us_encoder_train_command(int argc, const char** argv) {
  static Run r;  // large
  r = (Run){.o = {.steps = 15000,
                  .dim = 64,
                  .width = 96,
                  .depth = 2,
                  .noise = 0.05,
                  .rate = 1e-3,
                  .pixels = 1,
                  .anchor = 1,
                  .frames = 60000,
                  .decode_every = 1,
                  .seed = 1}};
  int code = parse(argc, argv, &r.o);
  if (code < 0) {
    r.pool = us_pool_create(r.o.threads);
    UsStatus status = r.pool ? start(&r) : us_fail(US_MEMORY, "no memory for threads");
    if (status == US_OK) status = train(&r);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  if (r.log) fclose(r.log);
  us_lock_release(r.lock);
  us_autoencoder_destroy(r.a);
  us_pool_destroy(r.pool);
  for (int i = 0; i < r.o.sets; i++) us_frames_free(&r.frames[i]);
  free(r.o.data);
  free(r.o.out);
  return code;
}
