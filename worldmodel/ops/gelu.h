#ifndef UNDERSTUDY_GELU_H_
#define UNDERSTUDY_GELU_H_

// gelu and its slope in single precision, the same for every device:
//
//   gelu(x)  = max(x, 0) - t Q(t),  t = |x|, Q the upper tail of the normal distribution
//   gelu'(x) = Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi)
//
// Who includes this says with US_FORMULA how a function of one number is declared there, and brings
// an exponential of its own: e = exp(-t^2 / 2).

#include <math.h>

// Far out t Q(t) vanishes; the bound keeps infinity times zero away and lets NaN through.
US_FORMULA float us_bounded_abs(float x) {
  float t = fabsf(x);
  return t > 16.0f ? 16.0f : t;
}

// Q(t) = erfc(t / sqrt 2) / 2 for t >= 0: e times a polynomial in 1 / (1 + p t), the form of
// Abramowitz and Stegun 7.1.26 with coefficients fitted so that t Q(t) is within 2e-8 before
// rounding.
US_FORMULA float us_normal_tail(float t, float e) {
  float k = 1.0f / (1.0f + 0.39f * t);
  float p = 0.05361757054924965f;
  p = p * k - 0.2573806047439575f;
  p = p * k + 0.37388876080513f;
  p = p * k - 0.015702368691563606f;
  p = p * k + 0.19410265982151031f;
  p = p * k + 0.15147393941879272f;
  return p * k * e;
}

// gelu(x) is x for large x and 0 for small; in between the tail takes off its share. t is
// us_bounded_abs(x).
US_FORMULA float us_gelu_of(float x, float t, float e) {
  return (x < 0.0f ? 0.0f : x) - t * us_normal_tail(t, e);
}

US_FORMULA float us_gelu_slope_of(float x, float t, float e) {
  float q = us_normal_tail(t, e) - t * e * 0.39894228f;  // 1 - gelu'(t) = gelu'(-t)
  return x < 0.0f ? q : 1.0f - q;
}

#endif  // UNDERSTUDY_GELU_H_
