// Package vm gives labs virtual machines: a golden Debian disk with the kernel it boots
// ([EnsureImage]), the word whether this machine runs it under KVM ([Probe]), and a libvirtd
// that answers ([Start]).
//
// The disk holds what zkboot installs, so that a machine needs no network to become a member,
// and no identity: host keys, machine id and accounts come from NoCloud user-data at the first
// boot. libvirtd is the system's when one answers; else one is started in namespaces of its
// own, with all its files in one directory, and [Stop] ends it with every virtual machine.
//
// The package refuses to touch a libvirtd that it did not start, to install or enable
// anything on this machine, and processors other than amd64. It makes no virtual machines:
// that is the work of who asked for the hypervisor.
package vm
