#ifndef UNDERSTUDY_LATENT_H_
#define UNDERSTUDY_LATENT_H_

// Latent actions: what happened between two frames as a few numbers, learnt from film together with
// the predictor that is told them in place of an action (as in VideoWorld, arXiv 2501.09781, and
// LAPA, arXiv 2410.11758, but continuous: the bottleneck is that of a variational autoencoder,
// arXiv 1312.6114).
//
//   f_k = [z_k, 3 (z_{k+1} - z_k), 3 (z_k - z_{k-1})]    z_k the normalised frame of env step k
//   m, l = W3 gelu(W2 gelu(W1 f_k + b1) + b2) + b3       L means, L logarithms of deviations
//   u_k = m + exp(l) e,  e normal                        the code of the step; in use u_k = m
//   loss = that of the predictor, whose block of actions are the codes of its K env steps
//          + weight * mean over env steps of sum over numbers (m^2 + exp(2 l) - 1) / 2 - l
//
// The last sum is the divergence of a code from noise that says nothing, in nats: codes are small
// and say little, so that they say what the frame before does not tell. z_{k-1} of a sample's first
// step is z_k.
//
// To the trainer (train.h) all of it is one world model, us_latent_model, whose list of tensors is
// the predictor's and behind it "latent.w1" .. "latent.b3". Its batches (batch.h) have frames a
// block apart as any other's, and in the place of actions, for each sample, first the raw frames
// behind every env step, ((T - 1) K, G D), of which every K-th is a frame of the sample, then the
// noise e, ((T - 1) K, L), which is 0 in use: the source draws it, so that it is the same for any
// number of threads.
//
// Threads: a model is constant while it is used; tapes are per thread.

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"
#include "worldmodel/predictor.h"
#include "worldmodel/train.h"

US_C_BEGIN

enum { US_LATENT_HIDDEN = 128, US_LATENT_NUMBERS = 64 };  // widths of W1 and W2; most numbers L

typedef struct UsLatent UsLatent;

// Takes over a predictor with L = action numbers an env step, 1 .. US_LATENT_NUMBERS, which lives
// on as us_latent_predictor; first weights of the codes are drawn from the seed. On failure *out is
// NULL and the predictor still the caller's.
US_API UsStatus us_latent_create(UsPredictor* p, float weight, uint64_t seed, UsLatent** out);

// NULL is fine; destroys the predictor too.
US_API void us_latent_destroy(UsLatent* m);

// Both stay the model's.
US_API UsPredictor* us_latent_predictor(const UsLatent* m);
US_API UsWorldModel* us_latent_model(const UsLatent* m);

// The codes' weights as latent.safetensors in the folder of their predictor (model_folder.h), and
// both together. On failure *out is NULL. Nullable: device (the CPU).
US_API UsStatus us_latent_save(const UsLatent* m, const char* folder);
US_API UsStatus us_latent_open(const char* folder, UsDevice* device, UsLatent** out);

// What the codes of the last loss without a gradient say, on a tape of us_latent_model: nats an env
// step, as a part of the batch's.
US_API double us_latent_nats(const UsTape* tape);

// Codes of a batch as above: codes (B, T - 1, K, L), ordinary memory.
US_API UsStatus us_latent_codes(const UsLatent* m, const UsBatch* batch, float* codes);

// What codes are worth on held-back samples: errors as ratios to repeating the last known frame, of
// the next frame and of frame `horizon` of an open loop, told a sample's own codes, and told those
// of another sample. Where codes are used the latter come near 1 or above.
typedef struct UsLatentFigures {
  UsValidation own, shuffled;
  double nats;  // that a code says of an env step
} UsLatentFigures;

// Measures them on `batches` batches of `batch` samples, 2 at least, of C + horizon frames each.
// Fails with US_MEMORY or US_INTERRUPTED.
US_API UsStatus us_latent_measure(const UsLatent* m, UsTrainData held, int batch, int batches,
                                  int horizon, UsLatentFigures* out);

US_C_END

#endif  // UNDERSTUDY_LATENT_H_
