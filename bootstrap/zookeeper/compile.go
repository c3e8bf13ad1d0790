package zookeeper

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
	"github.com/zkboot/zkboot/verify"
)

// desired is what a member needs on its host. The dynamic configuration and the initialize
// markers are not among it: they are made once, by formation.
func (m member) desired(p platform, seen bootstrap.Seen, cluster string) (bootstrap.Desired, error) {
	d := bootstrap.Desired{From: map[bootstrap.ID]bootstrap.Path{}, SyncDir: m.dataLog, Cluster: cluster, Needs: m.needs(p)}
	m.onMounts(d.Needs.Dirs, seen.State)
	add := func(from bootstrap.Path, rs ...bootstrap.Resource) {
		for _, r := range rs {
			d.Resources = append(d.Resources, r)
			d.From[r.ID()] = from
		}
	}
	server := m.software(p)
	config := m.files()
	add(sourcePath(m.spec), server...)
	for _, r := range config {
		add(configPath(r), r)
	}
	add("ensemble", bootstrap.User{Name: account, Shell: "/usr/sbin/nologin"})
	for _, at := range slices.Sorted(maps.Keys(m.mounts())) {
		add(bootstrap.Path("hosts").Key(m.host).Field("mounts").Key(at), m.mounts()[at])
	}
	add("ensemble", m.dirs(seen.State)...)
	add(bootstrap.Path("ensemble.members").Key(m.host), m.identity(seen.State, cluster)...)
	add("ensemble", rootFile(m.needrest, m.needrestartConf()))
	kernel, err := m.kernel(seen.State)
	if err != nil {
		return d, err
	}
	add("tuning", kernel...)
	limits, err := sysctl.Tune(sysctl.PresetZooKeeper, sysctl.Safe)
	if err != nil {
		return d, err
	}
	unit := bootstrap.Unit{Name: m.unit, Enabled: true, Running: true, Turn: true,
		Content: m.unitContent(p, seen.Facts.Arch, limits.Limits)}
	for _, r := range slices.Concat(server, config) {
		unit.RestartOn = append(unit.RestartOn, r.ID())
	}
	add("ensemble", unit)
	d.Takeover = m.takeover(seen.State)
	return d, nil
}

// software is the server and its runtime: what must change only in the member's turn, and
// so is held against apt.
func (m member) software(p platform) []bootstrap.Resource {
	jre := bootstrap.Package{Name: p.jrePackage(), Hold: true}
	src := m.spec.Ensemble.Source
	if t := src.Tarball; t != nil {
		return []bootstrap.Resource{jre, bootstrap.Archive{Dest: m.home, URL: t.URL, SHA512: t.SHA512}}
	}
	lib := bootstrap.Package{Name: library, Hold: true}
	if src.Apt != nil {
		lib.Version = src.Apt.Version
	}
	return []bootstrap.Resource{jre, lib,
		bootstrap.Package{Name: "libservlet-api-java", Hold: true}, // the AdminServer needs it, the package does not say so
		bootstrap.Package{Name: "libslf4j-java", Hold: true},       // has the binding that logs
	}
}

// files are what the server reads at its start.
func (m member) files() []bootstrap.Resource {
	name, log := m.logConfig()
	return []bootstrap.Resource{
		bootstrap.Secret{Path: m.super, Bytes: 32, Mode: 0o600, Owner: "root", Group: "root"},
		m.zooCfgFile(),
		bootstrap.File{Path: m.conf + "/" + name, Content: log, Mode: 0o640, Owner: "root", Group: account},
	}
}

// zooCfgFile belongs to the server's account: the server replaces the file at every change
// of members, and what it writes is its own.
func (m member) zooCfgFile() bootstrap.File {
	return bootstrap.File{
		Path: m.zooCfg, Content: m.config().String(), Mode: 0o640, Owner: account, Group: account,
		Compare: bootstrap.CompareProperties, Keep: []string{"dynamicConfigFile"},
		Fill: []bootstrap.Fill{{Marker: superMarker, Secret: m.super, As: bootstrap.FillSuperDigest}},
	}
}

// configPath is the place in the spec that a file's content comes from.
func configPath(r bootstrap.Resource) bootstrap.Path {
	if f, ok := r.(bootstrap.File); ok && f.Compare == bootstrap.CompareProperties {
		return "ensemble.config"
	}
	return "ensemble"
}

// mounts are the file systems of the host that the member's data lies on.
func (m member) mounts() map[string]bootstrap.Mount {
	out := map[string]bootstrap.Mount{}
	for at, spec := range m.spec.Hosts[m.host].Mounts {
		if !below(m.data, at) && !below(m.dataLog, at) {
			continue
		}
		mount := bootstrap.Mount{Path: at, Device: spec.Device, FSType: spec.FSType, Options: spec.Options}
		if mount.FSType == "" {
			mount.FSType = "ext4"
		}
		if len(mount.Options) == 0 {
			mount.Options = []string{"noatime"}
		}
		out[at] = mount
	}
	return out
}

// dirs are the member's directories, version-2 among them: with datadir.autocreate=false
// the server makes none. Parents that somebody else made stay as they are.
func (m member) dirs(have bootstrap.State) []bootstrap.Resource {
	var out []bootstrap.Resource
	manifest := have.Manifests[string(bootstrap.OwnerOf(m.spec.Name, roleName))]
	shared := append(m.parents(), "/etc/needrestart", "/etc/needrestart/conf.d")
	if m.spec.Ensemble.Source.Tarball != nil {
		shared = append(shared, "/opt/zookeeper")
	}
	for _, dir := range distinct(shared...) {
		r := bootstrap.Dir{Path: dir, Mode: 0o755, Owner: "root", Group: "root"}
		if _, ours := manifest.Find(r.ID()); ours || have.Find(r.ID()) == nil {
			out = append(out, r)
		}
	}
	own := func(dir string, contents, data bool) {
		out = append(out, bootstrap.Dir{Path: dir, Mode: 0o750, Owner: account, Group: account, Contents: contents, Data: data})
	}
	own(m.conf, true, false)
	own(m.logs, true, false)
	for _, dir := range distinct(m.data, m.dataLog) {
		own(dir, false, true)
		own(versionDir(dir), false, true)
	}
	return out
}

// mark is the content of zkboot.json in the data directory: it tells whose data this is.
type mark struct {
	Format  int    `json:"format"` // 1
	Name    string `json:"name"`
	Cluster string `json:"cluster"`
	Server  int    `json:"server"`
}

// String is the content of the file.
func (k mark) String() string {
	b, err := json.Marshal(k)
	if err != nil { // strings and numbers always encode
		return ""
	}
	return string(b)
}

// identity are the two files that say which member of which ensemble the data belongs to.
func (m member) identity(have bootstrap.State, cluster string) []bootstrap.Resource {
	own := mark{Format: 1, Name: m.spec.Name, Cluster: cluster, Server: m.id}
	marker := bootstrap.File{Path: m.marker, Content: own.String() + "\n", Mode: 0o640, Owner: account, Group: account}
	if m.linkedID(have) {
		return []bootstrap.Resource{marker}
	}
	return []bootstrap.Resource{
		bootstrap.File{Path: m.myID, Content: strconv.Itoa(m.id) + "\n", Mode: 0o640, Owner: account, Group: account}, marker}
}

// needs is what the hardware gate has to judge.
func (m member) needs(p platform) verify.HostNeeds {
	n := verify.HostNeeds{
		Address: m.addr,
		Ports: []verify.PortNeed{
			{Port: m.ports.Client, Address: m.addr, Use: "client"},
			{Port: m.ports.Quorum, Address: m.addr, Use: "quorum"},
			{Port: m.ports.Election, Address: m.addr, Use: "election"},
			{Port: m.ports.Admin, Address: "127.0.0.1", Use: "admin"},
		},
		HeapBytes: uint64(m.heap()), OpenFiles: 65536, Tasks: 8192,
		Units: m.units(), JavaMajor: []int{p.jre}, JavaComes: true,
	}
	if m.metered() {
		n.Ports = append(n.Ports, verify.PortNeed{Port: m.ports.Metrics, Address: m.addr, Use: "metrics"})
	}
	n.Dirs = []verify.DirNeed{{Path: m.dataLog, Use: "log"}}
	if m.data != m.dataLog {
		n.Dirs = append(n.Dirs, verify.DirNeed{Path: m.data, Use: "data"})
	}
	return n
}

// onMounts says which mount each directory must lie on. One that was never made comes
// with the plan; one that was and is gone is a fault: the server would start beside its data.
func (m member) onMounts(dirs []verify.DirNeed, have bootstrap.State) {
	manifest := have.Manifests[string(bootstrap.OwnerOf(m.spec.Name, roleName))]
	for at, mount := range m.mounts() {
		made, _ := manifest.Find(mount.ID())
		for i, d := range dirs {
			if below(d.Path, at) && len(at) > len(d.Mount) { // the innermost counts
				dirs[i].Mount, dirs[i].MountComes = at, made.Hash == "" // "": cut short, see Entry
			}
		}
	}
}

// Files returns the bytes that an apply would write on a host with these facts: its
// zoo.cfg with a marker in the place of the digest, its unit, and its sysctl.d drop-in as
// it is where nothing was raised before.
func (Role) Files(s *bootstrap.Spec, host string, facts bootstrap.Facts) (zooCfg, unit, drop []byte, err error) {
	m, p, err := placed(s, host, facts)
	if err != nil {
		return nil, nil, nil, err
	}
	d, err := m.desired(p, bootstrap.Seen{Facts: facts}, "")
	if err == nil {
		d, err = d.Seal()
	}
	if err != nil {
		return nil, nil, nil, err
	}
	for _, r := range d.Resources {
		switch r := r.(type) {
		case bootstrap.File:
			switch r.Path {
			case m.zooCfg:
				zooCfg = []byte(r.Content)
			case m.sysctlD:
				drop = []byte(r.Content)
			}
		case bootstrap.Unit:
			if r.Name == m.unit {
				unit = []byte(r.Content)
			}
		}
	}
	return zooCfg, unit, drop, nil
}
