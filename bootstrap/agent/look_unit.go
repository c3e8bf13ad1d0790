package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

func unitPath(name string) string { return "/etc/systemd/system/" + name }

// maxUnit bounds a unit file, in bytes.
const maxUnit = 64 << 10

// unitStatus is what systemd knows of a unit.
type unitStatus struct {
	load, active, file string // LoadState, ActiveState, UnitFileState
	pid                int    // 0 without a main process
}

// unitProperties are asked for; see
// https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html
const unitProperties = "--property=Id,LoadState,ActiveState,UnitFileState,MainPID"

// parseUnits reads the blocks of systemctl show, one a unit, in the order asked for.
func parseUnits(src string, names []string) (map[string]unitStatus, error) {
	blocks := strings.Split(strings.Trim(src, "\n"), "\n\n")
	if len(blocks) != len(names) {
		return nil, fmt.Errorf("systemctl show: asked for %d units, was told of %d", len(names), len(blocks))
	}
	units := map[string]unitStatus{}
	for i, block := range blocks {
		var u unitStatus
		for line := range strings.SplitSeq(block, "\n") {
			key, value, _ := strings.Cut(line, "=")
			switch key {
			case "LoadState":
				u.load = value
			case "ActiveState":
				// A service that reloads serves on, as HAProxy does at every reload of its
				// file: it must not be started for that.
				if u.active = value; value == "reloading" {
					u.active = "active"
				}
			case "UnitFileState":
				u.file = value
			case "MainPID":
				pid, err := strconv.Atoi(value)
				if err != nil {
					return nil, fmt.Errorf("systemctl show %s: MainPID is %q", names[i], value)
				}
				u.pid = pid
			}
		}
		if u.load == "" || u.active == "" {
			return nil, fmt.Errorf("systemctl show %s: no LoadState or ActiveState", names[i])
		}
		units[names[i]] = u
	}
	return units, nil
}

// statuses asks systemd for all units at once.
func (m *machine) statuses(ctx context.Context, names []string) (map[string]unitStatus, error) {
	out, err := m.run(ctx, append([]string{"systemctl", "show", "--no-pager", unitProperties, "--"}, names...)...)
	if err != nil {
		return nil, err
	}
	return parseUnits(out, names)
}

func (m *machine) lookUnits(ctx context.Context, g glance, s *sighting) {
	status, err := m.statuses(ctx, g.names)
	for _, name := range g.names {
		id := bootstrap.NewID(bootstrap.KindUnit, name)
		if err != nil {
			s.fail(id, err)
			continue
		}
		r, err := m.seeUnit(name, status[name])
		s.one(id, r, err)
	}
}

// seeUnit joins the file of ours with what systemd says. A unit of a package, without a
// file of ours, is seen without content; one that is still loaded though its file is
// gone, as after a crash in the middle of a delete, is seen as well.
func (m *machine) seeUnit(name string, st unitStatus) (bootstrap.Resource, error) {
	content, err := m.unitFile(name)
	if err != nil {
		return nil, err
	}
	idle := st.active == "inactive" || st.active == "failed"
	if content == nil && st.load == "not-found" && idle {
		return nil, nil
	}
	u := bootstrap.Unit{Name: name, Content: string(content), Enabled: m.startsAtBoot(name, st)}
	rev, alive := m.liveRev(st, string(content))
	u.Running = st.active == "active" && alive
	if u.Running {
		u.Rev = rev
	}
	return u, nil
}

// unitFile returns nil when there is no file of ours.
func (m *machine) unitFile(name string) ([]byte, error) {
	content, err := m.read(unitPath(name), maxUnit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if target, linkErr := os.Readlink(m.under(unitPath(name))); linkErr == nil && target == os.DevNull {
		return nil, fmt.Errorf("%s is masked; run systemctl unmask %s if zkboot may have it", name, name)
	}
	return content, err
}

// revision finds ZKBOOT_REV in an environment block or in the text of a unit.
var revision = regexp.MustCompile(`(?:^|[\x00\s"'=#])ZKBOOT_REV=([0-9A-Za-z]+)`)

func findRev(text string) string {
	if found := revision.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}

// liveRev returns the revision that a unit runs with and whether it is alive. The
// environment of the main process tells the truth, also when its file has changed
// since. Units without a process have the revision of their file: applyUnits stops them
// before it writes a new one.
func (m *machine) liveRev(st unitStatus, content string) (rev string, alive bool) {
	if st.pid == 0 {
		return findRev(content), true
	}
	env, err := os.ReadFile(m.under("/proc/" + strconv.Itoa(st.pid) + "/environ"))
	if err != nil {
		return "", false
	}
	return findRev(string(env)), true
}

// startsAtBoot reports whether a unit is enabled. systemd calls one that it made of an init
// script "generated", enabled or not; the links that sysv-rc keeps tell.
// https://www.freedesktop.org/software/systemd/man/latest/systemd-sysv-generator.html
func (m *machine) startsAtBoot(name string, st unitStatus) bool {
	if st.file != "generated" {
		return st.file == "enabled"
	}
	script := strings.TrimSuffix(name, ".service")
	for _, level := range []string{"2", "3", "4", "5"} {
		entries, err := os.ReadDir(m.under("/etc/rc" + level + ".d"))
		if err != nil {
			continue // a machine without that level
		}
		for _, e := range entries {
			if n := e.Name(); len(n) > 3 && n[0] == 'S' && n[3:] == script {
				return true
			}
		}
	}
	return false
}

// linked reports the states in which systemctl enable has nothing to do or to give.
func linked(file string) bool {
	return slices.Contains([]string{"static", "indirect", "generated", "transient", "alias"}, file)
}
