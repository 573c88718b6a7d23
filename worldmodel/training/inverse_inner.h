#ifndef UNDERSTUDY_INVERSE_INNER_H_
#define UNDERSTUDY_INVERSE_INNER_H_

// The inverse model's memory, shared by its fit and its use.

#include "worldmodel/inverse.h"
#include "worldmodel/param_list.h"

enum {
  MEMBERS = 4,       // networks, whose mean is the model of that kind
  HIDDEN = 192,      // width of both layers
  ROWS = 256,        // steps of a batch
  PARTS = 4,         // of f, D numbers each
  AROUND = PARTS,    // rows that f reads: k - 1 .. k + 2
  CLUES = 4 + PARTS  // about the error of a label
};

// A member: field, flags, rows, columns.
#define MEMBER(X)                                             \
  X(through, US_PARAM_DECAY, m->c.action, m->in)              \
  X(w1, US_PARAM_NORMAL | US_PARAM_DECAY, HIDDEN, m->in)      \
  X(b1, 0, HIDDEN, 0)                                         \
  X(w2, US_PARAM_NORMAL | US_PARAM_DECAY, HIDDEN, HIDDEN)     \
  X(b2, 0, HIDDEN, 0)                                         \
  X(w3, US_PARAM_SMALL | US_PARAM_DECAY, m->c.action, HIDDEN) \
  X(b3, 0, m->c.action, 0)

struct UsInverse {
  UsInverseConfig c;
  UsInverseFigures f;
  UsDevice* d;
  int in;              // numbers of f
  float* mean;         // (D) ordinary memory
  double scale;        // of all numbers
  double clue[CLUES];  // weights: log e is their sum
  UsParamList list;
#define X(field, flags, rows, columns) size_t field;
  MEMBER(X)
#undef X
  float* members;  // (MEMBERS, list.floats) tensor memory
  float* linear;   // (A, in), then (A): tensor memory
};

// The rows of a step: k - 1, k, k + 1, k + 2, within its track.
typedef struct Step {
  int64_t row[AROUND];
} Step;

// The rows around row k of a track.
Step inverse_step(const UsTracks* tracks, int64_t track, int k);

// Writes f of a step to x (in), ordinary memory.
void inverse_features(const UsInverse* m, const UsTracks* tracks, const Step* s, float* x);

// What naming the actions of a batch takes.
typedef struct Guess {
  float* x;      // (ROWS, in) ordinary memory
  float* all;    // (1 + MEMBERS, ROWS, A) ordinary memory: the linear model's, then the members'
  float* block;  // tensor memory of all below
  float *on, *up, *h1, *h2, *y;
} Guess;

int inverse_guess_create(const UsInverse* m, Guess* g);  // 0: out of memory
void inverse_guess_destroy(const UsInverse* m, Guess* g);

// Names the actions of x, by the linear model and, if asked to, by the members.
void inverse_guess(const UsInverse* m, Guess* g, int members);

// Member i of x (ROWS, in) into y (ROWS, A), all tensor memory. up, h1, h2 (ROWS, HIDDEN).
void inverse_member(const UsInverse* m, int i, Guess* g, float* y);

// A kind's actions of row r of a guess, clipped, into a (A), and what tells its error into clue
// (CLUES). Nullable: clue.
void inverse_answer(const UsInverse* m, const Guess* g, int r, UsInverseKind kind, float* a,
                    double* clue);

// The clues of features x (in), by the members' variance, the squares of their mean's difference
// from the linear model and of the action.
void inverse_clues(const UsInverse* m, const float* x, double spread, double apart, double size,
                   double* clue);

// The weight of a label of these clues.
float inverse_reliable(const UsInverse* m, const double* clue);

// Fits what clues say about the kept model's errors on held-back steps.
UsStatus inverse_trust(UsInverse* m, const UsTracks* tracks, const Step* step, int64_t count);

// Fits one kind to `count` steps and, of the linear one, chooses lambda by `held` others. Both
// leave their weights in m.
UsStatus inverse_fit_linear(UsInverse* m, const UsTracks* tracks, const Step* step, int64_t count,
                            int64_t held);
UsStatus inverse_fit_network(UsInverse* m, const UsTracks* tracks, const Step* step, int64_t count,
                             UsPool* pool);

// R^2 of a kind over steps.
UsStatus inverse_score(const UsInverse* m, const UsTracks* tracks, const Step* step, int64_t count,
                       UsInverseKind kind, double* r2);

#endif  // UNDERSTUDY_INVERSE_INNER_H_
