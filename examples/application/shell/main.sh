#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An example application: it adds whole numbers up, and survives. Needs socat and jq.
state=${STATE:-/tmp/state} # "CURSOR TOTAL", for connections of the same run
if [ "$1" != serve ]; then
  echo "0 0" >"$state"
  exec socat "UNIX-LISTEN:${CHARTROOM_SOCKET:?names the socket to listen on},unlink-early,fork" "EXEC:sh $0 serve"
fi
say() { printf '{"type":"%s","run":"%s","sequence":%s%s}\n' "$1" "$run" "$2" "$3"; }
keep() { echo "$cursor $total" >"$state"; }

read -r cursor total <"$state"
while read -r line; do
  # @sh quotes, so that nothing in a message is ever run
  eval "$(printf '%s\n' "$line" | jq -r '@sh "type=\(.type) run=\(.run) sequence=\(.sequence // 0)
    resume=\(.resume // false) snapshot=\(.snapshot // 0) number=\(.data.number? // 0)"')"
  case $type in
  restore)
    if [ "$resume" = false ]; then total=$snapshot cursor=$sequence && keep; fi
    say ready "$cursor" ;;
  event)
    if [ "$sequence" -gt "$cursor" ]; then # else its effect is contained already
      total=$((total + number)) cursor=$sequence
      keep
      say snapshot "$cursor" ",\"snapshot\":$total"
    fi
    say answer "$sequence" ;;
  take_snapshot) say snapshot "$cursor" ",\"snapshot\":$total" ;;
  esac
done
