#!/usr/bin/env bash
# The commands of tasks/mjcf/README.md, as they stand there but for their sizes, come to a report:
# hour.sh BUILD [packaged]. The robot is one of ours; `packaged`: the page's own, which pip brings.
# Exit code 77, a skip, where nothing renders or pip brings nothing.
set -euo pipefail
. "$(dirname "$0")/rehearsal.sh"
awk '/^```/ { on = !on; next } on' tasks/mjcf/README.md >"$work/page"
[ "$(grep -c '^understudy ' "$work/page")" -ge 9 ] || fail "the page has few commands: $(cat "$work/page")"
for word in inspect collect finetune 'encoder probe' eval report; do
  grep -q "^understudy $word" "$work/page" || fail "the page has no understudy $word"
done

# Small sizes: episodes and steps of training, not those of an episode.
sed -E -e 's/--episodes [0-9]+/--episodes 6/; /^understudy collect/! s/--steps [0-9]+/--steps 6/' \
  -e '/^understudy finetune/ { /--steps/! s/$/ --steps 6/; s/$/ --width 32 --depth 1/ }' \
  -e '/^understudy eval/ s/$/ --films 1 --samples 8 --iterations 1/' \
  -e 's/^understudy/"$UNDERSTUDY_BUILD"\/understudy/' "$work/page" >"$work/commands"
if [ "${2:-}" != packaged ]; then
  sed -E -i -e '/^(pip|python3) /d' -e "s|^ROBOT=.*|ROBOT=$PWD/tests/tasks/robots/grip.xml|" \
    -e 's/^HAND=.*/HAND=hand/' "$work/commands"
elif ! pip download -q --no-deps --dest "$work/wheels" gymnasium-robotics 2>"$work/pip"; then
  tail -n 1 "$work/pip"
  exit 77
fi

cd "$work"
whole bash -euo pipefail commands
for file in robot.png train.png model-state/config.json model/encoder/config.json report/index.html; do
  [ -s "$file" ] || fail "there is no $file"
done
grep -q '"model":' eval.json && grep -q '"state":' eval.json && grep -q '"random":' eval.json ||
  fail "rows are missing"
grep -qE 'pixels change within a second' log || fail "collect does not say what changes: $(cat log)"
