#ifndef UNDERSTUDY_API_H_
#define UNDERSTUDY_API_H_

// What every public header begins with: US_API marks what the library exports, US_C_BEGIN and
// US_C_END let C++ call it. What a version promises stands in understudy.h.

#define US_VERSION "0.1.0"

#define US_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define US_C_BEGIN extern "C" {
#define US_C_END }
#else
#define US_C_BEGIN
#define US_C_END
#endif

#endif  // UNDERSTUDY_API_H_
