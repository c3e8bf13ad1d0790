#!/bin/sh
# generate-docs.sh: write docs/index.md, docs/resources, docs/data-sources, docs/functions and docs/actions, the
# provider's pages, from its own schema and the examples. It needs `make mirror`, and our own Terraform 1.14: older
# ones print no schemas of actions (seen with 1.11.4). tfplugindocs is built from a module of its own, so that it
# never becomes a dependency of zkboot.
#
# tfplugindocs empties docs/guides as well, where our hand-written guides are: so it renders into a
# folder of its own, and only what it has made is taken from there.
# https://github.com/hashicorp/terraform-plugin-docs/blob/v0.25.0/internal/provider/generate.go
set -eu
cd "$(dirname "$0")/.."
mirror=dist/terraformrc
if [ ! -f "$mirror" ]; then
	echo "generate-docs.sh: $mirror is not there; run: make mirror" >&2
	exit 1
fi
terraform=${ZKBOOT_TERRAFORM_114:-$(./scripts/terraform.sh terraform/1.14)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/config" "$work/root"
cp examples/provider/provider.tf "$work/config"
TF_CLI_CONFIG_FILE=$PWD/$mirror CHECKPOINT_DISABLE=1
export TF_CLI_CONFIG_FILE CHECKPOINT_DISABLE
"$terraform" -chdir="$work/config" init -input=false -no-color >"$work/init.log" || {
	cat "$work/init.log" >&2
	exit 1
}
"$terraform" -chdir="$work/config" providers schema -json >"$work/printed.json"
# tfplugindocs looks for the schema under hashicorp/ alone.
sed 's|"registry.terraform.io/zkboot/zkboot"|"registry.terraform.io/hashicorp/zkboot"|' "$work/printed.json" >"$work/schema.json"

go -C tools/tfdocs build -trimpath -o "$work/tfplugindocs" github.com/hashicorp/terraform-plugin-docs/cmd/tfplugindocs
cp -r examples "$work/root/examples"
"$work/tfplugindocs" generate --provider-dir "$work/root" --provider-name zkboot --rendered-provider-name zkboot \
	--providers-schema "$work/schema.json" --rendered-website-dir docs >"$work/docs.log" 2>&1 || {
	cat "$work/docs.log" >&2
	exit 1
}
for made in index.md resources data-sources functions actions; do
	if [ ! -e "$work/root/docs/$made" ]; then
		echo "generate-docs.sh: no docs/$made was made with the schema that $terraform prints:" >&2
		cat "$work/docs.log" >&2
		exit 1
	fi
done
rm -rf docs/index.md docs/resources docs/data-sources docs/functions docs/actions
cp -r "$work/root/docs/index.md" "$work/root/docs/resources" "$work/root/docs/data-sources" "$work/root/docs/functions" \
	"$work/root/docs/actions" docs/
