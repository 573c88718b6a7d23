# How tests of long scripts begin, for those that source this file with BUILD as their first word: in
# the source folder, with that build's programs and a scratch folder $work.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
UNDERSTUDY_BUILD=$(realpath "$1")
export UNDERSTUDY_BUILD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$1"; exit 1; }

# Runs a command to its end; without OpenGL the test is skipped.
whole() {
  "$@" >"$work/log" 2>&1 || {
    cat "$work/log"
    if grep -q 'OpenGL' "$work/log"; then exit 77; fi
    exit 1
  }
}
