// Package lab makes throw-away hosts for tests, demos and CI: real systemd, real sshd, real
// apt, an address and a network namespace each, in seconds and without virtual machines.
//
// A host is a systemd-nspawn container over one cached Debian tree. ZooKeeper's data and
// log directories are bind mounts from the file system of /var/lib, so that an fsync there
// costs what it costs on the machine. A supervisor per host holds every process and mount
// of that host in namespaces of its own: killing it leaves nothing behind, however the
// program that started it ended.
//
// [Up] and [Down] are idempotent and need root. Everything a lab owns has the lab's name in
// it and is found again by that name, never by a remembered process id; two labs of
// different names share only the cached tree, which is read-only.
//
// The package refuses to be a container runtime: kernel settings such as vm.* belong to the
// machine, resource limits are not enforced, and nothing here is a security boundary. It
// knows nothing of ZooKeeper and of sidecars beyond where the data lies, a service on
// application hosts (nginx, port 8080) and the spec it writes.
package lab
