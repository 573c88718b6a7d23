# Long work as steps that survive kills, for scripts that source this file:
#
#   . scripts/steps.sh
#   steps_begin NAME OUT MINUTES      enters OUT, which is made, and locks it; puts the programs into
#                                     PATH; the run ends after so many minutes (0: never)
#   steps_device NAME                 says where commands compute: cpu, cuda or cuda:N
#   steps_plan                        begins an empty plan
#   step OUTPUT WORD...               adds a step: the command that makes the file or folder OUTPUT,
#                                     a path below OUT. Words have no spaces
#   steps_run LABEL                   runs what of the plan is not done. 0: all is done; 75: time is
#                                     up; else a step failed, and the last line of its log is printed
#   steps_json FILE                   the plan's commands as a JSON list, what is needed to make FILE
#                                     from nothing
#
# A step is done when a note in OUT/steps says so, with the hash of its command and of the steps whose
# outputs its words name. Where the hash is another, the output is made anew. Commands go on where a
# kill left them (--resume); they die with the script, and what is left of its time is theirs.
# Where a script is a step of another, both end at the same time. STEPS_THREADS: threads of the commands.
# A device changes results by rounding, so it is part of the commands that take one, and of their hashes.

export LC_ALL=C
declare -A step_key

steps_begin() {
  steps_name=$1
  local root
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  UNDERSTUDY_BUILD=$(realpath "${UNDERSTUDY_BUILD:-$root/build/release}")
  export UNDERSTUDY_BUILD PATH="$UNDERSTUDY_BUILD:$root/scripts:$PATH"
  mkdir -p "$2"
  cd "$2"
  mkdir -p steps log
  exec 9<>lock
  # Commands of a run that was killed hold it until they are gone, which is soon.
  flock -w 3 9 || { echo "$steps_name: $2: another run is at work here, process $(head -n 1 lock)" >&2; exit 1; }
  echo $$ >lock
  # The end of this run in seconds since 1970, at most that of the script it is a step of.
  local until=0
  if [ "$3" != 0 ]; then until=$(awk -v m="$3" -v now="$(date +%s)" 'BEGIN { printf "%d", now + 60 * m }'); fi
  if [ "${STEPS_UNTIL:-0}" = 0 ] || { [ "$until" != 0 ] && [ "$until" -lt "$STEPS_UNTIL" ]; }; then STEPS_UNTIL=$until; fi
  export STEPS_UNTIL
}

steps_device() {
  [[ $1 =~ ^(cpu|cuda(:[0-9]+)?)$ ]] || { echo "--device: expected cpu, cuda or cuda:N, found \"$1\"" >&2; return 2; }
  export STEPS_DEVICE=$1
}

steps_plan() {
  plan_output=() plan_line=()
  step_key=()
}

step() {
  local output=$1 word keys=
  shift
  if [ "${STEPS_DEVICE:-cpu}" != cpu ]; then
    case "$1 $2" in
      "understudy encoder" | "understudy pretrain" | "understudy finetune" | "understudy eval" | "assets.sh "*)
        set -- "$@" --device "$STEPS_DEVICE" ;;
    esac
  fi
  # Words may be FILE:WEIGHT.
  for word in "$@"; do keys+=${step_key[$word]:-${step_key[${word%:*}]:-}}; done
  [ -z "${step_key[$output]:-}" ] || return 0  # planned already
  step_key[$output]=$(sha256sum <<<"$* $keys" | cut -c 1-16)
  plan_output+=("$output")
  plan_line+=("$*")
}

# The note of a step, whose lines are its hash, done or begun, seconds, and KB of its largest process
# where time(1) is there.
steps_note() { echo "steps/${1//\//+}"; }

# Says whether a step of the plan is done.
steps_done() {
  local note=()
  [ ! -e "$(steps_note "$1")" ] || mapfile -t note <"$(steps_note "$1")"
  [ "${note[0]:-}" = "${step_key[$1]}" ] && [ "${note[1]:-}" = done ]
}

# Seconds that the steps below a folder took.
steps_seconds() {
  local total=0 f note
  for f in "steps/${1//\//+}"*; do
    [ -e "$f" ] || continue
    mapfile -t note <"$f"
    total=$((total + ${note[2]:-0}))
  done
  echo $total
}

steps_write() {  # output state seconds memory
  local note
  note=$(steps_note "$1")
  printf '%s\n' "${step_key[$1]}" "$2" "$3" "$4" >"$note.new"
  mv "$note.new" "$note"
}

# One step, to its end, to the end of time, or to its failure.
steps_run_one() {
  local output=$1 line=$2 label=$3 note=() spent=0 left=0 began rc=0 log words
  local memory=0 used=0 dies="setpriv --pdeathsig KILL"
  [ ! -e "$(steps_note "$output")" ] || mapfile -t note <"$(steps_note "$output")"
  if [ "${note[0]:-${step_key[$output]}}" = "${step_key[$output]}" ]; then
    spent=${note[2]:-0} memory=${note[3]:-0}
  else
    echo "$label: $output was made otherwise: anew"
    rm -rf "$output" "$output".* "${output%.h5}".features-*
  fi
  if [ "$STEPS_UNTIL" != 0 ]; then
    left=$((STEPS_UNTIL - $(date +%s)))
    [ $left -gt 0 ] || return 75
  fi
  steps_write "$output" begun "$spent" "$memory"
  mkdir -p "$(dirname "$output")"
  read -ra words <<<"$line"
  if [ "${words[0]}" = understudy ]; then
    [[ ${words[1]} == bench || -z ${STEPS_THREADS:-} || $line == *" --threads "* ]] || words+=(--threads "$STEPS_THREADS")
    # A script that is a step looks at the clock itself.
    [ $left = 0 ] || words=(timeout --foreground -s INT -k 60 "$left" $dies "${words[@]}")
  fi
  [ ! -x /usr/bin/time ] || words=(/usr/bin/time -q -f %M -o steps/memory $dies "${words[@]}")
  log=log/${output//\//+}.log
  # What cannot go on says everything again.
  [[ $line == *" --resume"* ]] || rm -f "$log"
  echo "$label: ${line:0:110}"
  began=$SECONDS
  rm -f steps/memory
  # All of them die with this script, whatever it dies of.
  $dies "${words[@]}" >>"$log" 2>&1 </dev/null || rc=$?
  spent=$((spent + SECONDS - began))
  if [ -s steps/memory ]; then used=$(tail -n 1 steps/memory); fi
  [ "$used" -le "$memory" ] || memory=$used
  if [ $rc = 0 ]; then
    steps_write "$output" "done" "$spent" "$memory"
  else
    steps_write "$output" begun "$spent" "$memory"
    # Stopped when time was up, or killed where it did not stop.
    if [ $rc = 124 ] || { [ $rc = 137 ] && [ "$STEPS_UNTIL" != 0 ] && [ "$(date +%s)" -ge "$STEPS_UNTIL" ]; }; then rc=75; fi
    [ $rc = 75 ] || echo "$label: failed: $(tail -n 1 "$log")" >&2
  fi
  return $rc
}

steps_run() {
  local i
  for i in "${!plan_output[@]}"; do
    steps_done "${plan_output[i]}" || steps_run_one "${plan_output[i]}" "${plan_line[i]}" "$1" || return $?
  done
}

steps_json() {
  local i comma=
  for i in "${!plan_line[@]}"; do
    printf '%s"%s"' "$comma" "${plan_line[i]}"
    comma=", "
  done
}

# h:mm:ss
steps_time() { printf '%d:%02d:%02d' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60)); }
