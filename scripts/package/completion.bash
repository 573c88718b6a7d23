# Completion of `understudy` in bash. Commands, tasks and options are read from the program's own
# help, so they are those of the program that is called.

# Names of a paragraph of `understudy help`: Commands or Tasks.
_understudy_names() {
  "$1" help 2>/dev/null | awk -v title="$2" '
    /^[^ ]/ { inside = index($0, title) == 1; next }
    inside && NF { print $1 }'
}

# Options of a command; its words may be two, as in `encoder train`.
_understudy_options() {
  "$1" help "${@:2}" 2>/dev/null | awk '
    /^ +(-[a-z], )?--/ {
      match($0, /--[a-z-]+/)
      print substr($0, RSTART, RLENGTH)
    }'
}

_understudy() {
  local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  local command=${COMP_WORDS[1]} kinds="" list=""
  COMPREPLY=()
  case $command in
    dataset | encoder | import | export)
      kinds=$("$program" help "$command" 2>/dev/null | sed -nE \
        's/^(Usage:|      ) understudy '"$command"' ([a-z|]+) .*/\2/p' | tr '|' ' ') ;;
  esac
  if ((COMP_CWORD == 1)); then
    list="help --version $(_understudy_names "$program" Commands)"
  elif [[ $command == help ]]; then
    if ((COMP_CWORD == 2)); then list=$(_understudy_names "$program" Commands); fi
  elif [[ $before == --task ]]; then
    list=$(_understudy_names "$program" Tasks)
  elif [[ $word == -* && $command == encoder ]]; then
    list=$(_understudy_options "$program" "$command" "${COMP_WORDS[2]}")
  elif [[ $word == -* ]]; then
    list=$(_understudy_options "$program" "$command")
  elif [[ -n $kinds ]] && ((COMP_CWORD == 2)); then
    list=$kinds
  fi
  if [[ -n $list ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$list" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    compopt -o filenames 2>/dev/null
  fi
}

complete -F _understudy understudy
