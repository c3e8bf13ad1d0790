#!/bin/sh
# Builds the disk that every virtual machine of a lab starts from, with the kernel it boots. Package vm
# runs it as PID 1 of its own PID and mount namespaces: when the builder dies, every process and mount
# made here goes too.
# usage: image.sh DIR SUITE MIRROR SECURITY_MIRROR APT_CONF RESOLV_CONF CLOUD_CONF SIZE PACKAGES
# Leaves disk.qcow2, vmlinuz and initrd.img in DIR. PACKAGES is separated by blanks, SIZE as mke2fs wants it.
set -eu
dir=$1 suite=$2 mirror=$3 security=$4 apt_conf=$5 resolv_conf=$6 cloud_conf=$7 size=$8 packages=$9
tree=$dir/tree
umask 022
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Without its keyring debootstrap would only warn and install what nobody signed.
debootstrap --force-check-gpg --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
	--variant=minbase --include=ca-certificates "$suite" "$tree" "$mirror"

cat >"$tree/etc/apt/sources.list" <<LIST
deb $mirror $suite main
deb $mirror $suite-updates main
deb $security $suite-security main
LIST
cp "$apt_conf" "$tree/etc/apt/apt.conf.d/90zkboot-lab"
# debootstrap may leave a link here; apt in a chroot needs a file.
rm -f "$tree/etc/resolv.conf"
cp "$resolv_conf" "$tree/etc/resolv.conf"

# What the initrd needs to find its root, and no more: it is unpacked at every boot.
mkdir -p "$tree/etc/initramfs-tools/conf.d"
echo 'MODULES=list' >"$tree/etc/initramfs-tools/conf.d/zkboot-lab"
printf '%s\n' virtio_pci virtio_blk ext4 crc32c_generic >"$tree/etc/initramfs-tools/modules"

# The JRE's maintainer scripts read /proc.
mount -t proc proc "$tree/proc"
# Nothing may start while the tree is built.
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod 0755 "$tree/usr/sbin/policy-rc.d"
chroot "$tree" apt-get --quiet --quiet update
chroot "$tree" apt-get --quiet --yes dist-upgrade
# shellcheck disable=SC2086 # a list
chroot "$tree" apt-get --quiet --yes --no-install-recommends install $packages
chroot "$tree" apt-get clean
# An image without lists, as cloud images are; and with apt's digest of what is installed, which takes an
# emulated machine half a minute to make. Whoever needs more asks a mirror.
rm -rf "$tree"/var/lib/apt/lists/*
chroot "$tree" apt-cache gencaches
rm "$tree/usr/sbin/policy-rc.d"

# Installed, and off: whoever makes a machine says what runs on it.
for unit in haproxy nginx; do
	chroot "$tree" systemctl --quiet disable "$unit.service"
done
chroot "$tree" systemctl --quiet enable systemd-networkd.service ssh.service
# Timers that take the apt lock or the disk at odd moments.
chroot "$tree" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer \
	dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer man-db.timer
cp "$cloud_conf" "$tree/etc/cloud/cloud.cfg.d/99-zkboot-lab.cfg"
printf 'PasswordAuthentication no\nUseDNS no\n' >"$tree/etc/ssh/sshd_config.d/10-zkboot-lab.conf"
# An emulated machine on a busy one is slow, and not broken.
mkdir -p "$tree/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultTimeoutStartSec=10min\n' >"$tree/etc/systemd/system.conf.d/10-zkboot-lab.conf"

# Identity belongs to each machine, not to the image.
rm -f "$tree"/etc/ssh/ssh_host_*
: >"$tree/etc/machine-id"
rm -f "$tree/etc/hostname" "$tree/var/lib/dbus/machine-id" "$tree/var/lib/systemd/random-seed"
umount "$tree/proc"

cp "$tree"/boot/vmlinuz-* "$dir/vmlinuz"
cp "$tree"/boot/initrd.img-* "$dir/initrd.img"
# Tables written now are none for the kernel to write behind the back of a machine that has just booted.
mke2fs -q -t ext4 -L root -E lazy_itable_init=0,lazy_journal_init=0 -d "$tree" "$dir/disk.raw" "$size"
qemu-img convert -f raw -O qcow2 "$dir/disk.raw" "$dir/disk.qcow2"
rm -rf "$tree" "$dir/disk.raw"
sync -f "$dir"
