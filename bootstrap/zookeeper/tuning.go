package zookeeper

import (
	"strconv"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/sysctl"
)

// tuning is what the member wants of the kernel: the preset, what the operator overrides,
// and, where the host is a sidecar as well, nothing that the sidecar could not live with.
// A host that does nothing but ZooKeeper gets the settings for dedicated hosts too.
func (m member) tuning() (sysctl.Tuning, error) {
	level := sysctl.Dedicated
	_, shared := m.spec.Sidecars[m.host]
	if shared {
		level = sysctl.Safe
	}
	mine, err := sysctl.Tune(sysctl.PresetZooKeeper, level)
	if err != nil {
		return sysctl.Tuning{}, err
	}
	m.reserve(mine.Sysctl)
	owned := []sysctl.Owned{{Owner: roleName, Tuning: mine}}
	if shared {
		other, err := sysctl.Tune(sysctl.PresetSidecar, level)
		if err != nil {
			return sysctl.Tuning{}, err
		}
		owned = append(owned, sysctl.Owned{Owner: "sidecar", Tuning: other})
	}
	return sysctl.Part(roleName, owned, m.spec.Tuning.Overrides())
}

// reserve adds the ports of the spec to those that no outgoing connection may take.
func (m member) reserve(settings []sysctl.Setting) {
	for i, s := range settings {
		if s.Key != sysctl.ReservedPorts {
			continue
		}
		for _, p := range []int{m.ports.Client, m.ports.Quorum, m.ports.Election, m.ports.Admin, m.ports.Metrics} {
			settings[i].Value += "," + strconv.Itoa(p)
		}
	}
}

// thp is the mode of transparent huge pages to have, "" to leave it alone.
func (m member) thp(t sysctl.Tuning, live string) string {
	switch want := m.spec.Tuning.THP; {
	case want == "leave":
		return ""
	case want != "":
		return want
	case live != "" && t.THP.Satisfied(sysctl.THP(live)):
		return live
	}
	return string(t.THP)
}

// kernel are the resources that tune the host.
func (m member) kernel(have bootstrap.State) ([]bootstrap.Resource, error) {
	if m.spec.Tuning.Disabled {
		return nil, nil
	}
	t, err := m.tuning()
	if err != nil {
		return nil, err
	}
	var out []bootstrap.Resource
	for _, s := range t.Sysctl {
		out = append(out, bootstrap.Sysctl{Setting: s})
	}
	out = append(out, rootFile(m.sysctlD, string(sysctl.RenderSysctlD(m.spec.Name, bootstrap.Lasting(t.Sysctl, have)))),
		rootFile(m.limitsD, string(sysctl.RenderLimitsD(m.spec.Name, account, t.Limits))))
	live, _ := have.Find(bootstrap.NewID(bootstrap.KindKernel, "thp")).(bootstrap.Kernel)
	if mode := m.thp(t, live.Value); mode != "" {
		out = append(out, bootstrap.Kernel{Name: "thp", Value: mode})
		if !live.HostOwned {
			out = append(out, rootFile(m.tmpfilesD, "# Written by zkboot: "+
				"https://docs.kernel.org/admin-guide/mm/transhuge.html\n"+
				"w /sys/kernel/mm/transparent_hugepage/enabled - - - - "+mode+"\n"))
		}
	}
	if m.spec.Tuning.Swap == "off" {
		out = append(out, bootstrap.Kernel{Name: "swap", Value: "off"},
			bootstrap.Unit{Name: m.swapUnit, Content: m.swapContent(), Enabled: true})
	}
	return out, nil
}

// rootFile is a file that everybody may read and root alone may write.
func rootFile(path, content string) bootstrap.File {
	return bootstrap.File{Path: path, Content: content, Mode: 0o644, Owner: "root", Group: "root"}
}
