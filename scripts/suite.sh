#!/bin/sh
# suite.sh NAME MINUTES COMMAND...: run one test suite and say what it took of its budget.
# A suite that takes longer than its budget is ended and fails.
set -u
name=$1 minutes=$2
shift 2
start=$(date +%s)
printf '== %s (budget %s min)\n' "$name" "$minutes"
timeout --kill-after=30 "$((minutes * 60))" "$@"
status=$?
took=$(($(date +%s) - start))
if [ "$status" -eq 124 ]; then
	echo "suite $name: ended after its budget of $minutes min" >&2
fi
printf '== %s: %s in %d s of %d s\n' "$name" "$([ "$status" -eq 0 ] && echo ok || echo "FAILED ($status)")" "$took" "$((minutes * 60))"
exit "$status"
