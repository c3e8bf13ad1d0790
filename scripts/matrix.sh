#!/bin/sh
# matrix.sh: the acceptance tests under each Terraform of tools/, and under the one on PATH where there is
# one. It goes on after one that fails, so that a run says all. docs/guides/versions.md says what differs.
set -eu
cd "$(dirname "$0")/.."
said=
failed=

# under TERRAFORM: one row of the matrix.
under() {
	what=$("$1" version | sed -n 1p)
	printf '\n== under %s (%s)\n' "$what" "$1"
	# What it lacks is told, and that it says so is a test.
	TF_ACC_TERRAFORM_PATH=$1 go test -tags lab -count=1 -v -run '^TestWhatNotEveryTerraformHas$' ./provider | sed -n 's/^.*_test.go:[0-9]*: \(.* has .*: [tf].*\)$/\1/p'
	start=$(date +%s)
	is=passed
	TF_ACC_TERRAFORM_PATH=$1 ./scripts/acceptance.sh || is=FAILED failed=yes
	said="$said$(printf '%-20s %s in %d s' "$what" "$is" "$(($(date +%s) - start))")
"
}

TF_CLI_CONFIG_FILE=$PWD/dist/terraformrc CHECKPOINT_DISABLE=1
export TF_CLI_CONFIG_FILE CHECKPOINT_DISABLE
for own in opentofu terraform/1.14; do
	program=$(./scripts/terraform.sh "$own")
	under "$program"
done
if program=$(command -v terraform); then
	under "$program"
fi
printf '\n%s' "$said"
if [ -n "$failed" ]; then
	echo "matrix.sh: FAILED; one alone: TF_ACC_TERRAFORM_PATH=PROGRAM ./scripts/acceptance.sh" >&2
	exit 1
fi
