#!/bin/sh
# fuzz.sh: find every fuzz target of the module and run each for FUZZTIME.
set -eu
cd "$(dirname "$0")/.."
grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do
	grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //' | sort | while read -r target; do
		echo "== $dir $target"
		# Making new inputs smaller takes up to a minute each, in which nothing is tried.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" -fuzzminimizetime 1x "$dir"
	done
done
