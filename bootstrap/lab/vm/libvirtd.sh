#!/bin/sh
# Keeps a libvirtd of our own alive. Package vm runs it as PID 1 of its own PID and mount namespaces:
# killing this process ends libvirtd, every virtual machine and every dnsmasq that it started.
# usage: libvirtd.sh DIR DOMAIN_TYPE
set -eu
dir=$1 type=$2
umask 022

# libvirtd has its paths built in. Below each of them is a directory of ours, seen in here alone; the
# empty directories to mount them on may stay behind.
for pair in etc:/etc/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt run:/run/libvirt; do
	mkdir -p "$dir/${pair%%:*}" "${pair#*:}"
	mount --bind "$dir/${pair%%:*}" "${pair#*:}"
done

# Where a stock kernel does not run under /dev/kvm, libvirtd tries it again for 8 s at every call that
# asks what QEMU can do. It cannot be told otherwise: it gets a /dev without it.
if [ "$type" = qemu ] && [ -e /dev/kvm ]; then
	mkdir -p "$dir/dev"
	mount -t tmpfs -o mode=0755,nosuid tmpfs "$dir/dev"
	mkdir "$dir/dev/pts" "$dir/dev/shm" "$dir/dev/net"
	for node in null zero full random urandom tty net/tun vhost-net loop-control; do
		[ ! -e "/dev/$node" ] || cp -a "/dev/$node" "$dir/dev/$node"
	done
	mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$dir/dev/pts"
	mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$dir/dev/shm"
	ln -s pts/ptmx "$dir/dev/ptmx"
	ln -s /proc/self/fd "$dir/dev/fd"
	mount --rbind "$dir/dev" /dev
fi

# The QEMU driver asks for this account before it reads that qemu.conf names another. Debian's package
# libvirt-daemon-system makes it, with this id; here it is seen in here alone.
for file in passwd group; do
	if ! getent "$file" libvirt-qemu >/dev/null; then
		case $file in
		passwd) line='libvirt-qemu:x:64055:64055:Libvirt Qemu,,,:/var/lib/libvirt:/usr/sbin/nologin' ;;
		group) line='libvirt-qemu:x:64055:' ;;
		esac
		{ cat "/etc/$file" && echo "$line"; } >"$dir/$file"
		mount --bind "$dir/$file" "/etc/$file"
	fi
done

# In the background: a shell that waits reaps what others leave, and libvirtd waits for its machines to
# be gone, not to be zombies.
libvirtd --config /etc/libvirt/libvirtd.conf --pid-file /run/libvirt/libvirtd.pid &
wait $!
