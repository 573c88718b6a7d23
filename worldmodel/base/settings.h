#ifndef UNDERSTUDY_SETTINGS_H_
#define UNDERSTUDY_SETTINGS_H_

// Settings of a job as one list, from which its struct, defaults, checks, command-line options,
// JSON and resume key come. A setting is one line:
//
//   X(type, name, default, low, high, use, argument, help)
//
//   type      INT int, SEED uint64_t, REAL double, FLOAT float, FLAG int 0 or 1, TEXT const char*
//   name      of the field; the option is --name with - for _
//   default   a number; of a TEXT it is NULL, and what NULL means stands in the help; a
//             number outside the range means something too, as said there
//   low, high range, both ends allowed; of a FLAG, SEED or TEXT not looked at
//   use       RESULT: another value gives another result, so a stopped run goes on with the same
//             alone; FREE: it changes no result (threads, where to write)
//   argument  what --help calls the value; NULL for a FLAG
//   help      one line
//
// A job's header holds its list and makes a struct of it, which may have members of its own behind:
//
//   #define US_THING_SETTINGS(X)  lines X(INT, horizon, 5, 1, 1000, RESULT, "N", "blocks imagined")
//   typedef struct UsThingConfig {
//     US_THING_SETTINGS(US_SETTING_FIELD)
//     UsPool* pool;
//   } UsThingConfig;
//   extern const UsSetting us_thing_settings[];
//
// and its source the table:
//
//   #define US_SETTING_OF UsThingConfig
//   const UsSetting us_thing_settings[] = {US_THING_SETTINGS(US_SETTING_ROW) US_SETTING_END};
//
// Threads: lists are constant; every call works on its arguments alone.

#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "worldmodel/base/api.h"
#include "worldmodel/base/status.h"

US_C_BEGIN

typedef enum UsSettingType {
  US_SETTING_INT,
  US_SETTING_SEED,
  US_SETTING_REAL,
  US_SETTING_FLOAT,
  US_SETTING_FLAG,
  US_SETTING_TEXT
} UsSettingType;

typedef enum UsSettingUse { US_SETTING_RESULT, US_SETTING_FREE } UsSettingUse;

// A line of a list. Lists end with a NULL name.
typedef struct UsSetting {
  const char* name;
  UsSettingType type;
  size_t at;      // bytes from the start of the struct
  double preset;  // the default; of a TEXT 0
  double low, high;
  UsSettingUse use;
  const char* argument;  // NULL for a FLAG
  const char* help;
} UsSetting;

#define US_SETTING_C_INT int
#define US_SETTING_C_SEED uint64_t
#define US_SETTING_C_REAL double
#define US_SETTING_C_FLOAT float
#define US_SETTING_C_FLAG int
#define US_SETTING_C_TEXT const char*

// A line as a member of the struct.
#define US_SETTING_FIELD(type, name, preset, low, high, use, argument, help) \
  US_SETTING_C_##type name;

#define US_SETTING_PRESET_INT(x) (double)(x)
#define US_SETTING_PRESET_SEED(x) (double)(x)
#define US_SETTING_PRESET_REAL(x) (double)(x)
#define US_SETTING_PRESET_FLOAT(x) (double)(x)
#define US_SETTING_PRESET_FLAG(x) (double)(x)
#define US_SETTING_PRESET_TEXT(x) 0

// A line as an element of the table; US_SETTING_OF is the struct's name while a list is expanded.
#define US_SETTING_ROW(type, name, preset, low, high, use, argument, help) \
  {#name,                                                                  \
   US_SETTING_##type,                                                      \
   offsetof(US_SETTING_OF, name),                                          \
   US_SETTING_PRESET_##type(preset),                                       \
   (double)(low),                                                          \
   (double)(high),                                                         \
   US_SETTING_##use,                                                       \
   argument,                                                               \
   help},
#define US_SETTING_END \
  { NULL, US_SETTING_INT, 0, 0, 0, 0, US_SETTING_FREE, NULL, NULL }

// The setting of this name, or NULL. A - stands for a _.
US_API const UsSetting* us_setting_find(const UsSetting* list, const char* name);

// Writes every default.
US_API void us_settings_default(const UsSetting* list, void* config);

// US_USAGE when a number lies out of its range or is not finite, with the option's name.
US_API UsStatus us_settings_check(const UsSetting* list, const void* config);

// 1 if the value of one setting lies in its range.
US_API int us_setting_fits(const UsSetting* s, const void* config);

// Reads one value from a text, as the command line has it ("12", "0.5"; of a FLAG "0" or "1").
// US_USAGE for a text that is no such value or lies out of range. A TEXT keeps the pointer.
US_API UsStatus us_setting_set(const UsSetting* s, void* config, const char* text);

// Writes a number. US_USAGE when it lies out of range; a TEXT takes none.
US_API UsStatus us_setting_put(const UsSetting* s, void* config, double x);

// Adds every setting to an object, under its name; a TEXT that is NULL as null.
US_API void us_settings_json(const UsSetting* list, const void* config, cJSON* object);

// Takes over what an object has of a list's numbers; others keep their value. `name` stands for
// the file in messages. A wrong type or a number out of range is US_FORMAT.
US_API UsStatus us_settings_read(const UsSetting* list, void* config, const char* name,
                                 const cJSON* object);

// Adds the settings that a result depends on, exactly, to an object: what a resume key is hashed
// from.
US_API void us_settings_key(const UsSetting* list, const void* config, cJSON* object);

US_C_END

#endif  // UNDERSTUDY_SETTINGS_H_
