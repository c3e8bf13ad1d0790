#!/bin/sh
# as-root.sh COMMAND...: run a command that uses Go as root, through sudo when not root. Modules come
# from the caller's cache; what is built goes to root's own, so that nothing of root's is left in a
# cache that the caller writes to.
set -eu
if [ "$(id -u)" -eq 0 ]; then
	exec "$@"
fi
if ! command -v sudo >/dev/null 2>&1; then
	echo "as-root.sh: labs need root and there is no sudo; as root run: $*" >&2
	exit 1
fi
exec sudo -E env "PATH=$PATH" "GOCACHE=/root/.cache/go-build" "GOMODCACHE=$(go env GOMODCACHE)" "$@"
