#ifndef UNDERSTUDY_PARAM_LIST_H_
#define UNDERSTUDY_PARAM_LIST_H_

// The tensors of a model: names, shapes and places in one flat array of floats.
//
// A model's layout function adds its tensors in order and keeps the offsets it gets back. The same
// offsets then serve weights, gradients and optimizer moments; checkpoint, optimizer and gradient
// check are loops over the list.
//
// Threads: constant after the layout.

#include <stddef.h>
#include <stdint.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"
#include "worldmodel/tensor_file.h"

US_C_BEGIN

// Properties of a tensor, or-ed together.
enum {
  US_PARAM_DECAY = 1,    // a matrix: weight decay applies
  US_PARAM_ONE = 2,      // starts at 1 instead of 0 (gains)
  US_PARAM_NORMAL = 4,   // starts normal with deviation 1 / sqrt(columns)
  US_PARAM_SMALL = 8,    // starts normal with deviation 0.02
  US_PARAM_FIXED = 16,   // not trained
  US_PARAM_SWITCH = 32,  // a checkpoint's config says whether the file has it
  US_PARAM_OWN = 64      // the model reads it from a file by itself, since its shape may differ
};

typedef struct UsParam {
  char name[120];
  int rank;       // 1 .. 4
  int dim[4];     // rank of them
  int flags;      // US_PARAM_*
  size_t offset;  // floats into the flat array; a multiple of 16
  size_t count;   // floats
} UsParam;

typedef struct UsParamList {
  UsParam* param;  // (count)
  int count;
  int room;
  size_t floats;  // of the flat array
  int failed;     // 1: out of memory while adding
} UsParamList;

// Appends a tensor named prefix + name and gives its offset. dims are d0 .. d3, zeros at the end
// left out.
US_API size_t us_params_add(UsParamList* l, const char* prefix, const char* name, int flags, int d0,
                            int d1, int d2, int d3);

// Frees the list, not the floats.
US_API void us_params_free(UsParamList* l);

// Fills weights (l->floats), ordinary memory, with first values drawn from the seed; `salt` keeps
// lists of one seed apart.
US_API void us_params_init(const UsParamList* l, uint64_t seed, int salt, float* weights);

// The tensor of this name, NULL if there is none.
US_API const UsParam* us_params_find(const UsParamList* l, const char* name);

// Reads the tensors of the list into weights (l->floats), ordinary memory, but those with one of
// the flags `skip`, which stay as they are. `prefix` stands before the names in the file.
US_API UsStatus us_params_read(const UsParamList* l, const UsTensors* file, const char* prefix,
                               int skip, float* weights);

// US_FORMAT with its name when the file has a tensor that is neither of the list (those with one of
// the flags `skip` do not count), behind the prefix, nor, with or without prefix, of `known`:
// names, or beginnings of names that end with a dot, then NULL. Nullable: known.
US_API UsStatus us_params_refuse_rest(const UsParamList* l, const UsTensors* file,
                                      const char* prefix, int skip, const char* const* known);

// Writes all tensors of weights (l->floats), ordinary memory.
US_API UsStatus us_params_write(const UsParamList* l, const char* path, const float* weights);

US_C_END

#endif  // UNDERSTUDY_PARAM_LIST_H_
