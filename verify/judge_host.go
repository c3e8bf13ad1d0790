package verify

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// JudgeHost answers every question that the facts of one host can answer, in
// the order of Checks, one check for each id.
func JudgeHost(f Facts, n HostNeeds, t Thresholds) []Check {
	return Join([]Check{
		judgePrivilege(f),
		judgeVirtualization(f, t),
		judgeOS(f),
		judgeSystemd(f, t),
		judgeCloudInit(f),
		judgePackageLock(f),
		judgeMemory(f, t),
		judgeHeap(f, n, t),
		judgeSwap(f, t),
		judgeLimits(f, n),
		judgeTHP(f),
		judgeJava(f, n),
		judgeAddress(f, n),
		judgeResolution(f, n),
		judgeForeign(f, n),
		judgePorts(f, n),
		judgeCPUCount(f, t),
		judgeClocksource(f),
		judgeSteal(f, t),
		judgePressure("psi.io", f, f.Pressure.IO, t),
		judgePressure("psi.memory", f, f.Pressure.Memory, t),
		judgeMounts(f, n, t),
		judgeFree(f, n, t),
		judgeHeadroom(f, n, t),
		judgeInodes(f, n, t),
		judgeTimeSync(f),
		judgeTimeOffset(f, t),
	})
}

// contained tells whether the kernel belongs to somebody else.
func (f Facts) contained() bool {
	c := f.Virtualization.Container
	return c != "" && c != "none"
}

// missing returns a check of verdict unknown when the fact could not be read.
func (f Facts) missing(id, fact string) (Check, bool) {
	why, ok := f.Unknown[fact]
	if !ok {
		return Check{}, false
	}
	return Finding(id, Unknown, "", why), true
}

const whyHostOwned = "in a container it belongs to the outer host"

func judgePrivilege(f Facts) Check {
	if f.UserID != 0 {
		return Finding("host.privilege", Warn, fmt.Sprintf("user id %d", f.UserID),
			"without root the owners of ports, other users' processes and the hardware id stay hidden")
	}
	return Finding("host.privilege", Pass, "root", "")
}

// trustedVMs are hypervisors that run a real kernel at full speed and whose
// disks honour flushes when configured as usual; refusedVMs emulate the CPU or
// the kernel. What is on neither list is a warning.
var (
	trustedVMs = []string{"none", "kvm", "amazon", "google", "microsoft", "vmware", "xen", "apple"}
	refusedVMs = []string{"qemu", "bochs", "uml"}
)

func judgeVirtualization(f Facts, t Thresholds) Check {
	const id = "host.virtualization"
	v := f.Virtualization
	text := v.VM
	if f.contained() {
		text = v.Container + " (on " + v.VM + ")"
	}
	refused := Fail
	if t.Lenient {
		refused = Warn
	}
	switch {
	case v.FsyncEnable != nil && *v.FsyncEnable == 0:
		return Finding(id, refused, text, "fs.fsync-enable is 0: fsync does nothing in this container")
	case len(v.Beancounters) > 0:
		b := v.Beancounters[0]
		return Finding(id, refused, text, fmt.Sprintf("OpenVZ has refused %s %d times (user_beancounters)", b.Resource, b.Failures))
	case f.contained():
		return Finding(id, refused, text, v.Container+" is a container: its kernel, its limits and its fsync belong to the outer host")
	case v.VM == "":
		return Finding(id, Unknown, "", cmp.Or(f.Unknown["virtualization"], "not detected"))
	case slices.Contains(refusedVMs, v.VM):
		return Finding(id, refused, text, v.VM+" emulates the machine in software")
	case !slices.Contains(trustedVMs, v.VM):
		return Finding(id, Warn, text, v.VM+" is not a hypervisor that servers usually run on")
	}
	return Finding(id, Pass, text, "")
}

// triedOS are the distributions and the oldest version of each that we try.
var triedOS = []struct {
	id     string
	oldest float64
}{{"debian", 12}, {"ubuntu", 22.04}}

func judgeOS(f Facts) Check {
	const id = "host.os"
	if c, missing := f.missing(id, "kernel"); missing {
		return c
	}
	text := fmt.Sprintf("%s, Linux %s, %s", cmp.Or(f.OS.Pretty, f.OS.ID+" "+f.OS.VersionID), f.Kernel, f.Arch)
	if f.Arch != "amd64" && f.Arch != "arm64" {
		return Finding(id, Fail, text, "architecture "+f.Arch+" is not supported")
	}
	if major, minor := kernelVersion(f.Kernel); major < 4 || major == 4 && minor < 18 {
		return Finding(id, Fail, text, "Linux 4.18 or later is needed")
	}
	for _, tried := range triedOS {
		if f.OS.ID != tried.id {
			continue
		}
		// Debian testing has no VERSION_ID and is newer than any that has.
		if v, err := strconv.ParseFloat(f.OS.VersionID, 64); err == nil && v < tried.oldest {
			return Finding(id, Warn, text, fmt.Sprintf("older than %s %v, the oldest that is tried", tried.id, tried.oldest))
		}
		return Finding(id, Pass, text, "")
	}
	return Finding(id, Warn, text, "this distribution is not tried")
}

// kernelVersion reads "6.1.0-18-amd64" as 6, 1.
func kernelVersion(release string) (major, minor int) {
	// What cannot be read stays 0 and is refused as too old.
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor
}

func judgeSystemd(f Facts, t Thresholds) Check {
	const id = "host.systemd"
	if c, missing := f.missing(id, "systemd"); missing {
		return c
	}
	if f.Systemd.Version == 0 {
		return Finding(id, Fail, "none", "systemd is not in charge of this host")
	}
	c := t.Figure(id, float64(f.Systemd.Version))
	c.Text = fmt.Sprintf("%d, %s", f.Systemd.Version, f.Systemd.State)
	switch f.Systemd.State {
	case "maintenance", "stopping", "offline":
		return c.worsen(Fail, "the system is in state "+f.Systemd.State)
	case "initializing", "starting":
		return c.worsen(Warn, "the system is still starting")
	}
	return c // degraded: some unit failed, which need not concern us
}

func judgeCloudInit(f Facts) Check {
	const id = "host.cloud_init"
	if c, missing := f.missing(id, "cloud_init"); missing {
		return c
	}
	switch f.CloudInit {
	case "":
		return Finding(id, NotApplicable, "not installed", "")
	case "running":
		return Finding(id, Warn, f.CloudInit, "cloud-init still changes the host")
	case "error":
		return Finding(id, Warn, f.CloudInit, "cloud-init ended with errors, so that something it was to set up may be missing")
	}
	return Finding(id, Pass, f.CloudInit, "")
}

// unseen stands for a process that exists but cannot be looked at.
const unseen = "a process that cannot be seen"

func judgePackageLock(f Facts) Check {
	const id = "host.package_lock"
	if c, missing := f.missing(id, "package_lock"); missing {
		return c
	}
	if f.PackageLock != nil {
		return Finding(id, Warn, f.PackageLock.String(), "it holds dpkg's lock")
	}
	return Finding(id, Pass, "free", "")
}

// String names the process as errors and reports do. One in another PID
// namespace has neither name nor number here.
func (p Process) String() string {
	if p.Name == "" {
		return unseen
	}
	if p.Unit == "" {
		return fmt.Sprintf("%s (pid %d)", p.Name, p.PID)
	}
	return fmt.Sprintf("%s (pid %d, %s)", p.Name, p.PID, p.Unit)
}

func judgeMemory(f Facts, t Thresholds) Check {
	if c, missing := f.missing("host.memory", "memory"); missing {
		return c
	}
	return t.Figure("host.memory", float64(f.Memory.Total))
}

func judgeHeap(f Facts, n HostNeeds, t Thresholds) Check {
	const id = "host.heap"
	if c, missing := f.missing(id, "memory"); missing {
		return c
	}
	if n.HeapBytes == 0 || f.Memory.Total == 0 {
		return Finding(id, NotApplicable, "", "no JVM is wanted here")
	}
	c := t.Figure(id, 100*float64(n.HeapBytes)/float64(f.Memory.Total))
	c.Text = fmt.Sprintf("%s of %s", formatFigure(unitBytes, float64(n.HeapBytes)), formatFigure(unitBytes, float64(f.Memory.Total)))
	return c
}

func judgeSwap(f Facts, t Thresholds) Check {
	const id = "host.swap"
	if f.contained() {
		return Finding(id, NotApplicable, "", whyHostOwned)
	}
	if c, missing := f.missing(id, "memory"); missing {
		return c
	}
	c := t.Figure(id, float64(f.Memory.SwapUsed))
	c.Text += " of " + formatFigure(unitBytes, float64(f.Memory.SwapTotal)) + " in use"
	for _, p := range f.Processes {
		if p.SwapBytes > 0 {
			c = c.worsen(Warn, fmt.Sprintf("%s has %s in swap", p.Process, formatFigure(unitBytes, float64(p.SwapBytes))))
		}
	}
	return c
}

func judgeLimits(f Facts, n HostNeeds) Check {
	const id = "host.limits"
	if len(f.Processes) == 0 {
		return Finding(id, NotApplicable, "", "no member runs here")
	}
	var low, unread []string
	for _, p := range f.Processes {
		switch {
		case p.Error != "":
			unread = append(unread, p.Error)
		case p.OpenFiles < n.OpenFiles:
			low = append(low, fmt.Sprintf("%s may open %d files, want %d", p.Process, p.OpenFiles, n.OpenFiles))
		case p.Tasks < n.Tasks:
			low = append(low, fmt.Sprintf("%s may start %d tasks, want %d", p.Process, p.Tasks, n.Tasks))
		}
	}
	switch {
	case len(low) > 0:
		c := Finding(id, Warn, "", strings.Join(low, "; "))
		if f.contained() { // a unit cannot go above what its container was started with
			c.Hint = "raise the limit of whoever starts the container"
		}
		return c
	case len(unread) > 0:
		return Finding(id, Unknown, "", strings.Join(unread, "; "))
	}
	p := f.Processes[0]
	return Finding(id, Pass, fmt.Sprintf("%s open files, %s tasks", limitText(p.OpenFiles), limitText(p.Tasks)), "")
}

func limitText(n uint64) string {
	if n == math.MaxUint64 {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

func judgeTHP(f Facts) Check {
	const id = "host.thp"
	if f.contained() {
		return Finding(id, NotApplicable, f.THP, whyHostOwned)
	}
	if c, missing := f.missing(id, "thp"); missing {
		return c
	}
	if f.THP == "always" {
		return Finding(id, Warn, f.THP, "compaction stalls processes that never asked for huge pages")
	}
	return Finding(id, Pass, f.THP, "")
}

func judgeJava(f Facts, n HostNeeds) Check {
	const id = "host.java"
	switch {
	case len(n.JavaMajor) == 0:
		return Finding(id, NotApplicable, "", "no Java is wanted here")
	case n.JavaComes && (f.Java == nil || !slices.Contains(n.JavaMajor, f.Java.Major)):
		return Finding(id, Pass, "apply installs it", "")
	case f.Java == nil:
		if c, missing := f.missing(id, "java"); missing {
			return c
		}
		return Finding(id, Fail, "none", "no java in PATH or below /usr/lib/jvm")
	case !slices.Contains(n.JavaMajor, f.Java.Major):
		return Finding(id, Fail, f.Java.Version, fmt.Sprintf("Java %d, want one of %s", f.Java.Major, strings.Trim(fmt.Sprint(n.JavaMajor), "[]")))
	}
	return Finding(id, Pass, f.Java.Version+" ("+f.Java.Path+")", "")
}

func judgeAddress(f Facts, n HostNeeds) Check {
	const id = "host.address"
	if c, missing := f.missing(id, "addresses"); missing {
		return c
	}
	want, err := netip.ParseAddr(n.Address)
	if err != nil {
		return Finding(id, NotApplicable, n.Address, "the members know this host by a name")
	}
	for _, a := range f.Addresses {
		if p, err := netip.ParsePrefix(a.Prefix); err == nil && p.Addr().Unmap() == want.Unmap() {
			return Finding(id, Pass, n.Address+" on "+a.Interface, "")
		}
	}
	return Finding(id, Fail, n.Address, "no interface of the host has "+n.Address+", so nothing can bind to it")
}

// worseOf returns the worse of two verdicts with its reason; of equals the first.
func worseOf(v Verdict, why string, other Verdict, otherWhy string) (Verdict, string) {
	if other.rank() > v.rank() {
		return other, otherWhy
	}
	return v, why
}

func judgeForeign(f Facts, n HostNeeds) Check {
	const id = "host.foreign_zookeeper"
	if c, missing := f.missing(id, "zookeepers"); missing {
		return c
	}
	var foreign []string
	for _, p := range f.ZooKeepers {
		if !slices.Contains(n.Units, p.Unit) {
			foreign = append(foreign, p.String())
		}
	}
	switch {
	case len(foreign) > 0:
		return Finding(id, Fail, strings.Join(foreign, ", "), "a ZooKeeper runs here that is not ours")
	case len(f.ZooKeeperPkgs) > 0:
		return Finding(id, Warn, strings.Join(f.ZooKeeperPkgs, ", "), "the package starts a ZooKeeper of its own at boot")
	}
	return Finding(id, Pass, "none", "")
}

func judgePorts(f Facts, n HostNeeds) Check {
	const id = "host.ports"
	if c, missing := f.missing(id, "listeners"); missing {
		return c
	}
	if len(n.Ports) == 0 {
		return Finding(id, NotApplicable, "", "no port is wanted here")
	}
	var ports, taken []string
	for _, want := range n.Ports {
		ports = append(ports, strconv.Itoa(want.Port))
		for _, l := range f.Listeners {
			ours := l.Process != nil && slices.Contains(n.Units, l.Process.Unit)
			if l.Port != want.Port || ours || !collides(l.Address, want.Address) {
				continue
			}
			owner := unseen
			if l.Process != nil {
				owner = l.Process.String()
			}
			taken = append(taken, fmt.Sprintf("port %d (%s) is held by %s", want.Port, want.Use, owner))
			break // the same program often listens on both IPv4 and IPv6
		}
	}
	if len(taken) > 0 {
		return Finding(id, Fail, strings.Join(ports, ", "), strings.Join(taken, "; "))
	}
	return Finding(id, Pass, strings.Join(ports, ", ")+" free or ours", "")
}

// collides tells whether two listeners on one port exclude each other. An IPv6
// wildcard usually takes IPv4 too, so wildcards collide with everything.
func collides(have, want string) bool {
	a, errA := netip.ParseAddr(have)
	b, errB := netip.ParseAddr(want)
	if errA != nil || errB != nil { // "" or a name: it may be any
		return true
	}
	return a.IsUnspecified() || b.IsUnspecified() || a.Unmap() == b.Unmap()
}
