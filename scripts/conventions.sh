#!/bin/sh
# conventions.sh: gofmt, go vet with every build tag, and the tests that keep the house in order.
set -eu
cd "$(dirname "$0")/.."
unformatted=$(git ls-files '*.go' | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
	echo "not gofmt-clean:" >&2
	echo "$unformatted" >&2
	exit 1
fi
go vet ./...
go vet -tags lab ./...
go mod verify >/dev/null
go mod tidy -diff
go test -count=1 .
