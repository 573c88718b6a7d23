#!/usr/bin/env bash
# Installs the build $2 of the source $1 into a new folder and builds the example plugin outside the
# tree from that alone, once with CMake and once with pkg-config. Each has to collect, to pass the
# contract tests, and to be refused where it should.
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

step() { echo "-- $*"; }
fail() { echo "FAILED: $*"; exit 1; }
# refused TEXT COMMAND...: it fails with one line that has the text
refused() {
  local text=$1
  shift
  if "$@" >out 2>err; then fail "accepted: $*"; fi
  [ "$(wc -l <err)" = 1 ] && grep -qF -- "$text" err || fail "expected one line with '$text', found: $(cat err)"
  [ ! -s out ] || fail "printed: $(cat out)"
}

step "install, then move: nothing may point back"
cmake --install "$build" --prefix "$work/first" >install.log || { cat install.log; exit 1; }
mv first "installed here"
prefix="$work/installed here"
program="$prefix/bin/understudy"
env -u LD_LIBRARY_PATH "$program" --version
env -u LD_LIBRARY_PATH "$program" view --help >help
grep -q '^Usage: understudy view' help
for f in "$program" "$prefix"/lib*/libunderstudy.so; do
  found=$(ldd "$f" | grep libmujoco)
  case $found in *"$prefix"/*) ;; *) fail "$f finds MuJoCo elsewhere: $found" ;; esac
done

step "the installed headers together"
include="$prefix/include/understudy"
(cd "$include" && find . -name '*.h' ! -path './mujoco/*' | sed 's|^\./||') | sort >headers
grep -qx env/env.h headers && grep -qx understudy.h headers
while read -r h; do echo "#include <$h>"; done <headers >all.c
cc -std=gnu11 -Wall -Werror -fsyntax-only -I "$include" all.c

step "build the plugin with CMake"
mkdir cmake_way
cp "$source"/tests/plugin/{drift.c,CMakeLists.txt} cmake_way
cmake -S cmake_way -B cmake_way/build -DCMAKE_PREFIX_PATH="$prefix" >cmake.log || { cat cmake.log; exit 1; }
cmake --build cmake_way/build >>cmake.log || { cat cmake.log; exit 1; }
first=$work/cmake_way/build/libdrift.so

step "and with pkg-config, which takes no spaces"
ln -s "$prefix" link
pc=$(dirname "$(find "$work/link/" -name understudy.pc)")
flags=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs understudy)
# shellcheck disable=SC2086
cc -std=gnu11 -fPIC -shared -fvisibility=hidden cmake_way/drift.c -o drift.so $flags -lm

for plugin in "$first" drift.so; do
  step "$plugin: collect, contract"
  rm -f drift.h5
  "$program" collect --plugin "$plugin" --task drift --episodes 2 --steps 20 --seed 1 --out drift.h5
  "$program" dataset verify drift.h5
  for test in test_tasks test_tasks_gl; do
    UNDERSTUDY_TEST_PLUGIN=$(realpath "$plugin") "$build/$test" >log 2>&1 || { cat log; exit 1; }
  done
done

step "finetune and eval"
drift=("$program" collect --plugin drift.so --task drift --episodes 8 --steps 60 --size 64)
"${drift[@]}" --seed 1 --out train.h5 >log
"${drift[@]}" --seed 2 --out heldout.h5 >log
train=("$program" finetune --data train.h5 --encoder state --mode scratch --width 16 --depth 1
  --heads 2 --steps 3 --batch 4 --out model)
eval=("$program" eval --model model --data heldout.h5 --rows random,oracle --episodes 4
  --oracle-pairs 4 --samples 16 --elites 4 --iterations 2 --json eval.json)
refused "see --plugin" "${train[@]}"
"${train[@]}" --plugin drift.so >log
refused "--plugin adds tasks" "${eval[@]}"
"${eval[@]}" --plugin drift.so >log
grep -q '^oracle' log || fail "no oracle in: $(cat log)"

step "refusals"
collect=("$program" collect --task drift --episodes 1 --out none.h5)
refused "no task named drift" "${collect[@]}"
refused "twice.so: task drift: name: expected a name of its own" \
  bash -c 'cp drift.so twice.so; "$@" --plugin drift.so --plugin twice.so' - "${collect[@]}"
refused "none.so: expected a shared library, found: No such file" "${collect[@]}" --plugin none.so
refused "cmake.log: expected a shared library with us_plugin(), found: " "${collect[@]}" --plugin cmake.log
echo 'int nothing;' >other.c
cc -shared -fPIC other.c -o other.so
refused "other.so: expected a shared library with us_plugin(), found: " "${collect[@]}" --plugin other.so
echo 'void* us_plugin(void) { return 0; }' >other.c
cc -shared -fPIC other.c -o other.so
refused "other.so: us_plugin: expected a table, found NULL" "${collect[@]}" --plugin other.so
sed 's/\.abi = US_TASK_ABI/.abi = US_TASK_ABI + 1/' cmake_way/drift.c >other.c
# shellcheck disable=SC2086
cc -std=gnu11 -fPIC -shared other.c -o other.so $flags -lm
refused "other.so: task drift: abi: expected" "${collect[@]}" --plugin other.so
[ ! -e none.h5 ] || fail "a refused command left a file"

step "completion of the installed program"
PATH="$prefix/bin:$PATH" bash -c '
  . "$1"
  COMP_WORDS=(understudy coll) COMP_CWORD=1
  _understudy
  [ "${COMPREPLY[*]}" = collect ]' - "$prefix/share/bash-completion/completions/understudy" ||
  fail "the completion does not know collect"
echo "passed"
