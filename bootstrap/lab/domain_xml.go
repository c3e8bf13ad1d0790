package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"libvirt.org/go/libvirtxml"

	"github.com/zkboot/zkboot/bootstrap/lab/vm"
)

// What a virtual machine of a lab has. A member's JVM takes 256 MiB of heap and as much beside
// it; under emulation a second processor makes a boot no shorter.
const (
	vmMemoryMiB = 1024
	vmProcessor = 1
	dataBytes   = 2 << 30 // sparse
)

// The disks of a virtual machine, in its directory.
const (
	rootDisk = "root.qcow2" // over the image
	dataDisk = "data.raw"   // members alone
	seedDisk = "seed.iso"
)

// dataSerial names the data disk inside: udev makes /dev/disk/by-id/virtio-SERIAL, which does
// not depend on the order of disks
// (https://github.com/systemd/systemd/blob/v252/rules.d/60-persistent-storage.rules).
const dataSerial = "zkdata"

// domainName is what libvirt calls a host; host names hold no dash, so two labs never meet.
func domainName(lab, host string) string { return "zkboot-" + lab + "-" + host }

// tapName is this end of a virtual machine's cable. libvirt keeps vnet and vif for itself; a
// name of more than the kernel's 15 bytes is told apart by a hash.
func tapName(lab, host string) string {
	const prefix, limit = "vt-", 15
	if name := prefix + lab + "-" + host; len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(lab))
	return prefix + hex.EncodeToString(sum[:])[:5] + "-" + host
}

// macAddress is the same for a host of that name in every life of the lab. 52:54:00 is QEMU's
// (https://www.qemu.org/docs/master/system/devices/net.html).
func macAddress(lab, host string) string {
	sum := sha256.Sum256([]byte(domainName(lab, host)))
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", sum[0], sum[1], sum[2])
}

// domainXML describes a virtual machine to libvirt. It is started from this text each time and
// forgotten when it ends, so that nothing of it stays behind in libvirt's own directories.
// https://libvirt.org/formatdomain.html
func domainXML(lab, host, dir, console string, img vm.Image, domainType string) (string, error) {
	d := libvirtxml.Domain{
		Type:   domainType,
		Name:   domainName(lab, host),
		Memory: &libvirtxml.DomainMemory{Value: vmMemoryMiB, Unit: "MiB"},
		VCPU:   &libvirtxml.DomainVCPU{Value: vmProcessor},
		OS: &libvirtxml.DomainOS{
			Type:   &libvirtxml.DomainOSType{Arch: "x86_64", Machine: "pc", Type: "hvm"},
			Kernel: img.Kernel, Initrd: img.Initrd, Cmdline: img.Cmdline,
		},
		Features: &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		Clock:    &libvirtxml.DomainClock{Offset: "utc"},
		// A machine that ends by itself is off, as after a power cut; one that reboots boots.
		OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "destroy",
		Devices: &libvirtxml.DomainDeviceList{
			Disks:      domainDisks(host, dir),
			Interfaces: []libvirtxml.DomainInterface{domainInterface(lab, host)},
			Serials: []libvirtxml.DomainSerial{{Source: &libvirtxml.DomainChardevSource{
				File: &libvirtxml.DomainChardevSourceFile{Path: console, Append: "on"}}}},
			Channels: []libvirtxml.DomainChannel{{
				Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}},
				Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: "org.qemu.guest_agent.0"}},
			}},
			// Without it a kernel that has just booted may wait for entropy before it makes a key.
			RNGs: []libvirtxml.DomainRNG{{Model: "virtio",
				Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}}}},
			MemBalloon: &libvirtxml.DomainMemBalloon{Model: "none"},
		},
	}
	if domainType == "kvm" { // emulation has its own idea of a processor, which any kernel runs on
		d.CPU = &libvirtxml.DomainCPU{Mode: "host-passthrough"}
	}
	return d.Marshal()
}

func domainDisks(host, dir string) []libvirtxml.DomainDisk {
	disks := []libvirtxml.DomainDisk{disk(filepath.Join(dir, rootDisk), "qcow2", "vda")}
	if !isApp(host) {
		data := disk(filepath.Join(dir, dataDisk), "raw", "vdb")
		data.Serial = dataSerial
		disks = append(disks, data)
	}
	seed := disk(filepath.Join(dir, seedDisk), "raw", "vdz")
	seed.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	return append(disks, seed)
}

// disk is cached as writeback: a flush inside becomes an fdatasync outside, and nothing is
// asked of the file system below, as O_DIRECT of the mode none would
// (https://www.qemu.org/docs/master/system/qemu-block-drivers.html).
func disk(file, format, dev string) libvirtxml.DomainDisk {
	return libvirtxml.DomainDisk{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: format, Cache: "writeback"},
		Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: file}},
		Target: &libvirtxml.DomainDiskTarget{Dev: dev, Bus: "virtio"},
	}
}

func domainInterface(lab, host string) libvirtxml.DomainInterface {
	return libvirtxml.DomainInterface{
		MAC:    &libvirtxml.DomainInterfaceMAC{Address: macAddress(lab, host)},
		Source: &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: bridgeName(lab)}},
		Target: &libvirtxml.DomainInterfaceTarget{Dev: tapName(lab, host)},
		Model:  &libvirtxml.DomainInterfaceModel{Type: "virtio"},
	}
}
