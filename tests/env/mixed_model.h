#ifndef UNDERSTUDY_MIXED_MODEL_H_
#define UNDERSTUDY_MIXED_MODEL_H_

// A model with an actuator of every kind, of which some have several controls or forces, and two
// have limited activations: 7 actuators, 11 controls, 9 forces, 3 activations.

enum { mixed_feedforward = 4, mixed_damped = 4 };  // the control that is a force itself; a dof

static const char mixed_model[] =
    "<mujoco model='mixed'><option gravity='0 0 0'/><default><geom contype='0' conaffinity='0' "
    "type='capsule' fromto='0 0 0 .3 0 0' size='.03'/><joint type='hinge' axis='0 1 0' "
    "damping='.3'/></default><worldbody><light pos='0 -2 3'/><camera name='c' pos='0 -3 0'/>"
    "<body><joint name='a'/><geom/></body><body><joint name='b'/><geom/></body>"
    "<body><joint name='c'/><geom/></body><body><joint name='d' range='-1 1' limited='true'/>"
    "<geom/></body><body><joint name='e'/><geom/></body><body><joint name='f'/><geom/></body>"
    "<body><joint name='g' type='ball'/><geom/></body></worldbody><actuator>"
    "<intvelocity joint='a' kp='5' ctrlrange='-3 3' actrange='-1 1'/>"
    "<motor joint='b' ctrlrange='-1 1'/>"
    "<pid joint='c' input='pos vel ff' kp='8' kv='1' ki='2' ctrlrange='-1 1'/>"
    "<muscle joint='d' lengthrange='.2 1.5'/><damper joint='e' kv='3' ctrlrange='0 1'/>"
    "<dcmotor joint='f' motorconst='.1' resistance='1'/>"
    "<orientation joint='g' kp='4' kv='.1'/></actuator></mujoco>";

#endif  // UNDERSTUDY_MIXED_MODEL_H_
