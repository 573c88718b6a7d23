#!/usr/bin/env bash
# exports.sh HEADER...: prints the linker's list of what the library exports, the names that public
# headers mark with US_API. A name stands on the line of its US_API.
set -euo pipefail
marked=$(grep -hE '^(extern )?US_API ' "$@")
names=$(sed -nE 's/^(extern )?US_API [^(]*[ *](us_[a-z0-9_]+)(\(|\[|;| =).*/\2/p' <<<"$marked")
if [ "$(wc -l <<<"$names")" != "$(wc -l <<<"$marked")" ]; then
  echo "exports: a US_API line without a name that begins with us_" >&2
  exit 1
fi
printf '{\n  global:\n%s\n  local: *;\n};\n' "$(sed 's/.*/    &;/' <<<"$names")"
