package agent

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// passwdEntry is one line of /etc/passwd.
type passwdEntry struct {
	name        string
	uid, gid    int
	home, shell string
}

// groupEntry is one line of /etc/group.
type groupEntry struct {
	name    string
	gid     int
	members []string
}

// accounts reads the local users and groups. Directory services are not asked: users of
// ours are local, and files of others show their numbers.
func (m *machine) accounts() ([]passwdEntry, []groupEntry) {
	passwd, _ := os.ReadFile(m.under("/etc/passwd")) // a machine without one has no names
	group, _ := os.ReadFile(m.under("/etc/group"))
	return parsePasswd(string(passwd)), parseGroup(string(group))
}

// parsePasswd reads passwd(5); lines that are not of its form, such as the "+" of NIS,
// are skipped. https://man7.org/linux/man-pages/man5/passwd.5.html
func parsePasswd(src string) []passwdEntry {
	var entries []passwdEntry
	for line := range strings.Lines(src) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) != 7 || f[0] == "" {
			continue
		}
		uid, errUID := strconv.Atoi(f[2])
		gid, errGID := strconv.Atoi(f[3])
		if errUID != nil || errGID != nil {
			continue
		}
		entries = append(entries, passwdEntry{name: f[0], uid: uid, gid: gid, home: f[5], shell: f[6]})
	}
	return entries
}

// parseGroup reads group(5) as parsePasswd does.
func parseGroup(src string) []groupEntry {
	var entries []groupEntry
	for line := range strings.Lines(src) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) != 4 || f[0] == "" {
			continue
		}
		gid, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		members := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
		entries = append(entries, groupEntry{name: f[0], gid: gid, members: members})
	}
	return entries
}

func (m *machine) lookUsers(_ context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		if u, ok := m.user(name); ok && len(m.groupless(name)) == 0 {
			s.add(u)
		}
	}
}

// groupless returns the number of a user's own group when no group has it. useradd writes
// the user first: one that a power cut stopped has made an account that owns nothing yet,
// which counts as absent.
func (m *machine) groupless(name string) string {
	users, groups := m.accounts()
	i := slices.IndexFunc(users, func(u passwdEntry) bool { return u.name == name })
	if i < 0 || slices.ContainsFunc(groups, func(g groupEntry) bool { return g.gid == users[i].gid }) {
		return ""
	}
	return strconv.Itoa(users[i].gid)
}

func (m *machine) user(name string) (bootstrap.User, bool) {
	users, groups := m.accounts()
	i := slices.IndexFunc(users, func(u passwdEntry) bool { return u.name == name })
	if i < 0 {
		return bootstrap.User{}, false
	}
	u := bootstrap.User{Name: name, Home: users[i].home, Shell: users[i].shell}
	for _, g := range groups {
		if slices.Contains(g.members, name) && g.gid != users[i].gid {
			u.Groups = append(u.Groups, g.name)
		}
	}
	slices.Sort(u.Groups)
	u.Groups = slices.Compact(u.Groups)
	return u, true
}

// Defaults for a user that only owns files and runs a service; see
// https://www.debian.org/doc/debian-policy/ch-opersys.html#non-existent-home-directories
const (
	noHome  = "/nonexistent"
	noShell = "/usr/sbin/nologin"
)

func (m *machine) putUser(ctx context.Context, want bootstrap.User) error {
	if err := checkUser(want); err != nil {
		return err
	}
	seen, exists := m.user(want.Name)
	if gid := m.groupless(want.Name); gid != "" {
		if _, err := m.finish(ctx, "groupadd", "--system", "--gid", gid, want.Name); err != nil {
			return err
		}
	}
	if exists {
		args := []string{"usermod"}
		if want.Home != "" && want.Home != seen.Home {
			args = append(args, "--home", want.Home)
		}
		if want.Shell != "" && want.Shell != seen.Shell {
			args = append(args, "--shell", want.Shell)
		}
		if len(want.Drift(bootstrap.User{Name: want.Name, Home: want.Home, Shell: want.Shell, Groups: seen.Groups})) > 0 {
			args = append(args, "--append", "--groups", strings.Join(want.Groups, ","))
		}
		if len(args) == 1 {
			return nil
		}
		_, err := m.finish(ctx, append(args, want.Name)...)
		return err
	}
	args := []string{"useradd", "--system", "--no-create-home",
		"--home-dir", cmp.Or(want.Home, noHome), "--shell", cmp.Or(want.Shell, noShell)}
	// A group of that name may be there already; useradd would refuse to make it again.
	_, groups := m.accounts()
	if slices.ContainsFunc(groups, func(g groupEntry) bool { return g.name == want.Name }) {
		args = append(args, "--gid", want.Name)
	} else {
		args = append(args, "--user-group")
	}
	if len(want.Groups) > 0 {
		args = append(args, "--groups", strings.Join(want.Groups, ","))
	}
	_, err := m.finish(ctx, append(args, want.Name)...)
	return err
}

func checkUser(u bootstrap.User) error {
	for _, g := range u.Groups {
		if !plainName.MatchString(g) {
			return fmt.Errorf("group %q is not a plain name", g)
		}
	}
	if strings.ContainsAny(u.Home+u.Shell, ":\n") {
		return fmt.Errorf("home %q or shell %q of user %s holds a colon or a newline", u.Home, u.Shell, u.Name)
	}
	return nil
}

// deleteUser takes the user and its group. Files of the user are other resources.
func (m *machine) deleteUser(ctx context.Context, name string) error {
	if _, exists := m.user(name); !exists {
		return nil
	}
	_, err := m.finish(ctx, "userdel", name)
	return err
}
