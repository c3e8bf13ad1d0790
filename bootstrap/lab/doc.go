// Package lab makes throw-away hosts for tests, demos and CI: real systemd, real sshd, real
// apt, an address each, on a network of their own.
//
// With [DriverNspawn] a host is a systemd-nspawn container over one cached Debian tree, and is
// there in seconds. ZooKeeper's data and log directories are bind mounts from the file system
// of /var/lib, so that an fsync there costs what it costs on the machine. A supervisor per host
// holds every process and mount of that host in namespaces of its own: killing it leaves
// nothing behind, however the program that started it ended. Kernel settings such as vm.* are
// the machine's.
//
// With [DriverQEMU] a host is a virtual machine over one cached disk, run through libvirt: a
// kernel, kernel settings and a first boot of its own. It takes seconds where KVM works and
// most of a minute where the machine emulates it. The words are the same; [UnsupportedError]
// names the few that a virtual machine has no answer to. A member has a data disk, and its
// directory of transaction logs is mounted from it.
//
// [Up] and [Down] are idempotent and need root. Everything a lab owns has the lab's name in
// it and is found again by that name, never by a remembered process id; two labs of
// different names share only the cached tree or disk, which is read-only.
//
// [Host.Inject] gives a host a fault, of one process, its network, its disk or all of it, and
// [Host.Mend] undoes what lasts. The host or the kernel keeps the fault, so that it outlives whoever
// injected it and needs no note: a tracer is a unit of the host's systemd, a partition is a table of
// nftables with a fixed name, a stopped process says so itself, and what fills a disk is a file.
//
// The package refuses to be a container runtime or a hypervisor's manager: resource limits are
// not enforced, nothing here is a security boundary, and hosts are never moved or resized. It
// knows nothing of ZooKeeper and of sidecars beyond where the data lies, a service on
// application hosts (nginx, port 8080) and the spec it writes.
package lab
