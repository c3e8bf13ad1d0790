#!/bin/sh
# Installs what lab hosts and their tests need on Debian or Ubuntu: only what is missing,
# with apt, through sudo when not root. Prints what it installs; prints nothing to do otherwise.
# usage: scripts/lab-deps.sh
set -eu

# program:package. A program that is there counts, whatever package it came from.
needs='
debootstrap:debootstrap
systemd-nspawn:systemd-container
nft:nftables
ip:iproute2
unshare:util-linux
nsenter:util-linux
setsid:util-linux
mount:mount
mke2fs:e2fsprogs
ssh:openssh-client
strace:strace
fio:fio
gcc:gcc
java:openjdk-17-jre-headless
haproxy:haproxy
'

# file:package, for what is no program: the race detector is linked with libc, and some tests run
# real ZooKeeper servers on this machine itself.
files='
/usr/include/stdlib.h:libc6-dev
/usr/share/java/zookeeper.jar:libzookeeper-java
/usr/share/java/servlet-api.jar:libservlet-api-java
/usr/share/java/slf4j-simple.jar:libslf4j-java
/usr/lib/python3/dist-packages/kazoo/__init__.py:python3-kazoo
/usr/lib/python3/dist-packages/configobj/__init__.py:python3-configobj
/usr/lib/python3/dist-packages/jinja2/__init__.py:python3-jinja2
/usr/lib/python3/dist-packages/jsonpatch.py:python3-jsonpatch
/usr/lib/python3/dist-packages/jsonschema/__init__.py:python3-jsonschema
/usr/lib/python3/dist-packages/oauthlib/__init__.py:python3-oauthlib
/usr/lib/python3/dist-packages/requests/__init__.py:python3-requests
/usr/lib/python3/dist-packages/yaml/__init__.py:python3-yaml
/usr/bin/python3:python3
'

# debootstrap and nft live in sbin, which an ordinary user's PATH may lack.
PATH=$PATH:/usr/sbin:/sbin
export PATH

missing=
for need in $needs; do
	command -v "${need%%:*}" >/dev/null 2>&1 || missing="$missing ${need#*:}"
done
for need in $files; do
	[ -e "${need%%:*}" ] || missing="$missing ${need#*:}"
done
# debootstrap checks signatures only when it has the keys; on Ubuntu they are a package.
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"

# Installed, cloud-init would take charge of this machine at its next boot. Its files alone judge
# what we render for others; what it imports is among the files above.
cloudinit=/var/cache/zkboot/cloud-init
unpacked=
[ -e "$cloudinit/usr/bin/cloud-init" ] || unpacked=no

if [ -z "$missing$unpacked" ]; then
	echo "lab-deps: everything is there"
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "lab-deps: no apt-get here; install:$missing, and unpack cloud-init into $cloudinit" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || {
		echo "lab-deps: not root and no sudo; as root: apt-get install$missing, and unpack cloud-init into $cloudinit" >&2
		exit 1
	}
	sudo=sudo
fi
$sudo apt-get -qq update
if [ -n "$missing" ]; then
	echo "lab-deps: installing$missing"
	# shellcheck disable=SC2086 # a list of packages
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing
fi
if [ -n "$unpacked" ]; then
	echo "lab-deps: unpacking cloud-init into $cloudinit"
	temp=$(mktemp -d)
	trap 'rm -rf "$temp"' EXIT
	(cd "$temp" && apt-get -qq -o APT::Sandbox::User=root download cloud-init)
	$sudo mkdir -p "$cloudinit"
	$sudo dpkg-deb -x "$temp"/cloud-init_*.deb "$cloudinit"
fi
