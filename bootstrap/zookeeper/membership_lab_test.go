//go:build lab

package zookeeper_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/bootstrap/zookeeper/zookeepertest"
)

// club is five hosts of which some are members.
type club struct {
	*days
	source string
}

// TestMembership changes the members of a real ensemble under a client that writes. Its parts
// build on each other: each begins with the members that the one before left.
func TestMembership(t *testing.T) {
	c := &club{days: daysOn(t, "mb", 5), source: zookeepertest.Release(t).Source("")}
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"one, three, five and three again", c.growAndShrink},
		{"killed at every step of a join", c.killedJoining},
		{"a joiner that is cut off, and two that are stale", c.staleJoiners},
		{"a lost host is replaced by another", c.lostHost},
		{"an observer comes, votes and observes again", c.roles},
		{"a member begins anew", c.replace},
		{"an empty disk comes back, and not while another member is down", c.emptyDisk},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			start := time.Now()
			defer func() {
				t.Logf("took %s", time.Since(start).Round(time.Second/10))
				if t.Failed() {
					c.tell(t)
				}
			}()
			part.run(t)
		}) {
			break // the others rest on it
		}
	}
}

// spec writes a spec whose members are those, and loads it. A name may have a role behind it,
// or "lost": then the host is no member, and its machine is gone.
func (c *club) spec(t *testing.T, members ...string) (*bootstrap.Spec, string) {
	t.Helper()
	var hosts, list []string
	lost := func(host string) bool { return slices.Contains(members, host+" lost") }
	for i, h := range c.lab.Hosts {
		more := ""
		if lost(h.Name) {
			more = ", lost: true"
		}
		hosts = append(hosts, fmt.Sprintf("  %s: {address: %s, host_key: %q, ssh: {address: 127.0.0.1, port: %d}%s}",
			h.Name, h.Address, h.HostKey, c.lines[h.Name].port(), more))
		for _, m := range members {
			if name, role, _ := strings.Cut(m, " "); name == h.Name && role != "lost" {
				if role == "" {
					role = "voter"
				}
				list = append(list, fmt.Sprintf("%s: {id: %d, role: %s}", h.Name, i+1, role))
			}
		}
	}
	text := fmt.Sprintf(`name: bad
ssh: {user: debian, identity_files: [%s/lab/id_ed25519], config_file: none}
hardware: {profile: lab}
hosts:
%s
ensemble: {source: %s, heap: 128MiB, members: {%s}}
`, c.dir, strings.Join(hosts, "\n"), c.source, strings.Join(list, ", "))
	file := filepath.Join(c.dir, "club.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, report := bootstrap.Load(file, []byte(text))
	if report.Failed() {
		t.Fatal(report.Err())
	}
	return s, file
}

// become applies the spec and checks who is in the live configuration afterwards, and that
// nothing is left to do.
func (c *club) become(t *testing.T, members ...string) {
	t.Helper()
	s, _ := c.spec(t, members...)
	c.converge(t, s)
	want := []string{}
	for _, m := range members {
		if name, role, _ := strings.Cut(m, " "); role != "lost" {
			want = append(want, strings.TrimSpace(name+" "+strings.TrimPrefix(role, "voter")))
		}
	}
	if got := c.live(t); !slices.Equal(got, want) {
		t.Fatalf("the live configuration has %v, want %v", got, want)
	}
}

// live reads the live configuration as a client does.
func (c *club) live(t *testing.T) []string {
	t.Helper()
	text, _, err := c.anyClient(t).Get("/zookeeper/config")
	if err != nil {
		t.Fatal(err)
	}
	d, err := zookeeper.ParseDynamic(string(text))
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, srv := range d.Servers {
		name := fmt.Sprintf("zk%d", srv.ID)
		if srv.Role == zookeeper.Observer {
			name += " observer"
		}
		out = append(out, name)
	}
	return out
}

func (c *club) hosts() []string {
	var names []string
	for _, h := range c.lab.Hosts {
		names = append(names, h.Name)
	}
	return names
}

func (c *club) anyClient(t *testing.T) *zk.Conn { return c.client(t, c.hosts()...) }

// writing runs work while a client writes, and checks afterwards that every member has every
// acknowledged write and that all hold the same.
func (c *club) writing(t *testing.T, root string, members []string, work func()) {
	t.Helper()
	if _, err := c.anyClient(t).Create(root, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	w := c.writeBelow(t, root, c.hosts())
	work()
	acked, stall := w.stop(t)
	t.Logf("%d acknowledged writes, longest stall %s", len(acked), stall.Round(time.Millisecond))
	if stall > longestStall {
		t.Errorf("a write waited %s, want %s at most", stall, longestStall)
	}
	for _, host := range members {
		conn := c.client(t, host)
		_, err := conn.Sync(root)
		names, _, err2 := conn.Children(root)
		if err := errors.Join(err, err2); err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		there := map[string]bool{}
		for _, n := range names {
			there[n] = true
		}
		if lost := slices.DeleteFunc(slices.Clone(acked), func(n string) bool { return there[n] }); len(lost) > 0 {
			t.Errorf("%s lost %d acknowledged writes below %s: %v", host, len(lost), root, lost)
		}
	}
	c.sameDigests(t, root, members)
}

// sameDigests writes until every member has digests, and compares them.
func (c *club) sameDigests(t *testing.T, root string, members []string) {
	t.Helper()
	conn := c.anyClient(t)
	for range 128 {
		if _, err := conn.Set(root, nil, -1); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := c.spec(t, members...)
	digests := map[string]map[uint64]int64{}
	for _, host := range members {
		if _, err := c.client(t, host).Sync(root); err != nil {
			t.Errorf("sync through %s: %v", host, err)
		}
		z := c.server(t, s, host)
		if n := z.Mntr["zk_digest_mismatches_count"]; n != "0" { // one that copied under load may count some
			t.Logf("%s: %s digest mismatches; what counts is whether digests are equal since", host, n)
		}
		digests[host] = digestsOf(t, z)
	}
	common := 0
	for zxid, want := range digests[members[0]] {
		everywhere := true
		for _, host := range members[1:] {
			got, ok := digests[host][zxid]
			if ok && got != want {
				t.Errorf("at zxid 0x%x the digest of %s is %x, of %s %x", zxid, members[0], want, host, got)
			}
			everywhere = everywhere && ok
		}
		if everywhere {
			common++
		}
	}
	if common == 0 {
		t.Errorf("there is no zxid for which all members have a digest: %v", digests)
	}
}

// growAndShrink: a lone member gets two, then four companions, and loses two of them, the
// leader among them, while a client writes.
func (c *club) growAndShrink(t *testing.T) {
	c.become(t, "zk1")
	c.writing(t, "/grown", []string{"zk1", "zk2", "zk3", "zk4", "zk5"}, func() {
		c.become(t, "zk1", "zk2", "zk3")
		c.become(t, "zk1", "zk2", "zk3", "zk4", "zk5")
	})
	leader := c.leader(t)
	rest := slices.DeleteFunc(c.hosts(), func(h string) bool { return h == leader })[:3]
	c.writing(t, "/shrunk", rest, func() { c.become(t, rest...) })
	gone := slices.DeleteFunc(c.hosts(), func(h string) bool { return slices.Contains(rest, h) })
	for _, host := range gone {
		if got := c.sh(t, host, "systemctl list-unit-files --no-legend 'zookeeper-*' || true; ls /etc/zookeeper 2>/dev/null || true"); got != "" {
			t.Errorf("%s has left and still has %s", host, got)
		}
		if got := c.sh(t, host, "ls /var/lib/zookeeper/bad/version-2 | wc -l"); got == "0" {
			t.Errorf("%s has left and its data is gone: nobody asked for that", host)
		}
	}
}

// killedJoining: zkboot dies at each of its site steps while two hosts join; every run goes on
// from what the live configuration says, and the writer notices nothing.
func (c *club) killedJoining(t *testing.T) {
	members := c.live(t)
	_, file := c.spec(t, c.hosts()...)
	c.writing(t, "/killed", c.hosts(), func() {
		for kill, over := 1, false; !over; kill++ {
			if kill > 40 {
				t.Fatal("it does not come to an end")
			}
			over = c.killAt(t, file, kill)
			c.free(t)
			now := c.live(t)
			if len(now) < len(members) {
				t.Fatalf("after a run that was killed at its site step %d: %v, before %v", kill, now, members)
			}
			members = now
		}
	})
	if !slices.Equal(members, c.hosts()) {
		t.Errorf("the members are %v, want all", members)
	}
}

// killAt applies and kills zkboot when its nth site step has begun. True: it ended before.
func (c *club) killAt(t *testing.T, file string, nth int) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, "apply", "--auto-approve", "--output", "json", "-f", file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	began := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var ev struct{ Kind, Host, Step string }
		if json.Unmarshal(lines.Bytes(), &ev) != nil || ev.Kind != "started" || ev.Host != "" {
			continue
		}
		if began++; began == nth {
			t.Logf("killed at %q", ev.Step)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	if began < nth && err != nil {
		t.Fatalf("apply: %v", err)
	}
	return began < nth
}

// staleJoiners: a host that is cut off as soon as it is invited is not taken in before it is
// back and in sync, while another joiner of an earlier run still follows as a guest.
func (c *club) staleJoiners(t *testing.T) {
	c.become(t, "zk1", "zk2", "zk3")
	s, _ := c.spec(t, c.hosts()...)
	leaveGuest := func(host, words string) { // a run that dies when the host follows
		r := c.begin(t, s)
		r.await(t, words)
		c.lines[c.leader(t)].cut()
		<-r.ended
		t.Logf("%s: %v", host, r.report.Err())
	}
	leaveGuest("zk4", "zk4: done: zk4 joins the ensemble as server 4")
	cut := c.host(t, "zk4")
	others := []netip.Addr{c.host(t, "zk1").Address, c.host(t, "zk2").Address, c.host(t, "zk3").Address}
	c.free(t)
	if err := cut.Isolate(t.Context(), others...); err != nil {
		t.Fatal(err)
	}
	r := c.begin(t, s)
	r.await(t, ": started: once zk4 is in sync")
	if now := c.live(t); !slices.Equal(now, []string{"zk1", "zk2", "zk3"}) {
		t.Errorf("zk4 cannot be reached by the others, and the members are %v", now)
	}
	if err := cut.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	if err := r.report.Err(); err != nil {
		t.Errorf("the run: %v", err)
	}
	c.become(t, c.hosts()...)
}

// lostHost: a member's machine is gone for good, and another one takes its place in one step.
func (c *club) lostHost(t *testing.T) {
	c.become(t, "zk1", "zk2", "zk3")
	gone := c.leader(t)
	rest := slices.DeleteFunc([]string{"zk1", "zk2", "zk3"}, func(h string) bool { return h == gone })
	now := append(slices.Clone(rest), "zk4")
	c.writing(t, "/lost", now, func() {
		if err := c.host(t, gone).PowerCut(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, _ := c.spec(t, now...)
		if _, report := c.plan(t, s); !errors.Is(report.Err(), bootstrap.ErrUnreachable) {
			t.Errorf("the dead host is not named: %v", report.Err())
		}
		c.become(t, append(now, gone+" lost")...)
	})
	if err := c.host(t, gone).Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What runs there is no member any more, and goes as soon as the host counts again.
	c.become(t, now...)
	if got := c.sh(t, gone, "systemctl list-unit-files --no-legend 'zookeeper-*' || true"); got != "" {
		t.Errorf("%s still has %s", gone, got)
	}
}

// roles: an observer joins, gets a vote in the place of a voter, which observes, and gives it
// back.
func (c *club) roles(t *testing.T) {
	members := c.live(t)
	out := members[0]
	free := slices.DeleteFunc(c.hosts(), func(h string) bool { return slices.Contains(members, h) })[0]
	in := func(voter, observer string) []string {
		list := slices.DeleteFunc(slices.Clone(members), func(h string) bool { return h == voter || h == observer })
		list = append(list, voter, observer+" observer")
		slices.Sort(list)
		return list
	}
	c.become(t, in(out, free)...)
	c.become(t, in(free, out)...)
	c.become(t, in(out, free)...)
	c.become(t, members...)
}

// replace: the member that leads begins anew under a writer; one that another member cannot
// be missed for is refused.
func (c *club) replace(t *testing.T) {
	members := c.live(t)
	s, file := c.spec(t, members...)
	target := c.leader(t)
	before := c.sh(t, target, "stat -c %i /var/lib/zookeeper/bad/version-2")
	c.writing(t, "/replaced", members, func() {
		out, err := exec.CommandContext(t.Context(), c.program, "replace", target, "--auto-approve", "-f", file).CombinedOutput()
		if err != nil {
			t.Fatalf("replace: %v\n%s", err, out)
		}
	})
	if now := c.sh(t, target, "stat -c %i /var/lib/zookeeper/bad/version-2"); now == before {
		t.Error("the directory of its data is the one that it had")
	}
	down := slices.DeleteFunc(slices.Clone(members), func(h string) bool { return h == target })[0]
	c.sh(t, down, "systemctl stop zookeeper-bad")
	report := c.run(t, s, bootstrap.Intent{Verb: bootstrap.VerbReplace, Hosts: []string{target}}, nil)
	wants(t, report, bootstrap.ErrRefused, down, "voters of 3 besides "+target)
	c.become(t, members...)
}

// emptyDisk: a member whose data and configuration are gone comes back by an apply; with a
// second one stopped the apply brings that one up first, and the empty one never votes before
// it has copied what the others hold.
func (c *club) emptyDisk(t *testing.T) {
	members := c.live(t)
	wipe := func(host string) {
		c.sh(t, host, "systemctl stop zookeeper-bad; rm -rf /var/lib/zookeeper/bad/* /var/lib/zookeeper-log/bad/* /etc/zookeeper/bad")
	}
	c.writing(t, "/emptied", members, func() {
		wipe(members[0])
		c.become(t, members...)
	})
	c.sh(t, members[1], "systemctl stop zookeeper-bad")
	last := "/written-with-one-stopped"
	if _, err := c.client(t, members[0], members[2]).Create(last, []byte(last), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	wipe(members[0])
	s, _ := c.spec(t, members...)
	report := c.run(t, s, bootstrap.Intent{Verb: bootstrap.VerbReplace, Hosts: []string{members[0]}}, nil)
	wants(t, report, bootstrap.ErrRefused, "besides "+members[0])
	c.become(t, members...)
	for _, host := range members {
		conn := c.client(t, host)
		if _, err := conn.Sync(last); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if data, _, err := conn.Get(last); err != nil || string(data) != last {
			t.Errorf("%s read through %s: %q, %v", last, host, data, err)
		}
	}
	// Two of three empty: nobody can tell what was agreed on.
	wipe(members[0])
	wipe(members[1])
	report = c.apply(t, s, nil)
	wants(t, report, bootstrap.ErrRefused, "1 of 3 voters hold data ("+members[2]+")")
}
