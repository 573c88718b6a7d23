# Figures out of what the program wrote, for scripts that source this file.

# A member of a JSON file that the program wrote, by its path: json FILE rows.model.pairs.
json() {
  awk -v want="$2" '{
    match($0, /^\t*/)
    depth = RLENGTH
    if (match($0, /"[^"]*":/)) {
      key[depth] = substr($0, RSTART + 1, RLENGTH - 3)
      path = key[1]
      for (i = 2; i <= depth; i++) path = path "." key[i]
      if (path == want) { sub(/^[^:]*:\t*/, ""); sub(/,$/, ""); print; exit }
    }
  }' "$1"
}

# A share in per cent, or nothing.
percent() { awk -v x="$1" 'BEGIN { if (x != "") printf "%.1f", 100 * x }'; }
