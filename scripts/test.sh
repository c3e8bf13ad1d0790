#!/bin/sh
# test.sh: every suite, each with its budget. It stops at the first that fails.
set -eu
cd "$(dirname "$0")/.."
./scripts/suite.sh install 8 make --no-print-directory deps vm-deps
./scripts/suite.sh build 5 make --no-print-directory mirror
./scripts/suite.sh conventions 5 ./scripts/conventions.sh
# Before what needs it, and with a budget of its own: where it was never built that takes minutes.
./scripts/suite.sh terraform 15 ./scripts/terraform.sh terraform/1.14
./scripts/suite.sh generated 3 ./scripts/generated.sh
./scripts/suite.sh unit 12 go test -race -timeout 10m ./...
./scripts/suite.sh modules 10 make --no-print-directory modules-test
./scripts/suite.sh lab 45 ./scripts/lab-test.sh
./scripts/suite.sh acceptance 18 ./scripts/acceptance.sh
# Last, because emulated machines take long: the lab's own, then those that Terraform makes.
./scripts/suite.sh vm 10 make --no-print-directory vm-test
./scripts/suite.sh demo-vm 20 make --no-print-directory demo-vm
echo "every suite passed"
