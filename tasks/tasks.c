// The tasks in the order of their list.

#include "tasks/tasks.h"

#include <stddef.h>

const UsTask* const us_tasks[] = {
#define X(name) &us_task_##name,
    US_TASKS(X)
#undef X
        NULL,
};
