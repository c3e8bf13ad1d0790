#!/bin/sh
# deps.sh: install with apt what building, labs and tests need, and only what is missing.
# Terraform is taken from PATH, or OpenTofu, or OpenTofu is built (scripts/terraform.sh).
set -eu
cd "$(dirname "$0")/.."
./scripts/lab-deps.sh
./scripts/terraform.sh >/dev/null
