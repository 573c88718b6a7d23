#ifndef UNDERSTUDY_COMMANDS_H_
#define UNDERSTUDY_COMMANDS_H_

// The commands of the program. A command is one file, scripts/commands/cmd_<name>.c, with one
// function, int us_cmd_<name>(int argc, const char** argv) where argv[0] is its name and the exit
// code comes back, and one line here. --help and completion list them from here.

#define US_COMMANDS(X)                                                     \
  X(collect, "record trajectories of a task into a dataset")               \
  X(dataset, "show, verify, import or convert a file of trajectories")     \
  X(encoder, "train a frozen encoder, or probe what its features know")    \
  X(pretrain, "train the predictor on trajectories without their actions") \
  X(finetune, "train the action-conditioned predictor of a world model")   \
  X(eval, "plan in the model and in the simulator, and count successes")   \
  X(report, "draw the pictures of an evaluation")                          \
  X(compare, "put evaluations beside each other, with tests")              \
  X(view, "watch or drive a task beside what its model imagines")          \
  X(inspect, "load a file or folder wholly and say what it is")            \
  X(bench, "measure rollouts, rendering and training against their parts")

#define X(name, summary) int us_cmd_##name(int argc, const char** argv);
US_COMMANDS(X)
#undef X

#endif  // UNDERSTUDY_COMMANDS_H_
