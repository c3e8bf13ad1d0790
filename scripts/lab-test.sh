#!/bin/sh
# lab-test.sh [PACKAGE-DIR...]: run the tests that need real hosts: those in *_lab_test.go, by name, so
# that unit tests are not run a second time. One package at a time: their labs share this machine.
# Without arguments all packages but those that run Terraform, which scripts/acceptance.sh does.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" -ne 0 ]; then
	exec ./scripts/as-root.sh "$0" "$@"
fi
./scripts/vm-deps.sh
if [ $# -eq 0 ]; then
	# shellcheck disable=SC2046 # a list of directories of ours, without blanks
	set -- $(git ls-files --cached --others --exclude-standard '*_lab_test.go' | grep -Ev '^(provider|examples)/' | xargs -r -n1 dirname | sort -u)
fi
if [ $# -eq 0 ]; then
	echo "lab-test.sh: no *_lab_test.go found: run it in a checkout of zkboot" >&2
	exit 1
fi
failed=
for dir in "$@"; do
	tests=$(sed -n 's/^func \(Test[A-Z0-9_][A-Za-z0-9_]*\)(t \*testing\.T).*/\1/p' "$dir"/*_lab_test.go | paste -sd '|')
	if [ -z "$tests" ]; then
		echo "lab-test.sh: no test functions in $dir/*_lab_test.go" >&2
		exit 1
	fi
	go test -tags lab -count=1 -timeout 30m -run "^($tests)\$" "./$dir" || failed="$failed $dir"
done
if [ -n "$failed" ]; then
	echo "lab-test.sh: FAILED in$failed; one alone: ./scripts/lab-test.sh DIR" >&2
	exit 1
fi
