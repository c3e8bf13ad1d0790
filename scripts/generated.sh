#!/bin/sh
# generated.sh: `make generate` must change nothing.
set -eu
cd "$(dirname "$0")/.."
before=$(git diff HEAD | sha256sum; git status --porcelain | sha256sum)
make --no-print-directory generate
after=$(git diff HEAD | sha256sum; git status --porcelain | sha256sum)
if [ "$before" != "$after" ]; then
	echo "make generate changed files; commit what it makes:" >&2
	git status --short >&2
	exit 1
fi
