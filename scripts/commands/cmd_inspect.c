// understudy inspect: loads a file or folder wholly and says what it is, or refuses it in one line.

#include <dirent.h>
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/verify.h"
#include "scripts/cli/cli.h"
#include "scripts/commands/inspect_robot.h"
#include "worldmodel/base/progress.h"
#include "worldmodel/base/text.h"
#include "worldmodel/encoder.h"
#include "worldmodel/model_folder.h"
#include "worldmodel/tensor_file.h"

enum { kPath = 4096, kShown = 40 };

// ---- safetensors ----

// Whether numbers of a type may be NaN.
static int is_real(const char* dtype) {
  return !strcmp(dtype, "F32") || !strcmp(dtype, "F16") || !strcmp(dtype, "BF16") ||
         !strcmp(dtype, "F64");
}

// Reads every number: those that are not finite are refused by name.
static UsStatus read_tensors(const char* path, const UsTensors* t, size_t* numbers) {
  *numbers = 0;
  UsProgress bar = us_progress_start("inspect", "tensors", us_tensors_count(t), 0);
  for (int i = 0; i < us_tensors_count(t); i++) {
    size_t n = us_tensors_elements(t, i);
    *numbers += n;
    US_TRY(us_progress_step(&bar, i, path));
    // Whole numbers have no NaN.
    if (!is_real(us_tensors_dtype(t, i))) continue;
    float* host = malloc(n * sizeof(float) + 1);
    if (!host) return us_fail(US_MEMORY, "%s: out of memory", path);
    UsStatus status = us_tensors_read(t, us_tensors_name(t, i), us_tensors_rank(t, i),
                                      us_tensors_shape(t, i), host);
    free(host);
    if (status != US_OK) us_progress_end(&bar);
    US_TRY(status);
  }
  us_progress_end(&bar);
  return US_OK;
}

static UsStatus inspect_tensors(const char* path) {
  UsTensors* t;
  // Every number is read before a word is said.
  size_t numbers;
  char hash[US_HASH_CHARS];
  US_TRY(us_tensors_open(path, &t));
  UsStatus status = read_tensors(path, t, &numbers);
  if (status == US_OK) status = us_hash_file(path, hash);
  if (status == US_OK) {
    const int count = us_tensors_count(t);
    printf("%s: safetensors, %d tensors, %zu numbers, sha256 %.16s\n", path, count, numbers, hash);
    // A line a tensor, as far as a screen goes.
    for (int i = 0; i < count && i < kShown; i++) {
      printf("  %-5s %s (", us_tensors_dtype(t, i), us_shown(us_tensors_name(t, i)));
      for (int k = 0; k < us_tensors_rank(t, i); k++) {
        printf("%s%llu", k ? ", " : "", (unsigned long long)us_tensors_shape(t, i)[k]);
      }
      printf("), %zu bytes\n", us_tensors_bytes(t, i));
    }
    if (count > kShown) printf("  ... %d more\n", count - kShown);
  }
  us_tensors_close(t);
  return status;
}

// ---- datasets ----

static UsStatus inspect_dataset(const char* path) {
  // Verification reads all of it, wherever it was written.
  UsVerdict v;
  US_TRY(us_dataset_verify(path, 0, 0, &v));
  const UsDatasetInfo* i = &v.info;
  printf("%s: dataset, %lld episodes, %lld rows, content %.16s\n", path, (long long)i->episodes,
         (long long)i->rows, v.hash);
  printf("  written by %s%s\n", us_shown(v.writer), v.ours ? "" : "; dataset import makes it ours");
  if (i->task[0]) {
    printf("  task %s, policy %s, seed %llu\n", us_shown(i->task), us_shown(i->policy),
           (unsigned long long)i->seed);
  }
  printf("  frames %d x %d, action %d, proprio %d, state %d", i->width, i->height, i->action,
         i->proprio, i->state);
  printf(i->dt > 0 ? ", %.4g s a row\n" : "\n", i->dt);
  if (i->height && i->renderer[0]) printf("  frames drawn by %s\n", us_shown(i->renderer));
  if (i->variation)
    printf("  varies %s (range %s)\n", us_shown(i->variation_names), us_shown(i->variation_range));
  if (!i->finished) printf("  its writer was stopped: only whole episodes are counted\n");
  return US_OK;
}

// ---- folders ----

static const char* text_of(const cJSON* object, const char* name) {
  return us_shown(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name)));
}

// A file that was trained on, with its content's hash.
static void print_file(const char* how, const cJSON* file) {
  const cJSON* weight = cJSON_GetObjectItemCaseSensitive(file, "weight");
  printf("  %s %s", how, text_of(file, "file"));
  printf(" (%s), %g episodes,", text_of(file, "task"),
         cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(file, "episodes")));
  if (cJSON_IsNumber(weight) && fabs(weight->valuedouble - 1) > 0) {
    printf(" weight %g,", weight->valuedouble);
  }
  printf(" content %.16s\n", text_of(file, "sha256"));
}

// What a member of a folder's config says of training, and of what came before it.
static void print_training(const char* how, const cJSON* config, const char* name) {
  const cJSON* training = cJSON_GetObjectItemCaseSensitive(config, name);
  const cJSON* file;
  if (!training) return;
  char words[32];
  snprintf(words, sizeof(words), "%s on", how);
  cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(training, "data")) {
    print_file(words, file);
  }
  // One film is an object, several are a list; then which of its stages was kept.
  const cJSON* film = cJSON_GetObjectItemCaseSensitive(training, "film");
  if (cJSON_IsObject(film)) print_file("trained with film", film);
  const cJSON* films = cJSON_IsArray(film) ? film : NULL;
  cJSON_ArrayForEach(file, films) {
    print_file("trained with film", file);
  }
  if (film) printf("  of its stages %s was kept\n", text_of(training, "chosen"));
  const cJSON* steps = cJSON_GetObjectItemCaseSensitive(training, "steps");
  if (cJSON_IsNumber(steps)) printf("  %s for %g steps\n", how, steps->valuedouble);
  print_training("pretrained", training, "pretrained");
}

// Kind, tokens, and what it sees: states or frames.
static void print_encoder(const char* indent, const UsEncoder* e) {
  const UsEncoderInfo* i = us_encoder_info(e);
  printf("%sencoder %s, %d tokens (%d x %d) of %d numbers, ", indent, i->kind, i->tokens, i->grid_w,
         i->grid_h, i->dim);
  if (i->state) {
    printf("states of %d", i->state);
  } else {
    printf("frames of %d x %d", i->width, i->height);
  }
  printf("%s, hash %.16s\n", i->decoder ? ", with a decoder" : "", i->hash);
}

// Sizes, and whether it takes actions.
static void print_predictor(const char* indent, const UsPredictor* p) {
  const UsPredictorConfig* c = us_predictor_config(p);
  const UsParamList* list = us_predictor_list(p);
  size_t numbers = 0;
  for (int i = 0; i < list->count; i++) numbers += list->param[i].count;
  printf("%spredictor, %zu parameters, depth %d, width %d, %d heads, context %d, ", indent, numbers,
         c->depth, c->width, c->heads, c->context);
  if (c->action) {
    printf("blocks of %d steps x %d actions\n", c->block, c->action);
  } else {
    printf("without actions\n");
  }
}

static UsStatus inspect_model(const char* folder, const cJSON* config) {
  UsModel* m;
  US_TRY(us_model_open(folder, NULL, &m));
  const UsModelInfo* i = us_model_info(m);
  printf("%s: world model of %s, %.4g s a step, %d start contexts, hash %.16s\n", folder,
         us_shown(i->task), i->dt, i->contexts, i->hash);
  print_encoder("  ", us_model_encoder(m));
  // What imagines: a predictor of ours, or a model of another kind.
  const UsWorldModel* w = us_model_world(m);
  if (us_model_predictor(m)) {
    print_predictor("  ", us_model_predictor(m));
  } else {
    printf("  %s, context %d, blocks of %d steps x %d actions\n", w->cls->kind, w->context,
           w->block, w->action);
  }
  if (i->whiten > 0) printf("  distances whitened by %.4g\n", i->whiten);
  if (us_model_success(m)) {
    const UsSuccessFigures* f = us_success_figures(us_model_success(m));
    printf("  success head: AUROC %.4f on %lld held-back pairs\n", f->auroc, (long long)f->pairs);
  } else {
    printf("  no success head, so nothing is solved in it: finetune --success-only makes one\n");
  }
  print_training("trained", config, "training");
  us_model_destroy(m);
  return US_OK;
}

static UsStatus inspect_pretrained(const char* folder, const cJSON* config) {
  // Without an encoder of its own: its hash says which one is meant.
  UsPredictor* p;
  char encoder[US_HASH_CHARS];
  US_TRY(us_pretrained_open(folder, NULL, &p, encoder));
  printf("%s: ", folder);
  print_predictor("pretrained ", p);
  printf("  of the encoder %.16s\n", us_shown(encoder));
  print_training("trained", config, "training");
  us_predictor_destroy(p);
  return US_OK;
}

// A folder without config.json is none of ours.
static UsStatus refuse_folder(const char* path) {
  // What lies there says what it may have been meant to be.
  DIR* folder = opendir(path);
  int torch = 0, unfinished = 0;
  for (struct dirent* e; folder && (e = readdir(folder));) {
    const char* end = strrchr(e->d_name, '.');
    torch |= end && (!strcmp(end, ".pth") || !strcmp(end, ".pt") || !strcmp(end, ".bin"));
    unfinished |= !strncmp(e->d_name, "checkpoint", 10);
  }
  if (folder) closedir(folder);
  const char* found = torch        ? "PyTorch files: save them with safetensors and a config.json"
                      : unfinished ? "training that has not ended"
                                   : "none";
  return us_fail(US_FORMAT, "%s: expected a folder with config.json, found %s", path, found);
}

static UsStatus inspect_folder(const char* path) {
  char file[kPath];
  cJSON* config = NULL;
  if (strlen(path) + 64 > sizeof(file)) return us_fail(US_USAGE, "expected a shorter path");
  us_path_join(file, sizeof(file), path, "config.json");
  if (!us_file_exists(file)) return refuse_folder(path);
  US_TRY(us_json_read(file, &config));
  const char* format = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(config, "format"));
  if (format) {
    UsStatus status = !strcmp(format, "understudy model") ? inspect_model(path, config)
                                                          : inspect_pretrained(path, config);
    cJSON_Delete(config);
    return status;
  }
  // Only encoders have no format of their own.
  UsEncoder* e;
  cJSON_Delete(config);
  US_TRY(us_encoder_open(path, NULL, &e));
  printf("%s: ", path);
  print_encoder("", e);
  us_encoder_destroy(e);
  return US_OK;
}

// ---- the command ----

static UsStatus inspect_json(const char* path) {
  cJSON* json;
  US_TRY(us_json_read(path, &json));
  printf("%s: JSON, %d members", path, cJSON_GetArraySize(json));
  // Its first members by name.
  const cJSON* member;
  int n = 0;
  cJSON_ArrayForEach(member, json) {
    if (n++ < 8) printf("%s %s", n > 1 ? "," : ":", us_shown(member->string));
  }
  printf("%s\n", n > 8 ? ", ..." : "");
  cJSON_Delete(json);
  return US_OK;
}

// The first byte of a text that is no blank, behind a byte order mark.
static int first_letter(const unsigned char* head, size_t n) {
  size_t i = n > 2 && head[0] == 0xef && head[1] == 0xbb && head[2] == 0xbf ? 3 : 0;
  while (i < n && strchr(" \t\r\n", head[i]) && head[i]) i++;
  return i < n ? head[i] : 0;
}

static UsStatus inspect(const char* path, const char* png) {
  // Folders first, then files by their first bytes, which tell all kinds apart.
  struct stat found;
  unsigned char head[256] = {0};
  if (stat(path, &found) == 0 && S_ISDIR(found.st_mode)) return inspect_folder(path);
  FILE* f = fopen(path, "rb");
  size_t n = f && stat(path, &found) == 0 && S_ISREG(found.st_mode) ? fread(head, 1, 256, f) : 0;
  if (f) fclose(f);
  const char* end = strrchr(path, '.');
  int named = end && (!strcmp(end, ".h5") || !strcmp(end, ".hdf5"));
  int letter = first_letter(head, n);
  if (letter == '<' || (n == 0 && end && !strcmp(end, ".xml"))) return us_inspect_robot(path, png);
  if (named || H5Fis_hdf5(path) > 0) return inspect_dataset(path);
  // What PyTorch writes is told by name.
  int zip = n > 8 && head[0] == 'P' && head[1] == 'K';
  if (zip && memcmp(head + 30, "robot.json", 10) == 0) return us_inspect_robot(path, png);
  if (zip || (n > 8 && head[0] == 0x80 && head[1] < 6 && head[8] != '{')) {
    return us_fail(US_FORMAT,
                   "%s: expected safetensors, HDF5 or a folder, found %s: save the weights with "
                   "safetensors",
                   path, zip ? "a zip archive such as PyTorch's" : "a Python pickle");
  }
  int tensors = n > 8 && head[8] == '{' && letter != '{' && letter != '[';
  int json = !tensors && (letter == '{' || letter == '[' || (end && !strcmp(end, ".json")));
  return json ? inspect_json(path) : inspect_tensors(path);
}

static const char help[] =
    "Loads a safetensors file, an HDF5 dataset, or the folder of an encoder, a pretrained "
    "predictor\n"
    "or a world model wholly, checks every number, and prints sizes, hashes and what it was "
    "trained\n"
    "on. What a file is, its first bytes say. Exit code 1 and one line when it is not what it "
    "says.\n\n"
    "Of a robot's file (MJCF or URDF, or the zip beside a dataset) it prints what task becomes of "
    "it: what each action drives, "
    "what\n"
    "moves under random actions, and how much of its picture each camera sees change; * is the "
    "one\n"
    "that frames will be of. --png draws what they see. --camera and the other options beside\n"
    "mjcf:FILE.xml are tried out here.\n\n"
    "Example:\n"
    "  understudy inspect runs/model\n"
    "  understudy inspect robot.xml --png robot.png\n";

int us_cmd_inspect(int argc, const char** argv) {
  char* png = NULL;
  const struct poptOption table[] = {
      {"png", 0, POPT_ARG_STRING, &png, 0, "of a robot: a picture of what its cameras see", "FILE"},
      POPT_TABLEEND};
  const char* words[2];
  int code = us_cli_parse(argc, argv, table, "FILE|FOLDER [options]", help, words, 1);
  if (code < 0 && !words[0]) code = us_cli_usage(argv[0], "expected a file or folder");
  if (code < 0) {
    // HDF5 is silent: what is wrong with a file is told in one line.
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    UsStatus status = inspect(words[0], png);
    code = status == US_OK ? 0 : us_cli_fail(argv[0], status);
  }
  free(png);
  return code;
}
