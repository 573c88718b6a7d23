#include "scripts/commands/trained.h"

#include <math.h>
#include <stdio.h>

#include "scripts/cli/cli.h"
#include "scripts/report/loss_curve.h"
#include "worldmodel/base/frame.h"

// The likeliest reason of a bad error, and what to do.
static void print_reason(const UsTrainResult* r) {
  if (r->changing < US_FRAME_FEW) {
    printf(
        "the frames hardly change (%.2f %% of the pixels within a second), so their camera does "
        "not see what moves (collect --camera; inspect FILE.xml --png)\n",
        100 * r->changing);
  } else if (r->unseen) {
    printf(
        "the embedded encoder has not seen this scene (train one by understudy encoder train, or "
        "look at finetune --encoder state first)\n");
  } else {
    printf("more steps or more trajectories may be needed\n");
  }
}

static void print_success(const char* out, const UsSuccessFigures* f) {
  printf(
      "%s: success head: AUROC %.4f on %lld held-back pairs, of which it calls %.1f %% of the "
      "solved "
      "and %.2f %% of the others solved\n",
      out, f->auroc, (long long)f->pairs, 100 * f->hits, 100 * f->alarms);
}

int us_cli_trained(const char* command, const char* out, UsStatus status, const UsTrainResult* r) {
  // A run that was killed before its picture is whole; the next one draws what is missing.
  char picture[4096];
  if (status == US_OK &&
      !(r->complete && us_file_exists(us_path_join(picture, sizeof(picture), out, "loss.svg")))) {
    status = us_loss_curve_draw(out);
  }
  // Its failure, or nothing left to do.
  if (status != US_OK) return us_cli_fail(command, status);
  if (r->complete) {
    printf("%s: is complete\n", out);
    return 0;
  }
  // A head alone was asked for.
  if (r->steps == 0 && r->success.pairs) {
    print_success(out, &r->success);
    return 0;
  }
  // How it went: measured errors, as shares of those of repeating the last frame, or why there are
  // none.
  const UsValidation* v = &r->validation;
  printf("%s: %lld steps", out, (long long)r->steps);
  if (isfinite(v->one_step) && isfinite(v->open_loop)) {
    printf(
        "; error on held-back episodes, of repeating the last frame: next frame %.3f, frame %d "
        "%.3f",
        v->one_step, r->horizon, v->open_loop);
  } else if (v->measured) {
    printf("; the tokens of held-back frames do not change, so repeating the last is no error");
  } else {
    printf("; no held-back episode is long enough to measure errors");
  }
  printf("\n");
  if ((isfinite(v->one_step) && v->one_step > 1) || (isfinite(v->open_loop) && v->open_loop > 1)) {
    printf("%s: above 1 is worse than repeating the last frame: ", out);
    print_reason(r);
  } else if (v->measured && r->changing < US_FRAME_FEW) {
    printf("%s: there is little to learn: ", out);
    print_reason(r);
  }
  // The head, where there is one.
  if (r->success.pairs) print_success(out, &r->success);
  // With a film: what its labels were worth, and which stage they led to.
  if (r->chosen) {
    printf(
        "%s: labels of the film: R^2 %.3f on held-back steps, rank correlation of expected and "
        "true errors %.2f; kept: stage %s\n",
        out, r->label_r2, r->label_correlation, r->chosen);
  }
  // With latent actions: whether they are used, which those of another sample would not tell.
  if (r->coded) {
    printf(
        "%s: told what happened in another sample: next frame %.3f, frame %d %.3f; a code says "
        "%.2f nats of an env step\n",
        out, r->latent.shuffled.one_step, r->horizon, r->latent.shuffled.open_loop, r->latent.nats);
  }
  return 0;
}
