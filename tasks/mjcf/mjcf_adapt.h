#ifndef UNDERSTUDY_MJCF_ADAPT_H_
#define UNDERSTUDY_MJCF_ADAPT_H_

// What becomes of a file beyond what it says: settings of the caller as if they stood in it, motors
// of a URDF, ranges of position servos, things that are not drawn. For mjcf_file.c and mjcf.c.

#include <cjson/cJSON.h>
#include <mujoco/mujoco.h>

#include "tasks/mjcf/mjcf.h"

US_C_BEGIN

// Writes the caller's settings into the <custom> of a spec, in place of the file's own, and gives a
// URDF, which has no actuators, a motor of its effort limit in every joint that has one.
US_API void us_mjcf_adapt_spec(mjSpec* spec, const UsMjcfConfig* config, int urdf);

// Adds a custom number of `size` zeros, to be filled in the compiled model.
US_API void us_mjcf_add_room(mjSpec* spec, const char* name, int size);

// Gives position servos without a range of their control that of their joint.
US_API void us_mjcf_adapt_ranges(mjModel* m);

// The ranges that position servos of joints have by now, as [control, low, high, ...]; NULL: none.
US_API cJSON* us_mjcf_adapt_said(const mjModel* m);

// Gives them such ranges, as another version may have found others. Nullable: said.
US_API void us_mjcf_adapt_take(mjModel* m, const cJSON* said);

// Lets what the custom text understudy_hide names be transparent.
US_API UsStatus us_mjcf_hide(const char* path, mjModel* m);

// Lets all geoms and sites of a body be transparent.
US_API void us_mjcf_hide_body(mjModel* m, int body);

// ---- custom texts that are lists of names ----

// The custom text of this name; NULL: there is none.
US_API const char* us_mjcf_text(const mjModel* m, const char* name);

// Copies the next name of a list, behind commas and blanks, to out (64) and returns what follows;
// NULL at its end.
US_API const char* us_mjcf_next_name(const char* list, char* out);

// Names of all objects of a type for messages, as many as fit.
US_API void us_mjcf_names(const mjModel* m, int type, char* out, size_t size);

US_C_END

#endif  // UNDERSTUDY_MJCF_ADAPT_H_
