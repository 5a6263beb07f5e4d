# SPDX-License-Identifier: AGPL-3.0-or-later
# Sourced by the other scripts: the repository's root, and what they share.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# limit SECONDS COMMAND...: timeout, where there is one; macOS has none.
limit() { if command -v timeout >/dev/null 2>&1; then timeout "$@"; else shift && "$@"; fi; }

# engine_answers reports whether a Docker engine answers at DOCKER_HOST or the
# default socket. It asks the engine, not the client, for its version.
engine_answers() {
  command -v docker >/dev/null 2>&1 && limit 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# build_image CONTEXT.tar ARGUMENTS...: docker build from a tar, with the client's
# own choice of builder; what the builder says is shown only when it fails.
build_image() {
  local context=$1 log status=0
  shift
  log=$(mktemp)
  docker build -q "$@" - <"$context" >"$log" 2>&1 || status=$?
  [ $status = 0 ] || cat "$log" >&2
  rm -f "$log"
  return $status
}
