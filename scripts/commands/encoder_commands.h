#ifndef UNDERSTUDY_ENCODER_COMMANDS_H_
#define UNDERSTUDY_ENCODER_COMMANDS_H_

// The two halves of `understudy encoder`. argv[0] is "encoder train" or "encoder probe".

int us_encoder_train_command(int argc, const char** argv);
int us_encoder_probe_command(int argc, const char** argv);

#endif  // UNDERSTUDY_ENCODER_COMMANDS_H_
