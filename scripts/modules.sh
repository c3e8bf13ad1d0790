#!/bin/sh
# modules.sh: what a user of modules/ and examples/ does, with the real Terraform and the providers of
# dist/mirror, offline: fmt -check for all, init and validate for each folder, `terraform test` for each
# that has tests. Providers are mocked there, and their schemas and validation are real. It needs
# `make mirror-all`, and Terraform 1.8 or OpenTofu 1.8. Actions are for the 1.14 of tools/.
set -eu
cd "$(dirname "$0")/.."
if [ ! -f dist/terraformrc ] || [ ! -d dist/mirror/registry.terraform.io/terraform-provider-openstack ]; then
	echo "modules.sh: dist/mirror has not all providers; run: make mirror-all" >&2
	exit 1
fi
terraform=${TF_ACC_TERRAFORM_PATH:-$(./scripts/terraform.sh)}
terraform_114=${ZKBOOT_TERRAFORM_114:-$(./scripts/terraform.sh terraform/1.14)}
TF_CLI_CONFIG_FILE=$PWD/dist/terraformrc TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1
export TF_CLI_CONFIG_FILE TF_IN_AUTOMATION CHECKPOINT_DISABLE
"$terraform" fmt -check -diff -recursive modules examples || {
	echo "modules.sh: not in the form of terraform fmt: see above; run: $terraform fmt -recursive modules examples" >&2
	exit 1
}

# A copy: init leaves folders and lock files behind, and an old lock file knows an old provider.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -c --exclude=.terraform --exclude='.terraform.lock.hcl' --exclude='*.tfvars' --exclude='terraform.tfstate*' modules examples | tar -x -C "$work"

# run WHAT COMMAND...: what it prints is shown when it fails.
run() {
	what=$1
	shift
	if ! "$@" >"$work/log" 2>&1; then
		cat "$work/log"
		echo "modules.sh: $what FAILED in $dir" >&2
		failed="$failed $dir"
		return 1
	fi
}

folders=$(cd "$work" && find modules examples -name '*.tf' | xargs -n1 dirname | sort -u)
if [ -z "$folders" ]; then
	echo "modules.sh: no *.tf in modules and examples: run it in a checkout of zkboot" >&2
	exit 1
fi
failed=
for dir in $folders; do
	start=$(date +%s%N)
	at=-chdir=$work/$dir
	said=valid
	with=$terraform
	case $dir in
	examples/actions/*) with=$terraform_114 ;;
	esac
	run init "$with" "$at" init -backend=false -input=false -no-color || continue
	run validate "$with" "$at" validate -no-color || continue
	case $dir in
	modules/*) tested=yes ;; # a module without tests is one that nobody has tried
	*) tested=$(find "$work/$dir" -name '*.tftest.hcl') ;;
	esac
	if [ -n "$tested" ]; then
		run test "$with" "$at" test -no-color || continue
		said=$(sed -n 's/^Success! \([1-9][0-9]*\) passed, 0 failed\.$/\1 tests passed/p' "$work/log")
		if [ -z "$said" ]; then
			cat "$work/log"
			echo "modules.sh: no test was run in $dir" >&2
			failed="$failed $dir"
			continue
		fi
	fi
	took=$((($(date +%s%N) - start) / 100000000))
	printf '%-38s %-16s %d.%d s\n' "$dir" "$said" "$((took / 10))" "$((took % 10))"
done
if [ -n "$failed" ]; then
	echo "modules.sh: FAILED in$failed" >&2
	exit 1
fi
