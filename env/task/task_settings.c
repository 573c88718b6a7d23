#include <string.h>

#include "env/task.h"

// 1 if a word stands in a text of words separated by spaces.
static int has_word(const char* text, const char* word) {
  size_t n = strlen(word);
  for (const char* at = text; (at = strstr(at, word)); at += n) {
    if ((at == text || at[-1] == ' ') && (at[n] == 0 || at[n] == ' ')) return 1;
  }
  return 0;
}

UsStatus us_task_settings(const UsTask* task, const char* job, const char* given,
                          const UsSetting* list, void* config) {
  for (const UsTaskSetting* t = given ? task->settings : NULL; t && t->job; t++) {
    const UsSetting* s = us_setting_find(list, t->name);
    if (!s || strcmp(t->job, job) != 0 || has_word(given, s->name)) continue;
    US_TRY(us_setting_put(s, config, t->value));
  }
  return US_OK;
}
