#!/usr/bin/env bash
# Whether what moves is seen: runs the robots of dm_control, gymnasium and gymnasium-robotics, which
# pip brings into a scratch environment, through `inspect` and `collect`. Of those in which random
# actions move something that is drawn by 1 % of the extent within a second, 0.3 % of the frames'
# pixels have to change within a second. A line a robot, then the sums; fails where one is not seen.
#   scripts/bench/robots.sh [PROGRAM [FOLDER]]    the program; where the environment and results are
#   ROBOTS=ant scripts/bench/robots.sh            those alone whose path matches
#   TRAIN=600 scripts/bench/robots.sh             also learns each robot's states in so many steps, and
#                                                 counts those learned better than the last row says
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(realpath "${1:-build/release/understudy}")
folder=$(realpath -m "${2:-runs/robots}")
mkdir -p "$folder"/{mazes,out}

python=$folder/venv/bin/python
if ! "$python" -c 'import gymnasium_robotics, dm_control' 2>/dev/null; then
  # Without their dependencies but those that write the mazes: files are all that is wanted.
  if ! { python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q --no-deps \
    dm_control gymnasium gymnasium-robotics && "$folder/venv/bin/pip" install -q numpy packaging \
    typing_extensions farama-notifications cloudpickle mujoco imageio Jinja2 pettingzoo; } >&2; then
    echo "robots: dm_control, gymnasium and gymnasium-robotics could not be installed" >&2
    exit 77
  fi
fi
site=$(dirname "$("$python" -c 'import importlib.util as u; print(u.find_spec("gymnasium").submodule_search_locations[0])')")

# Mazes are written by the package itself.
"$python" - "$site" "$folder/mazes" <<'PY' 2>/dev/null
import shutil, sys
from gymnasium_robotics.envs.maze import maps
from gymnasium_robotics.envs.maze.maze_v4 import Maze

site, out = sys.argv[1:]
agents = {"point": (site + "/gymnasium_robotics/envs/assets/point/point.xml", 1, 0.4),
          "ant": (site + "/gymnasium/envs/mujoco/assets/ant.xml", 4, 0.5)}
for agent, (xml, scale, height) in agents.items():
    for maze in ["U_MAZE", "OPEN", "MEDIUM_MAZE", "LARGE_MAZE"]:
        _, path = Maze.make_maze(xml, getattr(maps, maze), scale, height)
        shutil.copy(path, f"{out}/{agent}_{maze.lower()}.xml")
PY

assets=$site/gymnasium_robotics/envs/assets
files=("$site"/dm_control/suite/*.xml "$site"/gymnasium/envs/mujoco/assets/*.xml
  "$assets"/adroit_hand/adroit_{door,hammer,pen,relocate}.xml
  "$assets"/kitchen_franka/kitchen_assets/kitchen_env_model.xml
  "$assets"/hand/{reach,manipulate_{block,egg,pen}{,_touch_sensors}}.xml "$assets"/point/point.xml
  "$assets"/fetch/{reach,slide,push,pick_and_place}.xml
  "$site"/gymnasium_robotics/envs/multiagent_mujoco/assets/coupled_half_cheetah.xml
  "$folder"/mazes/*.xml)

# Prints the error of the next row on held-back episodes, of repeating the last; keeps it, so that a
# run which was stopped goes on.
learn() {
  local kept=$2-error-$TRAIN
  [ -s "$kept" ] || {
    "$program" collect --task "mjcf:$1" --size 0 --episodes 90 --steps 50 --seed 1 --threads 1 \
      --overwrite --out "$2-state.h5" >/dev/null 2>&1 &&
      "$program" finetune --data "$2-state.h5" --plugin "mjcf:$1" --encoder state --mode scratch \
        --steps "$TRAIN" --batch 32 --width 64 --depth 2 --success-steps 0 --threads 1 --overwrite \
        --out "$2-model" 2>/dev/null |
      sed -nE 's/.* next frame ([0-9.e+-]+),.*/\1/p' >"$kept"
  }
  cat "$kept"
}

all=0 loaded=0 moving=0 seen=0 learned=0 blind=""
printf '%-60s %8s %8s  %s\n' "robot" "moves" "changes" "camera"
for file in "${files[@]}"; do
  [[ $file =~ ${ROBOTS:-.} ]] || continue
  name=${file#"$site"/}
  name=${name#"$folder"/}
  all=$((all + 1))
  out=$folder/out/$(tr / _ <<<"${name%.xml}")
  if ! "$program" inspect "$file" --png "$out.png" >"$out.txt" 2>&1 ||
    ! "$program" collect --task "mjcf:$file" --episodes 4 --steps 40 --seed 1 --threads 1 \
      --overwrite --out "$out.h5" >"$out.log" 2>&1; then
    printf '%-60s %s\n' "$name" "$(tail -qn 1 "$out.txt" "$out.log" 2>/dev/null | tail -n 1)"
    continue
  fi
  loaded=$((loaded + 1))
  moves=$(sed -nE 's/^  random actions move .* by ([0-9.e+-]+) of the extent.*/\1/p' "$out.txt")
  changes=$(sed -nE 's/.*, ([0-9.e+-]+) % of pixels change within a second.*/\1/p' "$out.log")
  camera=$(sed -nE 's/^  \* ([^ ]+) .*/\1/p' "$out.txt")
  error=""
  if [ -n "${TRAIN:-}" ]; then
    error=$(learn "$file" "$out" || true)
    if awk "BEGIN { exit !(${error:-9} < 1) }"; then learned=$((learned + 1)); fi
  fi
  printf '%-60s %7s%% %7s%%  %s%s\n' "$name" \
    "$(awk "BEGIN { printf \"%.2f\", 100 * ${moves:-0} }")" "${changes:-?}" "$camera" \
    "${TRAIN:+  error ${error:-?}}"
  awk "BEGIN { exit !(${moves:-0} >= 0.01) }" || continue
  moving=$((moving + 1))
  if awk "BEGIN { exit !(${changes:-0} >= 0.3) }"; then seen=$((seen + 1)); else blind+=" $name"; fi
done
[ -z "${TRAIN:-}" ] || echo "states learned better than by repeating the last row in $learned"
echo "$all robots, $loaded load; something moves in $moving, and is seen in $seen of them${blind:+; not in:$blind}"
[ "$loaded" = "$all" ] && [ "$seen" = "$moving" ]
