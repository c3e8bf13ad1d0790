#!/bin/sh
# terraform.sh [terraform/1.14 | opentofu]: print the path of a Terraform. Without an argument that is the
# one on PATH, or the OpenTofu on PATH, or else our own OpenTofu. With one it is our own of that folder of
# tools/, whatever is on PATH: a module whose go.mod and go.sum pin every source, built from the Go module
# proxy, so that no release server is asked and no binary is committed. It is built once for the same
# go.mod, go.sum, files and Go (minutes, docs/guides/versions.md says how many), and kept in /var/cache/zkboot, or in
# the cache of a user who is not root.
set -eu
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
	for program in terraform tofu; do
		if command -v "$program"; then
			exit 0
		fi
	done
	set -- opentofu
fi
module=tools/$1
if [ $# -ne 1 ] || [ ! -f "$module/go.mod" ]; then
	echo "usage: scripts/terraform.sh [terraform/1.14 | opentofu]" >&2
	exit 1
fi

# github.com/hashicorp/terraform and github.com/opentofu/opentofu/cmd/tofu both keep their version here.
package=$(sed -n 's/^tool //p' "$module/go.mod")
source=${package%/cmd/*}
version=$(sed -n "s|^\t$source v\([0-9.]*\).*|\1|p" "$module/go.mod")
if [ -z "$package" ] || [ -z "$version" ]; then
	echo "terraform.sh: $module/go.mod has no tool, or requires no release of it" >&2
	exit 1
fi
cache=${XDG_CACHE_HOME:-${HOME-}/.cache}/zkboot
if [ "$(id -u)" -eq 0 ]; then
	cache=/var/cache/zkboot
fi
from=$({ go env GOVERSION GOARCH && find "$module" -type f | LC_ALL=C sort | xargs cat; } | cksum | cut -d ' ' -f 1)
program=$cache/terraform/${package##*/}-$version-$from
if [ ! -x "$program" ]; then
	echo "terraform.sh: building $package $version" >&2
	mkdir -p "$cache/terraform"
	# A build that is cut off, or runs twice at a time, must not leave a file that would be taken.
	# Without version.dev=no both would call themselves a development version.
	go -C "$module" build -trimpath -ldflags "-s -w -X $source/version.dev=no" -o "$program.$$" "$package"
	mv "$program.$$" "$program"
fi
echo "$program"
