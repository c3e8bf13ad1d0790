#!/bin/sh
# lint.sh: conventions and staticcheck, the latter built from its own module so that it never
# becomes a dependency of zkboot.
set -eu
cd "$(dirname "$0")/.."
./scripts/conventions.sh
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags lab ./...
