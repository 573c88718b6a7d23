// x = [cls; registers; patches + pos]; x = block_n(x); t = norm(x); c = merge(t); z = global(c)

#include "worldmodel/base/progress.h"
#include "worldmodel/vit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "worldmodel/ops.h"

// What one pass keeps; the parts marked so are there for a backward pass alone.
struct UsVitWork {
  UsDevice* device;
  int room, frames;  // most frames, and those of a pass
  int training;
  float* memory;
  uint8_t* pixels;      // (frames, height, width, 3)
  float* patches;       // (frames, P, 3 patch patch)
  float* embedded;      // (frames, P, hidden)
  float** x;            // (layers + 1) of (frames, T, hidden); without training all the same
  UsBlockActs* acts;    // (layers); without training all the same
  float* normed;        // (frames, T, hidden)
  float* stats;         // (frames, T, 2)
  float* body;          // (frames, P, hidden): normed without the prefix
  int* gather;          // (frames, P / m): us_vit_gather's indices
  int* scatter;         // (frames, P / m), training
  float* cells;         // (frames, cells, m m hidden)
  float* merged;        // (frames, cells, merge_dim)
  float* global;        // (frames, D)
  float* latent_stats;  // (frames, G, 2): of the head's norm
  float* latent;        // (frames, G, D)
  UsBlockTemps temps;   // training
  float* dx;            // (frames, T, hidden), training
  float* dbody;         // (frames, P, hidden), training
  float* dcells;        // (frames, cells, m m hidden), training
  float* dmerged;       // (frames, cells, merge_dim), training
  float* dnormed;       // (frames, G, D), training: before the head's norm
};

int us_vit_patches(const UsVitConfig* c) {
  return (c->height / c->patch) * (c->width / c->patch);
}

int us_vit_cells(const UsVitConfig* c) {
  return c->merge ? us_vit_patches(c) / (c->merge * c->merge) : 0;
}

int us_vit_normed(const UsVitConfig* c) {
  return !c->norm ? 0 : c->global_dim ? c->global_dim : c->merge_dim;
}

// Every condition that the shapes below rely on.
UsStatus us_vit_check(const char* name, const UsVitConfig* c) {
  if (c->patch < 1 || c->height < 1 || c->width < 1 || c->height % c->patch ||
      c->width % c->patch) {
    return us_fail(US_FORMAT,
                   "%s: expected frames of whole patches, found %d x %d px in patches of %d", name,
                   c->width, c->height, c->patch);
  }
  // Heads share the width evenly.
  if (c->heads < 1 || c->hidden < 1 || c->hidden % c->heads) {
    return us_fail(US_FORMAT, "%s: expected hidden_size as a multiple of heads, found %d and %d",
                   name, c->hidden, c->heads);
  }
  if (c->layers < 1 || c->mlp < 1 || c->registers < 0) {
    return us_fail(US_FORMAT, "%s: expected at least one layer and MLP unit, found %d and %d", name,
                   c->layers, c->mlp);
  }
  // A head merges whole squares of patches, and has a vector only of merged cells.
  if (c->merge &&
      (c->merge_dim < 1 || (c->height / c->patch) % c->merge || (c->width / c->patch) % c->merge)) {
    return us_fail(US_FORMAT, "%s: expected whole cells of %d x %d patches, found %d x %d patches",
                   name, c->merge, c->merge, c->width / c->patch, c->height / c->patch);
  }
  if ((c->global_dim && !c->merge) || (c->norm && !c->merge)) {
    return us_fail(US_FORMAT,
                   "%s: expected a head with \"merge\" before \"global_dim\" and \"norm\"", name);
  }
  // Attention has a table of so many keys.
  int64_t tokens = (int64_t)(c->height / c->patch) * (c->width / c->patch) + c->cls + c->registers;
  if (tokens > US_OPS_KEYS) {
    return us_fail(US_FORMAT, "%s: expected at most %d tokens a frame, found %lld", name,
                   US_OPS_KEYS, (long long)tokens);
  }
  // Pixels become numbers that the weights know.
  for (int i = 0; i < 3; i++) {
    if (isfinite(c->mean[i]) && isfinite(c->std[i]) && c->std[i] > 0) continue;
    return us_fail(US_FORMAT, "%s: expected finite image means and deviations above 0", name);
  }
  return US_OK;
}

UsStatus us_vit_create(const UsVitConfig* c, UsVit** out) {
  *out = NULL;
  UsVit* v = calloc(1, sizeof(UsVit));
  if (!v) return us_fail(US_MEMORY, "out of memory for a ViT");
  v->config = *c;
  if (!c->device) v->config.device = us_device_cpu();
  // Sizes that follow from the config: tokens inside, tokens and numbers of the output.
  v->prefix = (c->cls ? 1 : 0) + c->registers;
  v->tokens = v->prefix + us_vit_patches(c);
  v->out_tokens = c->global_dim ? 1 : c->merge ? us_vit_cells(c) : us_vit_patches(c);
  v->out_dim = c->global_dim ? c->global_dim : c->merge ? c->merge_dim : c->hidden;
  v->shape = (UsBlockShape){.width = c->hidden,
                            .heads = c->heads,
                            .hidden = c->mlp,
                            .tokens = v->tokens,
                            .eps = c->eps,
                            .device = v->config.device};
  v->block = calloc((size_t)c->layers, sizeof(UsBlock));
  // Tensors outside the blocks, then block by block.
#define X(field, name, flags, d0, d1, d2, d3) \
  if ((d0) > 0) v->at.field = us_params_add(&v->params, "", name, flags, d0, d1, d2, d3);
  US_VIT_PARAMS(X)
#undef X
  for (int i = 0; i < c->layers && v->block; i++) {
    char prefix[48];
    snprintf(prefix, sizeof(prefix), "encoder.layer.%d.", i);
    us_block_layout(&v->shape, prefix, &v->params, &v->block[i]);
  }
  if (!v->block || v->params.failed) {
    us_vit_destroy(v);
    return us_fail(US_MEMORY, "out of memory for a ViT");
  }
  *out = v;
  return US_OK;
}

void us_vit_destroy(UsVit* v) {
  if (!v) return;
  us_params_free(&v->params);
  free(v->block);
  free(v);
}

// Lays the work out, tensor memory.
static void place(const UsVit* v, UsVitWork* k, UsArena* a) {
  const UsVitConfig* c = &v->config;
  // Sizes in floats: of all tokens, of the patches alone, of what the head makes of them.
  size_t n = (size_t)k->frames, patches = n * (size_t)us_vit_patches(c);
  size_t rows = n * (size_t)v->tokens, cells = n * (size_t)us_vit_cells(c);
  size_t tokens = rows * (size_t)c->hidden, body = patches * (size_t)c->hidden;
  size_t gathered = cells ? body : 0, merged = cells * (size_t)c->merge_dim;
  size_t global = n * (size_t)c->global_dim;
  // The way forward: embedding, blocks, norm, head.
  k->pixels = US_TAKE(a, uint8_t, n * 3 * (size_t)(c->height * c->width));
  k->patches = US_TAKE(a, float, patches * 3 * (size_t)(c->patch * c->patch));
  k->embedded = US_TAKE(a, float, body);
  us_block_take(&v->shape, c->layers, (int)rows, k->training, a, k->x, k->acts);
  k->normed = US_TAKE(a, float, tokens);
  k->stats = US_TAKE(a, float, rows * 2);
  k->body = v->prefix ? US_TAKE(a, float, body) : k->normed;
  k->gather = US_TAKE(a, int, cells ? patches / (size_t)c->merge : 0);
  k->cells = US_TAKE(a, float, gathered);
  k->merged = US_TAKE(a, float, merged);
  k->global = US_TAKE(a, float, global);
  // What the norm takes, and its own output where there is one.
  float* output = c->global_dim ? k->global : k->merged;
  size_t rows_normed = c->norm ? n * (size_t)v->out_tokens : 0;
  k->latent_stats = US_TAKE(a, float, rows_normed * 2);
  k->latent = c->norm ? US_TAKE(a, float, rows_normed*(size_t)v->out_dim) : output;
  if (!k->training) return;
  // Gradients on the way back.
  k->scatter = US_TAKE(a, int, cells ? patches / (size_t)c->merge : 0);
  us_block_take_temps(&v->shape, (int)rows, a, &k->temps);
  k->dx = US_TAKE(a, float, tokens);
  k->dbody = US_TAKE(a, float, body);
  k->dcells = US_TAKE(a, float, gathered);
  k->dmerged = US_TAKE(a, float, merged);
  k->dnormed = US_TAKE(a, float, rows_normed*(size_t)v->out_dim);
}

UsVitWork* us_vit_work_create(const UsVit* v, int frames, int training) {
  UsVitWork* k = calloc(1, sizeof(UsVitWork));
  if (!k) return NULL;
  k->device = v->config.device;
  k->room = k->frames = frames;
  k->training = training;
  k->x = calloc((size_t)v->config.layers + 1, sizeof(float*));
  k->acts = calloc((size_t)v->config.layers, sizeof(UsBlockActs));
  UsArena a = {0};
  // Measured first, then placed.
  if (k->x && k->acts) {
    place(v, k, &a);
    k->memory = us_ops_alloc(k->device, a.size / sizeof(float));
  }
  if (!k->memory) {
    us_vit_work_destroy(k);
    return NULL;
  }
  us_arena_place(&a, k->memory);
  place(v, k, &a);
  if (us_vit_put_index(&v->config, frames, k->gather, k->scatter) == US_OK) return k;
  us_vit_work_destroy(k);
  return NULL;
}

// A work that is half made has NULL where nothing is.
void us_vit_work_destroy(UsVitWork* k) {
  if (!k) return;
  us_ops_free(k->device, k->memory);
  free(k->x);
  free(k->acts);
  free(k);
}

const float* us_vit_work_patches(const UsVitWork* k) {
  return k->patches;
}

void us_vit_work_take(UsVitWork* k, int frames) {
  US_ASSERT(frames > 0 && frames <= k->room);
  k->frames = frames;
}

// In runs of m patches beside each other: the grid has them row by row, the gathered cell by cell.
void us_vit_gather_index(const UsVitConfig* c, int frames, int scatter, int* index) {
  int m = c->merge, wide = c->width / c->patch / m, rows = frames * (c->height / c->patch);
  for (int r = 0; r < rows; r++) {
    for (int cell = 0; cell < wide; cell++) {
      int grid = r * wide + cell, gathered = (r / m * wide + cell) * m + r % m;
      index[scatter ? grid : gathered] = scatter ? gathered : grid;
    }
  }
}

UsStatus us_vit_put_index(const UsVitConfig* c, int frames, int* gather, int* scatter) {
  if (!c->merge) return US_OK;
  size_t bytes = (size_t)frames * (size_t)(us_vit_patches(c) / c->merge) * sizeof(int);
  int* host = calloc(1, bytes);
  if (!host) return us_fail(US_MEMORY, "out of memory for a ViT");
  for (int i = 0; i < 2; i++) {
    int* to = i ? scatter : gather;
    if (!to) continue;
    us_vit_gather_index(c, frames, i, host);
    us_ops_put_bytes(c->device, to, host, bytes);
  }
  free(host);
  return US_OK;
}

void us_vit_gather(const UsVitConfig* c, int hidden, int frames, const int* index, const float* x,
                   float* y) {
  int run = c->merge * hidden;
  us_ops_copy_rows(c->device, frames * (us_vit_patches(c) / c->merge), run, 1, index, x,
                   (size_t)run, y, (size_t)run);
}

const float* us_vit_forward(const UsVit* v, const float* w, UsVitWork* k, const uint8_t* pixels) {
  const UsVitConfig* c = &v->config;
  int n = k->frames, h = c->hidden, p = us_vit_patches(c), cells = us_vit_cells(c);
  size_t frame = (size_t)v->tokens * (size_t)h, prefix = (size_t)v->prefix * (size_t)h;
  // Pixels to patches, through one matrix, plus the embedding of their place, behind the prefix.
  const float* positions = w + v->at.positions;
  us_ops_put_bytes(k->device, k->pixels, pixels, (size_t)(n * c->height * c->width) * 3);
  us_ops_patches(k->device, n, c->height / c->patch, c->width / c->patch, c->patch, k->pixels,
                 c->mean, c->std, k->patches);
  us_ops_linear(k->device, n * p, h, 3 * c->patch * c->patch, k->patches, w + v->at.patch_w,
                w + v->at.patch_b, k->embedded);
  us_ops_add_rows(k->device, n * p, p, h, positions + (c->cls ? h : 0), k->embedded);
  us_ops_copy_blocks(k->device, n, p * h, k->embedded, (size_t)(p * h), k->x[0] + prefix, frame);
  // The class token has a position as well, registers have none.
  if (c->cls) {
    us_ops_copy_blocks(k->device, n, h, w + v->at.cls, 0, k->x[0], frame);
    us_ops_add_blocks(k->device, n, h, positions, 0, k->x[0], frame);
  }
  if (c->registers) {
    us_ops_copy_blocks(k->device, n, c->registers * h, w + v->at.registers, 0,
                       k->x[0] + (c->cls ? h : 0), frame);
  }
  // Tokens through the blocks.
  for (int i = 0; i < c->layers && !us_interrupted(); i++) {
    us_block_forward(&v->shape, &v->block[i], w, n, k->x[i], &k->acts[i], k->x[i + 1]);
  }
  // The last norm; from here on the patches alone.
  us_ops_norm(k->device, n * v->tokens, h, c->eps, k->x[c->layers], w + v->at.norm_gain,
              w + v->at.norm_bias, k->normed, k->stats);
  if (v->prefix) {
    us_ops_copy_blocks(k->device, n, p * h, k->normed + prefix, frame, k->body, (size_t)(p * h));
  }
  // The head: neighbours merged, then all of them into one vector; either may be normed.
  if (!c->merge) return k->body;
  us_vit_gather(c, h, n, k->gather, k->body, k->cells);
  us_ops_linear(k->device, n * cells, c->merge_dim, c->merge * c->merge * h, k->cells,
                w + v->at.merge_w, w + v->at.merge_b, k->merged);
  if (c->global_dim) {
    us_ops_linear(k->device, n, c->global_dim, cells * c->merge_dim, k->merged, w + v->at.global_w,
                  w + v->at.global_b, k->global);
  }
  if (c->norm) {
    us_ops_norm(k->device, n * v->out_tokens, v->out_dim, c->eps,
                c->global_dim ? k->global : k->merged, w + v->at.latent_gain, w + v->at.latent_bias,
                k->latent, k->latent_stats);
  }
  return k->latent;
}

// dbody (frames, P, hidden) of doutput, through the head.
static void head_backward(const UsVit* v, const float* w, UsVitWork* k, float* doutput, float* g) {
  const UsVitConfig* c = &v->config;
  int n = k->frames, cells = us_vit_cells(c);
  // Without a vector the output is the merged cells.
  const float* dmerged = doutput;
  if (c->norm) {
    us_ops_norm_back(k->device, n * v->out_tokens, v->out_dim,
                     c->global_dim ? k->global : k->merged, w + v->at.latent_gain, k->latent_stats,
                     doutput, k->dnormed, g + v->at.latent_gain, g + v->at.latent_bias);
    dmerged = k->dnormed;
  }
  // The vector: the matrix over all cells.
  if (c->global_dim) {
    us_ops_linear_back(k->device, n, c->global_dim, cells * c->merge_dim, k->merged,
                       w + v->at.global_w, dmerged, k->dmerged, g + v->at.global_w,
                       g + v->at.global_b);
    dmerged = k->dmerged;
  }
  us_ops_linear_back(k->device, n * cells, c->merge_dim, c->merge * c->merge * c->hidden, k->cells,
                     w + v->at.merge_w, dmerged, k->dcells, g + v->at.merge_w, g + v->at.merge_b);
  // Merged cells back to the places of their patches.
  us_vit_gather(c, c->hidden, n, k->scatter, k->dcells, k->dbody);
}

void us_vit_backward(const UsVit* v, const float* w, UsVitWork* k, float* doutput, float* g) {
  US_ASSERT(k->training);
  const UsVitConfig* c = &v->config;
  int n = k->frames, h = c->hidden, p = us_vit_patches(c);
  size_t frame = (size_t)v->tokens * (size_t)h, prefix = (size_t)v->prefix * (size_t)h;
  // Head and last norm.
  const float* dbody = doutput;
  if (c->merge) {
    head_backward(v, w, k, doutput, g);
    dbody = k->dbody;
  }
  const float* dnormed = dbody;
  if (v->prefix) {  // k->temps.a is (frames, T, hidden)
    us_ops_zero(k->device, k->temps.a, (size_t)(n * v->tokens) * (size_t)h);
    us_ops_copy_blocks(k->device, n, p * h, dbody, (size_t)(p * h), k->temps.a + prefix, frame);
    dnormed = k->temps.a;
  }
  us_ops_norm_back(k->device, n * v->tokens, h, k->x[c->layers], w + v->at.norm_gain, k->stats,
                   dnormed, k->dx, g + v->at.norm_gain, g + v->at.norm_bias);
  // The blocks, last first; dx is overwritten by every one.
  for (int i = c->layers - 1; i >= 0 && !us_interrupted(); i--) {
    us_block_backward(&v->shape, &v->block[i], w, n, k->x[i], &k->acts[i], &k->temps, k->dx, k->dx,
                      g);
  }
  // The embedding's prefix: its tokens are the same in all frames, so their gradients add up.
  float* dpositions = g + v->at.positions;
  for (int f = 0; f < n; f++) {
    const float* dx = k->dx + (size_t)f * frame;
    if (c->cls) {
      us_ops_add(k->device, (size_t)h, 1, dx, g + v->at.cls);
      us_ops_add(k->device, (size_t)h, 1, dx, dpositions);
    }
    if (c->registers) {
      us_ops_add(k->device, (size_t)(c->registers * h), 1, dx + (c->cls ? h : 0),
                 g + v->at.registers);
    }
  }
  // Its patches: positions, then the matrix of the embedding.
  float* dpatches = k->dx;
  if (v->prefix) {
    us_ops_copy_blocks(k->device, n, p * h, k->dx + prefix, frame, k->dbody, (size_t)(p * h));
    dpatches = k->dbody;
  }
  us_ops_add_rows_back(k->device, n * p, p, h, dpatches, dpositions + (c->cls ? h : 0));
  us_ops_linear_back(k->device, n * p, h, 3 * c->patch * c->patch, k->patches, NULL, dpatches, NULL,
                     g + v->at.patch_w, g + v->at.patch_b);
}
