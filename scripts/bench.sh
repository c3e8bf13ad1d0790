#!/bin/sh
# bench.sh [FLAGS]: print the figures that zkboot promises, each measured now, on this machine, beside
# what it is compared with. It needs root (labs) and takes about 25 minutes.
# `scripts/bench.sh --help` lists the flags; --json FILE stores the figures with every sample.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" -ne 0 ] && [ "${1-}" != --help ]; then
	echo "bench.sh: labs need root; run: sudo make bench" >&2
	exit 1
fi
exec go run ./bench "$@"
