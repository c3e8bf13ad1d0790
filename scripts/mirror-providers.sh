#!/bin/sh
# mirror-providers.sh MIRROR: put the third-party providers that modules/ uses into a filesystem mirror
# for Terraform. They are built from the Go module proxy by modules of their own (tools/providers), whose
# go.sum pins every source, so no registry is asked and no binary is committed. One that has been built
# from the same go.mod and go.sum by the same Go is left alone.
set -eu
cd "$(dirname "$0")/.."
if [ $# -ne 1 ]; then
	echo "usage: scripts/mirror-providers.sh MIRROR" >&2
	exit 1
fi
mirror=$1
platform=$(go env GOOS)_$(go env GOARCH)
stamps=$(dirname "$mirror")/stamps

# provider NAMESPACE NAME: build tools/providers/NAME. The version is the one that its go.mod asks for.
provider() {
	module=github.com/$1/terraform-provider-$2
	version=$(sed -n "s|^\t$module v\([0-9.]*\) .*|\1|p" "tools/providers/$2/go.mod")
	if [ -z "$version" ]; then
		echo "mirror-providers.sh: tools/providers/$2/go.mod requires no release of $module" >&2
		exit 1
	fi
	# What Terraform takes for the provider's checksum covers its whole folder: the stamp is elsewhere.
	file=$mirror/registry.terraform.io/$1/$2/$version/$platform/terraform-provider-$2_v$version
	stamp=$stamps/$2-$platform
	want=$({ go env GOVERSION && echo "$module" && cat "tools/providers/$2/go.mod" "tools/providers/$2/go.sum"; } | cksum)
	if [ -x "$file" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
		return
	fi
	echo "mirror-providers.sh: building $module $version" >&2
	rm -rf "$mirror/registry.terraform.io/$1/$2" "$stamp"
	mkdir -p "$(dirname "$file")" "$stamps"
	# A build that is cut off must not leave a file that Terraform would take.
	go -C "tools/providers/$2" build -trimpath -ldflags '-s -w' -o "$PWD/$stamps/$2.tmp" "$module"
	mv "$stamps/$2.tmp" "$file"
	echo "$want" >"$stamp"
}

provider dmacvicar libvirt
provider terraform-provider-openstack openstack
./scripts/terraformrc.sh "$mirror" >"$(dirname "$mirror")/terraformrc"
