// n = norm1(x); m = x + scale1 * output(attend(n)); y = m + scale2 * fc2(gelu(fc1(norm2(m))))

#include "worldmodel/vit_block.h"

#include "worldmodel/ops.h"

enum { kMatrix = US_PARAM_DECAY | US_PARAM_NORMAL };

// The tensors of a block, in the order of the list.
void us_block_layout(const UsBlockShape* c, const char* prefix, UsParamList* list, UsBlock* out) {
#define X(field, name, rows, columns, flags) \
  out->field = us_params_add(list, prefix, name, flags, rows, columns, 0, 0);
  US_BLOCK_PARAMS(X)
#undef X
}

void us_block_take(const UsBlockShape* c, int layers, int rows, int training, UsArena* arena,
                   float** x, UsBlockActs* acts) {
  // Input and activations of one block after the other; the last x is the output.
  for (int i = 0; i <= layers; i++) {
    x[i] = i && !training ? x[0] : US_TAKE(arena, float, (size_t)rows*(size_t)c->width);
    if (i == layers) break;
    if (i && !training) {
      acts[i] = acts[0];
      continue;
    }
#define X(field, floats)                                         \
  {                                                              \
    size_t count = (size_t)rows * (size_t)(floats);              \
    acts[i].field = count ? US_TAKE(arena, float, count) : NULL; \
  }
    US_BLOCK_ACTS(X)
#undef X
  }
}

// One set for all blocks, since they go back one after the other.
void us_block_take_temps(const UsBlockShape* c, int rows, UsArena* arena, UsBlockTemps* out) {
#define X(field, floats) out->field = US_TAKE(arena, float, (size_t)rows*(size_t)(floats));
  US_BLOCK_TEMPS(X)
#undef X
}

void us_block_forward(const UsBlockShape* c, const UsBlock* p, const float* w, int frames,
                      const float* x, const UsBlockActs* a, float* y) {
  int rows = frames * c->tokens, n = c->width;
  size_t count = (size_t)rows * (size_t)n;

  // attention
  us_ops_norm(c->device, rows, n, c->eps, x, w + p->norm1_gain, w + p->norm1_bias, a->norm1,
              a->stats1);
  us_ops_linear(c->device, rows, n, n, a->norm1, w + p->query_w, w + p->query_b, a->query);
  us_ops_linear(c->device, rows, n, n, a->norm1, w + p->key_w, w + p->key_b, a->key);
  us_ops_linear(c->device, rows, n, n, a->norm1, w + p->value_w, w + p->value_b, a->value);
  us_ops_attend(c->device, frames, c->tokens, c->tokens, c->heads, n / c->heads, NULL, 0, NULL,
                a->query, a->key, a->value, (size_t)c->tokens * (size_t)n, a->attended, a->probs);
  us_ops_linear(c->device, rows, n, n, a->attended, w + p->output_w, w + p->output_b, a->projected);
  us_ops_columns(c->device, rows, n, a->projected, w + p->scale1, NULL, a->middle);
  us_ops_add(c->device, count, 1, x, a->middle);

  // MLP
  us_ops_norm(c->device, rows, n, c->eps, a->middle, w + p->norm2_gain, w + p->norm2_bias, a->norm2,
              a->stats2);
  us_ops_dense(c->device, &(UsDense){.rows = rows,
                                     .out = c->hidden,
                                     .in = n,
                                     .x = a->norm2,
                                     .w = w + p->fc1_w,
                                     .b = w + p->fc1_b,
                                     .up = a->hidden,
                                     .y = a->active});
  us_ops_linear(c->device, rows, n, c->hidden, a->active, w + p->fc2_w, w + p->fc2_b, a->expanded);
  us_ops_columns(c->device, rows, n, a->expanded, w + p->scale2, NULL, y);
  us_ops_add(c->device, count, 1, a->middle, y);
}

void us_block_backward(const UsBlockShape* c, const UsBlock* p, const float* w, int frames,
                       const float* x, const UsBlockActs* a, const UsBlockTemps* t, const float* dy,
                       float* dx, float* g) {
  int rows = frames * c->tokens, n = c->width;
  size_t count = (size_t)rows * (size_t)n;

  // MLP: t->b becomes the gradient of the middle
  us_ops_columns_back(c->device, rows, n, a->expanded, w + p->scale2, dy, t->a, g + p->scale2);
  us_ops_linear_back(c->device, rows, n, c->hidden, a->active, w + p->fc2_w, t->a, t->hidden,
                     g + p->fc2_w, g + p->fc2_b);
  us_ops_gelu_back(c->device, (size_t)rows * (size_t)c->hidden, a->hidden, t->hidden, t->hidden);
  us_ops_linear_back(c->device, rows, c->hidden, n, a->norm2, w + p->fc1_w, t->hidden, t->a,
                     g + p->fc1_w, g + p->fc1_b);
  us_ops_norm_back(c->device, rows, n, a->middle, w + p->norm2_gain, a->stats2, t->a, t->b,
                   g + p->norm2_gain, g + p->norm2_bias);
  us_ops_add(c->device, count, 1, dy, t->b);

  // attention: t->a becomes the gradient of norm1's output
  us_ops_columns_back(c->device, rows, n, a->projected, w + p->scale1, t->b, t->a, g + p->scale1);
  us_ops_linear_back(c->device, rows, n, n, a->attended, w + p->output_w, t->a, t->c,
                     g + p->output_w, g + p->output_b);
  us_ops_attend_back(c->device, frames, c->tokens, c->tokens, c->heads, n / c->heads, a->query,
                     a->key, a->value, a->probs, t->c, t->query, t->key, t->value);
  us_ops_linear_back(c->device, rows, n, n, a->norm1, w + p->query_w, t->query, t->a,
                     g + p->query_w, g + p->query_b);
  us_ops_linear_back(c->device, rows, n, n, a->norm1, w + p->key_w, t->key, t->c, g + p->key_w,
                     g + p->key_b);
  us_ops_add(c->device, count, 1, t->c, t->a);
  us_ops_linear_back(c->device, rows, n, n, a->norm1, w + p->value_w, t->value, t->c,
                     g + p->value_w, g + p->value_b);
  us_ops_add(c->device, count, 1, t->c, t->a);
  us_ops_norm_back(c->device, rows, n, x, w + p->norm1_gain, a->stats1, t->a, dx, g + p->norm1_gain,
                   g + p->norm1_bias);
  us_ops_add(c->device, count, 1, t->b, dx);
}
