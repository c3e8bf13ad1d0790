#!/bin/sh
# Installs what labs of virtual machines need on Debian or Ubuntu, on top of scripts/lab-deps.sh: QEMU, a
# libvirtd that is started by whoever needs it, and what builds images and seeds. Only what is missing,
# with apt, through sudo when not root.
# usage: scripts/vm-deps.sh
set -eu

# Not libvirt-daemon-system: it would start a libvirtd for good, with a network and firewall rules of its
# own. libvirt-daemon alone is the programs.
needs='
qemu-system-x86_64:qemu-system-x86
qemu-img:qemu-utils
libvirtd:libvirt-daemon
virtlogd:libvirt-daemon
dnsmasq:dnsmasq-base
iptables:iptables
mkisofs:genisoimage
mke2fs:e2fsprogs
debootstrap:debootstrap
unshare:util-linux
mount:mount
setsid:util-linux
'

# qemu-system-x86, libvirtd and its helpers live in sbin.
PATH=$PATH:/usr/sbin:/sbin
export PATH

missing=
for need in $needs; do
	command -v "${need%%:*}" >/dev/null 2>&1 || missing="$missing ${need#*:}"
done
# The driver is loaded by libvirtd; the path holds the machine's architecture.
set -- /usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so
[ -e "$1" ] || missing="$missing libvirt-daemon-driver-qemu"
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"

if [ -z "$missing" ]; then
	echo "vm-deps: everything is there"
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "vm-deps: no apt-get here; install:$missing" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || {
		echo "vm-deps: not root and no sudo; as root: apt-get install$missing" >&2
		exit 1
	}
	sudo=sudo
fi
echo "vm-deps: installing$missing"
$sudo apt-get -qq update
# shellcheck disable=SC2086 # a list of packages
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing
