#!/bin/sh
# acceptance.sh: the lab-tagged tests of the provider and the examples under the real Terraform (or
# OpenTofu), offline, with the provider built by `make mirror`. What the Terraform in use does not have,
# such as actions, is tested under the 1.14 of tools/.
set -eu
cd "$(dirname "$0")/.."
if [ ! -f dist/terraformrc ]; then
	echo "acceptance.sh: dist/terraformrc is not there; run: make mirror" >&2
	exit 1
fi
TF_ACC=1
TF_ACC_TERRAFORM_PATH=${TF_ACC_TERRAFORM_PATH:-$(./scripts/terraform.sh)}
ZKBOOT_TERRAFORM_114=${ZKBOOT_TERRAFORM_114:-$(./scripts/terraform.sh terraform/1.14)}
TF_CLI_CONFIG_FILE=$PWD/dist/terraformrc
CHECKPOINT_DISABLE=1
export TF_ACC TF_ACC_TERRAFORM_PATH ZKBOOT_TERRAFORM_114 TF_CLI_CONFIG_FILE CHECKPOINT_DISABLE
exec ./scripts/lab-test.sh provider examples
