#!/bin/sh
# terraform.sh: print the path of Terraform, or of OpenTofu where Terraform is not on PATH. Where
# neither is, OpenTofu is built from its module, with its own go.sum, once (about 4 minutes).
set -eu
for program in terraform tofu; do
	if command -v "$program"; then
		exit 0
	fi
done
version=v1.12.6
tofu=${XDG_CACHE_HOME:-$HOME/.cache}/zkboot/tofu-$version/tofu
if [ ! -x "$tofu" ]; then
	echo "neither terraform nor tofu is on PATH: building OpenTofu $version" >&2
	source=$(go mod download -json "github.com/opentofu/opentofu@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	mkdir -p "$(dirname "$tofu")"
	(cd "$source" && go build -trimpath -o "$tofu.tmp" ./cmd/tofu)
	mv "$tofu.tmp" "$tofu"
fi
echo "$tofu"
