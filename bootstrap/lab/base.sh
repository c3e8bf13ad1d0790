#!/bin/sh
# Builds the tree that every lab host starts from. Package lab runs it as PID 1 of its own
# PID and mount namespaces: when the builder dies, every process and mount made here goes too.
# usage: base.sh TREE SUITE MIRROR SECURITY_MIRROR APT_CONF RESOLV_CONF INCLUDE PREFETCH
# INCLUDE is separated by commas, PREFETCH by blanks.
set -eu
tree=$1 suite=$2 mirror=$3 security=$4 apt_conf=$5 resolv_conf=$6 include=$7 prefetch=$8
umask 022
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Without its keyring debootstrap would only warn and install what nobody signed.
debootstrap --force-check-gpg --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
	--variant=minbase --include="$include" "$suite" "$tree" "$mirror"

cat >"$tree/etc/apt/sources.list" <<LIST
deb $mirror $suite main
deb $mirror $suite-updates main
deb $security $suite-security main
LIST
cp "$apt_conf" "$tree/etc/apt/apt.conf.d/90zkboot-lab"
# debootstrap may leave a link here; apt in a chroot needs a file.
rm -f "$tree/etc/resolv.conf"
cp "$resolv_conf" "$tree/etc/resolv.conf"

mountpoint -q "$tree/proc" || mount -t proc proc "$tree/proc"
# Nothing may start while the tree is built; hosts start services on install as usual.
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod 0755 "$tree/usr/sbin/policy-rc.d"
chroot "$tree" apt-get clean
chroot "$tree" apt-get --quiet --quiet update
chroot "$tree" apt-get --quiet --yes dist-upgrade
chroot "$tree" apt-get clean
# Fetched, not installed: a host is bare, yet its first apt-get install needs no download.
# shellcheck disable=SC2086 # PREFETCH is a list
chroot "$tree" apt-get --quiet --yes --no-install-recommends --download-only install $prefetch
rm "$tree/usr/sbin/policy-rc.d"

chroot "$tree" useradd --create-home --uid 1000 --shell /bin/bash debian
printf 'debian ALL=(ALL) NOPASSWD: ALL\n' >"$tree/etc/sudoers.d/90-zkboot-lab"
chmod 0440 "$tree/etc/sudoers.d/90-zkboot-lab"
cat >"$tree/etc/ssh/sshd_config.d/10-zkboot-lab.conf" <<SSHD
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin no
PasswordAuthentication no
UseDNS no
SSHD

chroot "$tree" systemctl --quiet enable systemd-networkd.service ssh.service
# The service of application hosts, which turn it on. Its default site would take port 80.
chroot "$tree" systemctl --quiet disable nginx.service
rm -f "$tree/etc/nginx/sites-enabled/default"
# Timers that take the apt lock or the disk at odd moments, and a console nobody looks at.
chroot "$tree" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer \
	dpkg-db-backup.timer e2scrub_all.timer fstrim.timer console-getty.service \
	systemd-networkd-wait-online.service

# Identity belongs to each host, not to the tree.
rm -f "$tree"/etc/ssh/ssh_host_*
: >"$tree/etc/machine-id"
rm -f "$tree/etc/hostname" "$tree/var/lib/dbus/machine-id"
umount "$tree/proc"
sync -f "$tree"
