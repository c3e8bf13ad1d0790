#!/bin/sh
# generated.sh: `make generate` must change nothing, and make no file that git does not know.
set -eu
cd "$(dirname "$0")/.."

# tree is what is in this checkout, by content: git status names no file in a folder that is new.
tree() {
	git diff HEAD
	git ls-files --others --exclude-standard -z | xargs -0 -r sha256sum
}

before=$(tree | sha256sum)
make --no-print-directory generate
after=$(tree | sha256sum)
if [ "$before" != "$after" ]; then
	echo "make generate changed files; commit what it makes:" >&2
	git status --short >&2
	exit 1
fi
