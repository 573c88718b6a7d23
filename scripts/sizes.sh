# How much the demo collects, for scripts that source this file: training trajectories, their env steps,
# held-out ones. What planning and fine-tuning need stands in the task's table.
demo_sizes() {  # task
  train=600 steps=200 heldout=600 heldout_steps=60
  case "$1" in
    pusht) train=3000 ;;
    arm_reach) steps=100 ;;
    arm_cube) steps=150 ;;
    rope | granular) steps=20 heldout_steps=14 ;;  # an env step is a whole push
  esac
}
