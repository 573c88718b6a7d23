#ifndef UNDERSTUDY_MJCF_FILE_H_
#define UNDERSTUDY_MJCF_FILE_H_

// From an MJCF or URDF file to a compiled model. For mjcf.c.

#include <mujoco/mujoco.h>

#include "env/scene.h"
#include "tasks/mjcf/mjcf.h"
#include "tasks/mjcf/mjcf_files.h"
#include "worldmodel/base/api.h"
#include "worldmodel/base/file.h"

US_C_BEGIN

// The camera that every model gets beside its own.
#define US_MJCF_CAMERA US_SCENE_CAMERA

// Compiles a file, with names for cameras that have none, a camera US_MJCF_CAMERA of the world (its
// last one, at the origin until it is placed) and what mjcf_adapt.h does, and hashes what mjcf.h
// says. first (64): the name of the camera that stands first in the file; "" where there is none.
// On failure *out is NULL; the caller owns it. Nullable: files, through which MuJoCo reads, of a
// robot or of config->path, which messages name; ranges, see us_mjcf_adapt_take.
US_API UsStatus us_mjcf_compile(const UsMjcfConfig* config, const UsMjcfFiles* files,
                                const cJSON* ranges, mjModel** out, char* first,
                                char hash[US_HASH_CHARS]);

// What the first element of an XML text is called, to name (64); "" where it is none.
US_API void us_xml_root(const char* text, char* name);

// The first camera element of an MJCF file in the order of its text, what it includes taken in:
// name (64), "" where it has none, and its line; 0: there is none. Those of <default> do not count.
US_API int us_xml_first_camera(const char* path, char* name);

// The same of a text that includes nothing.
US_API int us_xml_first_camera_in(const char* text, char* name);

// Gives the text of a file by its path, or NULL.
typedef const char* UsXmlFind(void* arg, const char* path);

// The text of a file with what it includes in the place of each include, as a copy to be freed;
// NULL: the file is not found, or there is no memory. What is not found stays as it is.
US_API char* us_xml_expand(const char* path, UsXmlFind* find, void* arg);

// Whether the value of some attribute begins with a slash, as an absolute path does.
US_API int us_xml_names_root(const char* text);

US_C_END

#endif  // UNDERSTUDY_MJCF_FILE_H_
