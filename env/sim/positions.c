// Which numbers of a simulator's state are positions, and what they are called.

#include <stdio.h>

#include "env/sim.h"

int us_sim_positions(const UsEnv* e) {
  // What a robot's numbers are nobody knows.
  return us_sim_task(e)->exec ? us_env_info(e)->state : (int)us_sim_model(e)->nq;
}

int us_sim_places(const UsEnv* e, UsPosition* list) {
  const mjModel* m = us_sim_model(e);
  int count = 0;
  for (int j = 0; j < m->njnt; j++) {
    const char* name = mj_id2name(m, mjOBJ_JOINT, j);
    char number[24];
    snprintf(number, sizeof(number), "joint %d", j);
    if (!name) name = number;
    int at = m->jnt_qposadr[j], type = m->jnt_type[j];
    // A ball joint and a free joint's turn are quaternions, which no map reads off linearly.
    if (type == mjJNT_SLIDE || type == mjJNT_HINGE) {
      UsPosition* p = &list[count++];
      *p = (UsPosition){.at = at, .angle = type == mjJNT_HINGE};
      snprintf(p->name, sizeof(p->name), "%.40s", name);
    }
    for (int i = 0; type == mjJNT_FREE && i < 3; i++) {
      UsPosition* p = &list[count++];
      *p = (UsPosition){.at = at + i};
      snprintf(p->name, sizeof(p->name), "%.30s %c", name, 'x' + i);
    }
  }
  return count;
}
