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
#   steps_run_many JOBS               the same, JOBS commands at a time, each as soon as what its words
#                                     name is there, but one collect, which has all threads; a step that
#                                     fails stops those alone that need it. 0, 75 as above; 130: Ctrl-C
#   steps_rows NAME                   makes the rows of a benchmark, whose names A-B are in the array names;
#                                     where the array only has some, those; with list=1 prints them and
#                                     ends. plan A B adds a row's steps, is_done A B says that it is there;
#                                     out, minutes and jobs are the options. Sets failed, the rows that
#                                     could not be made, and over, 1: time is up
#   steps_rows_end NAME               says in the end what steps_rows set
#   steps_json FILE                   the plan's commands as a JSON list, what is needed to make FILE
#                                     from nothing
#
# A step is done when a note in OUT/steps says so, with the hash of its command and of the steps whose
# outputs its words name. Where the hash is another, the output is made anew. Commands go on where a
# kill left them (--resume); they die with the script, and what is left of its time is theirs.
# Where a script is a step of another, both end at the same time. STEPS_THREADS: threads of the commands.
# A device changes results by rounding, so it is part of the commands that take one, and of their hashes.
# What trains on the embedded encoder or predictor has it in its hash.

export LC_ALL=C
declare -A step_key
declare -a step_label step_log step_spent step_memory step_began
steps_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
steps_encoder=$(sha256sum <"$steps_root/assets/encoder/model.safetensors" | cut -c 1-16)
steps_predictor=$(sha256sum <"$steps_root/assets/predictor/model.safetensors" | cut -c 1-16)

steps_begin() {
  steps_name=$1
  UNDERSTUDY_BUILD=$(realpath "${UNDERSTUDY_BUILD:-$steps_root/build/release}")
  export UNDERSTUDY_BUILD PATH="$UNDERSTUDY_BUILD:$steps_root/scripts:$PATH"
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
  plan_output=() plan_line=() plan_needs=()
  step_key=()
}

step() {
  local output=$1 word keys= needs=
  shift
  if [ "${STEPS_DEVICE:-cpu}" != cpu ]; then
    case "$1 $2" in
      "understudy encoder" | "understudy pretrain" | "understudy finetune" | "understudy eval" | "assets.sh "*)
        set -- "$@" --device "$STEPS_DEVICE" ;;
    esac
  fi
  case " $* " in
    *" --encoder default "*) keys=$steps_encoder ;;
    *" --encoder "*) ;;
    " understudy finetune "* | " understudy pretrain "*) keys=$steps_encoder ;;
  esac
  case " $* " in
    *" --init "*) ;;
    *" --mode full "* | *" --mode action-only "*) keys+=$steps_predictor ;;
  esac
  # Words may be FILE:WEIGHT.
  for word in "$@"; do
    [ -n "${step_key[$word]:-}" ] || word=${word%:*}
    keys+=${step_key[$word]:-}
    # What lies in a folder is there when the step is done that makes the folder.
    while [ -z "${step_key[$word]:-}" ] && [[ $word == ?*/* ]]; do word=${word%/*}; done
    [ -z "${step_key[$word]:-}" ] || needs+=" $word"
  done
  [ -z "${step_key[$output]:-}" ] || return 0  # planned already
  step_key[$output]=$(sha256sum <<<"$* $keys" | cut -c 1-16)
  plan_output+=("$output")
  plan_line+=("$*")
  plan_needs+=("$needs")
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

# Readies a step: its command is in `words`, and its label, log and seconds so far in arrays by number;
# 75: time is up.
steps_ready() {  # number label
  local output=${plan_output[$1]} line=${plan_line[$1]} note=() spent=0 memory=0 left=0
  local dies="setpriv --pdeathsig KILL"
  [ ! -e "$(steps_note "$output")" ] || mapfile -t note <"$(steps_note "$output")"
  if [ "${note[0]:-${step_key[$output]}}" = "${step_key[$output]}" ]; then
    spent=${note[2]:-0} memory=${note[3]:-0}
  else
    echo "$2: $output was made otherwise: anew"
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
    case "${words[1]}-${STEPS_JOBS:-1}" in
      bench-* | collect-[!1]* | collect-1?*) ;;  # all threads for those who render beside what a GPU trains
      *) [[ -z ${STEPS_THREADS:-} || $line == *" --threads "* ]] || words+=(--threads "$STEPS_THREADS") ;;
    esac
    # A script that is a step looks at the clock itself.
    [ $left = 0 ] || words=(timeout --foreground -s INT -k 60 "$left" $dies "${words[@]}")
  fi
  # All of them die with this script, whatever it dies of.
  words=($dies "${words[@]}")
  [ ! -x /usr/bin/time ] || words=($dies /usr/bin/time -q -f %M -o "steps/memory-$1" "${words[@]}")
  step_label[$1]=$2 step_log[$1]=log/${output//\//+}.log step_spent[$1]=$spent step_memory[$1]=$memory
  # What cannot go on says everything again.
  [[ $line == *" --resume"* ]] || rm -f "${step_log[$1]}"
  echo "$2: ${line:0:110}"
  rm -f "steps/memory-$1"
  step_began[$1]=$SECONDS
}

# Notes how a step ended; 75: time was up, else its exit status.
steps_ended() {  # number status
  local rc=$2 spent=$((step_spent[$1] + SECONDS - step_began[$1])) memory=${step_memory[$1]} used=0
  if [ -s "steps/memory-$1" ]; then used=$(tail -n 1 "steps/memory-$1"); fi
  rm -f "steps/memory-$1"
  [ "$used" -le "$memory" ] || memory=$used
  if [ "$rc" = 0 ]; then
    steps_write "${plan_output[$1]}" "done" "$spent" "$memory"
    return 0
  fi
  steps_write "${plan_output[$1]}" begun "$spent" "$memory"
  # Stopped when time was up, or killed where it did not stop.
  if [ "$rc" = 124 ] || { [ "$rc" = 137 ] && [ "$STEPS_UNTIL" != 0 ] && [ "$(date +%s)" -ge "$STEPS_UNTIL" ]; }; then rc=75; fi
  [ "$rc" = 75 ] || echo "${step_label[$1]}: failed: $(tail -n 1 "${step_log[$1]}")" >&2
  return "$rc"
}

steps_run() {
  local i rc words
  for i in "${!plan_output[@]}"; do
    steps_done "${plan_output[i]}" && continue
    steps_ready "$i" "$1" || return $?
    rc=0
    "${words[@]}" >>"${step_log[i]}" 2>&1 </dev/null || rc=$?
    steps_ended "$i" $rc || return $?
  done
}

# Whether a step waits for others of the plan: 0: it can begin; 1: not yet; 2: never, for one failed.
steps_waits() {
  local need
  for need in ${plan_needs[$1]}; do
    case ${step_state[$need]:-} in
      done) ;;
      failed) return 2 ;;
      *) return 1 ;;
    esac
  done
}

steps_run_many() {
  local jobs=$1 i rc pid words running=0 ended=0 stop=0 moved=1
  local -A step_state=() number=()
  local collects=
  export STEPS_JOBS=$jobs
  trap stop=130 INT
  for i in "${!plan_output[@]}"; do
    steps_done "${plan_output[i]}" || continue
    step_state[${plan_output[i]}]="done" ended=$((ended + 1))
  done
  while [ $moved = 1 ] || [ $running -gt 0 ]; do
    moved=0
    for i in "${!plan_output[@]}"; do
      [ -z "${step_state[${plan_output[i]}]:-}" ] || continue
      [ $stop = 0 ] && [ $running -lt "$jobs" ] || break
      [[ -z $collects || ${plan_line[i]} != "understudy collect "* ]] || continue
      rc=0
      steps_waits "$i" || rc=$?
      [ $rc != 1 ] || continue
      moved=1
      if [ $rc = 2 ]; then step_state[${plan_output[i]}]=failed ended=$((ended + 1)); continue; fi
      steps_ready "$i" "[$ended of ${#plan_output[@]}] ${plan_output[i]}" || { stop=$?; break; }
      "${words[@]}" >>"${step_log[i]}" 2>&1 </dev/null &
      [[ ${plan_line[i]} != "understudy collect "* ]] || collects=$i
      number[$!]=$i step_state[${plan_output[i]}]=runs running=$((running + 1))
    done
    [ $running -gt 0 ] || continue
    rc=0 pid=
    wait -n -p pid || rc=$?
    [ -n "$pid" ] || continue  # Ctrl-C, which the commands have got too
    i=${number[$pid]} running=$((running - 1)) ended=$((ended + 1)) moved=1
    [ "$collects" != "$i" ] || collects=
    step_state[${plan_output[i]}]="done"
    steps_ended "$i" $rc || { [ $? != 75 ] || stop=75; step_state[${plan_output[i]}]=failed; }
  done
  trap - INT
  return $stop
}

steps_rows() {
  local name state rc=0
  local -a rows=("${only[@]}")
  for name in "${only[@]}"; do
    [[ " ${names[*]} " == *" $name "* ]] || { echo "$1: --row: there is no row \"$name\" (see --list)" >&2; exit 2; }
  done
  if [ "$list" = 1 ]; then
    mkdir -p "$out"
    cd "$out"
    for name in "${names[@]}"; do
      steps_plan
      plan "${name%-*}" "${name##*-}"
      state='to do'
      ! is_done "${name%-*}" "${name##*-}" || state=done
      printf '%-24s %s\n' "$name" "$state"
    done
    exit 0
  fi
  [ -x "${UNDERSTUDY_BUILD:-$here/../build/release}/understudy" ] || "$here/build.sh" release >/dev/null
  steps_begin "$1" "$out" "$minutes"
  failed=() over=0
  [ ${#rows[@]} -gt 0 ] || rows=("${names[@]}")
  steps_plan
  for name in "${rows[@]}"; do plan "${name%-*}" "${name##*-}"; done
  steps_run_many "$jobs" || rc=$?
  if [ $rc = 130 ]; then exit 130; fi
  if [ $rc = 75 ]; then over=1; fi
  for name in "${rows[@]}"; do
    [ $over = 1 ] || is_done "${name%-*}" "${name##*-}" || failed+=("$name")
  done
}

steps_rows_end() {
  [ "$over" = 0 ] || echo "$1: $minutes minutes are over; the same command goes on"
  if [ ${#failed[@]} -gt 0 ]; then
    echo "$1: failed: ${failed[*]} (logs in $out/log)" >&2
    exit 1
  fi
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
