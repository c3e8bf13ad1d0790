#!/bin/sh
# Keeps one lab host alive. Package lab runs it as PID 1 of its own PID and mount namespaces:
# the overlay is never seen outside, and killing this process ends the whole host.
# usage: supervise.sh LAB HOST BASE DIR BRIDGE MACHINE
set -eu
lab=$1 host=$2 base=$3 dir=$4 bridge=$5 machine=$6
umask 022

# A cgroup of its own in every hierarchy: two systemd instances in one cgroup kill each
# other's services. cpuset (v1) takes no process before it is configured; nothing needs it.
if [ -e /sys/fs/cgroup/cgroup.procs ]; then
	hierarchies=/sys/fs/cgroup
else
	hierarchies=$(find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d ! -name 'cpuset*')
fi
for hierarchy in $hierarchies; do
	mkdir -p "$hierarchy/zkboot-lab/$lab/$host"
	echo 0 >"$hierarchy/zkboot-lab/$lab/$host/cgroup.procs"
done

# nspawn leaves lock and propagation directories in /run; here they end with the namespace.
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=0755 tmpfs /run/systemd/nspawn
mount -t overlay -o "lowerdir=$base,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/root"

# Data directories that have a disk of their own: Host.OwnDisk. The loop device goes with the mount.
for image in "$dir"/disks/*.img; do
	if [ -e "$image" ]; then
		mount -t ext4 -o loop "$image" "$dir/$(basename "$image" .img)"
	fi
done

# nspawn exits 133 when the host asks for a reboot and leaves the restart to its caller.
while :; do
	# The network of a host that was killed lives on while anything holds it, and with it
	# the link, whose name nspawn wants again.
	ip link delete "vb-$machine" 2>/dev/null || true
	code=0
	systemd-nspawn --quiet --keep-unit --register=no --settings=no \
		--resolv-conf=off --timezone=off --link-journal=no --console=pipe \
		--directory="$dir/root" --machine="$machine" --hostname="$host" \
		--network-bridge="$bridge" \
		--bind="$dir/zookeeper:/var/lib/zookeeper" \
		--bind="$dir/zookeeper-log:/var/lib/zookeeper-log" \
		--boot || code=$?
	[ "$code" -eq 133 ] || exit "$code"
done
