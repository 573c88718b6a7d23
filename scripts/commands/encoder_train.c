// understudy encoder train: options, and the picture beside the encoder.

#include <stdlib.h>
#include <string.h>

#include "datasets/encoder_jobs.h"
#include "scripts/cli/cli.h"
#include "scripts/commands/encoder_commands.h"
#include "scripts/report/picture.h"

enum { kSets = 16, kShown = 12 };

// reconstructions.png: a row of originals above a row of reconstructions for every dataset.
static UsStatus draw(void* user, const UsEncoder* e, int sets, const UsFrameSet* set) {
  const UsEncoderTrainConfig* c = user;
  const UsEncoderInfo* info = us_encoder_info(e);
  int h = info->height, w = info->width, cell_h = 2 * h + 8;
  size_t bytes = (size_t)h * (size_t)w * 3;
  // Twice the size of frames, as far as a picture may be large.
  double scale = us_picture_fit(2, kShown * (w + 4), 0);
  scale = us_picture_fit(scale, sets * cell_h, 0);
  char path[4096];
  us_path_join(path, sizeof(path), c->out, "reconstructions.png");
  UsPicture* p;
  US_TRY(us_picture_create((int)(kShown * (w + 4) * scale), (int)(sets * cell_h * scale), &p));
  // Room for a dataset's frames, their latents and reconstructions.
  float* z = malloc(kShown * (size_t)(info->tokens * info->dim) * sizeof(float));
  uint8_t* seen = malloc(2 * kShown * bytes);
  UsStatus status = z && seen ? US_OK : us_fail(US_MEMORY, "%s: out of memory for a picture", path);
  // Frames spread over a dataset, and what the decoder makes of their latents.
  for (int s = 0; s < sets && status == US_OK; s++) {
    for (int i = 0; i < kShown; i++) {
      size_t at = (size_t)((int64_t)i * set[s].count / kShown);
      memcpy(seen + (size_t)i * bytes, set[s].frames + at * bytes, bytes);
    }
    status = us_encoder_encode(e, kShown, seen, NULL, z, c->pool);
    if (status == US_OK) {
      status = us_encoder_decode(e, kShown, z, seen + kShown * bytes, c->pool);
    }
    // Originals above, reconstructions below.
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

int us_encoder_train_command(int argc, const char** argv) {
  UsEncoderTrainConfig c = us_encoder_train_defaults();
  const char* path[kSets + 1] = {NULL};  // datasets, NULL at the end
  char *data = NULL, *out = NULL;
  int threads = 0;
  struct poptOption table[US_CLI_ROWS] = {
      {"data", 0, POPT_ARG_STRING, &data, 0, "a dataset; more may follow as words", "A.h5"},
      {"out", 0, POPT_ARG_STRING, &out, 0, "folder of the encoder", "DIR"},
      {"threads", 0, POPT_ARG_INT, &threads, 0, "threads; 0: one per processor", "N"},
      POPT_TABLEEND};
  // The settings of the job, their defaults in c, and what only a command has.
  us_cli_rows(us_encoder_train_settings, &c, table);
  int code = us_cli_parse(
      argc, argv, table, "--data A.h5 [B.h5 ...] --out DIR [options]",
      "Trains an encoder as an autoencoder on the frames of all datasets, without states or\n"
      "actions, and writes config.json, model.safetensors, decoder.safetensors, a checkpoint,\n"
      "log.jsonl and reconstructions.png.\n\n"
      "With --linear, as the embedded one was made, it is the principal components of blurred\n"
      "frames, fitted at once; the steps train what draws pictures of its latents. (Of one "
      "dataset\n"
      "and without that training `finetune --encoder blur` makes one in seconds.) Else a ViT "
      "learns\n"
      "targets like these and to reconstruct pixels, or with --grid to reconstruct them alone.\n\n"
      "Example:\n"
      "  understudy encoder train --linear --data maze.h5 wall.h5 --out runs/encoder --steps "
      "8000\n",
      path + 1, kSets - 1);
  if (code < 0 && (!data || !out)) code = us_cli_usage(argv[0], "expected --data and --out");
  if (code < 0) {
    // The first dataset is an option's value, the others are words.
    path[0] = data;
    while (path[c.datasets]) c.datasets++;
    c.data = path;
    c.out = out;
    c.saved = draw;
    c.user = &c;
    c.pool = us_pool_create(threads);
    UsStatus status =
        c.pool ? us_encoder_train(&c, NULL) : us_fail(US_MEMORY, "no memory for threads");
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
    us_pool_destroy(c.pool);
  }
  us_cli_free(us_encoder_train_settings, &c);
  free(data);
  free(out);
  return code;
}
