package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
)

// call is one program that a test expects, and what it answers.
type call struct {
	argv string // joined by blanks
	out  string
	err  error
	then func() // what the program does to the machine
}

// failed is a program that ended with a status.
func failed(status int, stderr string) error {
	return &programError{Argv: []string{"program"}, Status: status, Stderr: stderr}
}

// programs answers the expected calls in order and rejects everything else.
type programs struct {
	t     *testing.T
	mu    sync.Mutex
	calls []call
}

func (p *programs) run(_ context.Context, argv ...string) (string, error) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	line := strings.Join(argv, " ")
	if len(p.calls) == 0 {
		p.t.Errorf("ran %q, want no program any more", line)
		return "", errors.New("unexpected program")
	}
	next := p.calls[0]
	if next.argv != line {
		p.t.Errorf("ran\n  %s, want\n  %s", line, next.argv)
		return "", errors.New("unexpected program")
	}
	p.calls = p.calls[1:]
	if next.then != nil {
		next.then()
	}
	var pe *programError
	if errors.As(next.err, &pe) {
		pe.Argv, pe.Stdout = argv, next.out
	}
	return next.out, next.err
}

// sandbox is a machine in a temporary directory on which the test's own user is "me", of the
// group "us".
type sandbox struct {
	*machine
	t     *testing.T
	notes []string
}

func newSandbox(t *testing.T, calls ...call) *sandbox {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	p := &programs{t: t, calls: calls}
	t.Cleanup(func() {
		for _, c := range p.calls {
			t.Errorf("never ran %q", c.argv)
		}
	})
	s := &sandbox{machine: newThings(thingsOptions{Root: t.TempDir(), Run: p.run}), t: t}
	s.put("/etc/passwd", "me:x:"+me.Uid+":"+me.Gid+":Me:/home/me:/bin/sh\n")
	s.put("/etc/group", "us:x:"+me.Gid+":\n")
	return s
}

func (s *sandbox) put(p, content string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.under(p)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.under(p), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sandbox) get(p string) string {
	s.t.Helper()
	b, err := os.ReadFile(s.under(p))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func (s *sandbox) absent(paths ...string) {
	s.t.Helper()
	for _, p := range paths {
		if _, err := os.Lstat(s.under(p)); !errors.Is(err, fs.ErrNotExist) {
			s.t.Errorf("%s: %v, want it absent", p, err)
		}
	}
}

// files lists the names in a directory.
func (s *sandbox) files(dir string) []string {
	s.t.Helper()
	entries, err := os.ReadDir(s.under(dir))
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// see looks at one thing; the test fails when it cannot be read.
func (s *sandbox) see(id bootstrap.ID, owned ...bootstrap.Entry) bootstrap.Resource {
	s.t.Helper()
	entries := map[bootstrap.ID]bootstrap.Entry{}
	for _, e := range owned {
		entries[e.ID] = e
	}
	state, err := s.look(s.t.Context(), []bootstrap.ID{id}, entries)
	if err != nil {
		s.t.Fatal(err)
	}
	if why, bad := state.Unread[id]; bad {
		s.t.Fatalf("%s: %s", id, why)
	}
	return state.Find(id)
}

// unread looks at one thing that cannot be read, and returns why.
func (s *sandbox) unread(id bootstrap.ID) string {
	s.t.Helper()
	state, err := s.look(s.t.Context(), []bootstrap.ID{id}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := state.Find(id); got != nil {
		s.t.Errorf("saw %+v, want it unread", got)
	}
	return state.Unread[id]
}

// do applies steps and returns the error.
func (s *sandbox) do(steps ...bootstrap.Step) error {
	s.t.Helper()
	return s.apply(s.t.Context(), steps, func(n string) { s.notes = append(s.notes, n) })
}

// must applies steps that have to succeed.
func (s *sandbox) must(steps ...bootstrap.Step) {
	s.t.Helper()
	if err := s.do(steps...); err != nil {
		s.t.Fatal(err)
	}
}

// settle applies r twice: what is done stays done.
func (s *sandbox) settle(r bootstrap.Resource) {
	s.t.Helper()
	s.must(creates(r))
	s.must(creates(r))
	if d := r.Drift(s.see(r.ID())); len(d) > 0 {
		s.t.Errorf("after apply %s still differs: %+v", r.ID(), d)
	}
}

func creates(r bootstrap.Resource) bootstrap.Step {
	return bootstrap.Step{Action: bootstrap.ActionCreate, Target: r.ID(), Want: bootstrap.Thing{Resource: r}}
}

func removes(was bootstrap.Resource) bootstrap.Step {
	return bootstrap.Step{Action: bootstrap.ActionDelete, Target: was.ID(), Was: bootstrap.Thing{Resource: was}}
}

// wantError checks that err contains every text and nothing of without.
func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q, want it to say %q", err, text)
		}
	}
}

func wantEqual[T any](t *testing.T, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestLookRefusesNamesThatAreSomethingElse(t *testing.T) {
	tests := map[bootstrap.ID]string{
		"package:-o":               `"-o" is not the name of a Debian package`,
		"package:a b":              `"a b" is not the name of a Debian package`,
		"candidate:../x":           `"../x" is not the name of a Debian package`,
		"unit:zookeeper":           `"zookeeper" is not the name of a systemd unit with its type`,
		"unit:--now.service":       `"--now.service" is not the name of a systemd unit with its type`,
		"file:etc/x":               `"etc/x" is not a clean absolute path below /`,
		"file:/etc/../etc/x":       `"/etc/../etc/x" is not a clean absolute path below /`,
		"dir:/":                    `"/" is not a clean absolute path below /`,
		"sysctl:net/../../etc":     `"net/../../etc" is not a plain name`,
		"user:a:b":                 `"a:b" is not a plain name`,
		"apt-source:../../etc/foo": `"../../etc/foo" is not a plain name`,
		"drone:x":                  `unknown kind "drone"; the agent may be older than its operator`,
	}
	s := newSandbox(t)
	for id, want := range tests {
		t.Run(string(id), func(t *testing.T) { wantEqual(t, s.unread(id), want) })
	}
}

func TestLookAsksEachProgramOnceForAllNames(t *testing.T) {
	s := newSandbox(t, call{
		argv: "dpkg-query -W " + dpkgFormat + " -- curl nano zookeeper",
		out:  "curl\tamd64\tinstall\tinstalled\t7.88.1\nzookeeper\tall\thold\tinstalled\t3.8.0-11\n",
		err:  failed(1, "dpkg-query: no packages found matching nano"),
	})
	state, err := s.look(t.Context(), []bootstrap.ID{"package:zookeeper", "package:nano", "package:curl", "package:curl"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, state, bootstrap.NewState(
		bootstrap.Package{Name: "zookeeper", Version: "3.8.0-11", Hold: true},
		bootstrap.Package{Name: "curl", Version: "7.88.1"},
	))
}

func TestLookKeepsGoingWhenOneKindCannotBeRead(t *testing.T) {
	s := newSandbox(t, call{argv: "systemctl show --no-pager " + unitProperties + " -- a.service b.service",
		err: failed(1, "System has not been booted with systemd as init system")})
	s.put("/etc/motd", "hello\n")
	state, err := s.look(t.Context(), []bootstrap.ID{"unit:b.service", "unit:a.service", "file:/etc/motd"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if state.Find("file:/etc/motd") == nil {
		t.Error("the file was not seen")
	}
	for _, id := range []bootstrap.ID{"unit:a.service", "unit:b.service"} {
		if !strings.Contains(state.Unread[id], "not been booted with systemd") {
			t.Errorf("%s: unread for %q", id, state.Unread[id])
		}
	}
}

func TestLookEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newSandbox(t).look(ctx, []bootstrap.ID{"file:/etc/passwd"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestApplyRefusesStepsThatDoNotBelongTogether(t *testing.T) {
	file := bootstrap.File{Path: "/etc/x", Mode: 0o644, Owner: "me", Group: "us"}
	dir := bootstrap.Dir{Path: "/etc/d", Mode: 0o755, Owner: "me", Group: "us"}
	adopt := creates(file)
	adopt.Action = bootstrap.ActionAdopt
	other := creates(file)
	other.Target = "file:/etc/y"
	tests := map[string]struct {
		steps []bootstrap.Step
		index int
		want  string
	}{
		"two kinds":       {[]bootstrap.Step{creates(file), creates(dir)}, 1, "steps of several kinds or directions in one run"},
		"two directions":  {[]bootstrap.Step{creates(file), removes(file)}, 1, "steps of several kinds or directions in one run"},
		"manifest action": {[]bootstrap.Step{adopt}, 0, `action "adopt" changes nothing on the machine`},
		"other target":    {[]bootstrap.Step{other}, 0, "the step wants another thing than its target"},
		"observed kind":   {[]bootstrap.Step{creates(bootstrap.Candidate{Name: "curl"})}, 0, "candidate things are observed, not made"},
		"kernel deleted":  {[]bootstrap.Step{removes(bootstrap.Kernel{Name: "thp"})}, 0, "kernel things cannot be deleted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			err := s.do(tt.steps...)
			var step *bootstrap.StepError
			if !errors.As(err, &step) || step.Index != tt.index {
				t.Errorf("error %v, want a StepError of step %d", err, tt.index)
			}
			wantError(t, err, tt.want)
			s.absent("/etc/x", "/etc/d")
		})
	}
}

func TestApplyStopsAtTheStepThatBreaks(t *testing.T) {
	s := newSandbox(t)
	one := bootstrap.File{Path: "/etc/1", Mode: 0o644, Owner: "me", Group: "us"}
	two := bootstrap.File{Path: "/etc/2", Mode: 0o644, Owner: "nobody-here", Group: "nor-here"}
	three := bootstrap.File{Path: "/etc/3", Mode: 0o644, Owner: "me", Group: "us"}
	err := s.do(creates(one), creates(two), creates(three))
	var step *bootstrap.StepError
	if !errors.As(err, &step) || step.Index != 1 || step.Step.Target != two.ID() {
		t.Fatalf("error %v, want a StepError of step 1", err)
	}
	wantError(t, err, `user "nobody-here" is not in /etc/passwd`, `group "nor-here" is not in /etc/group`)
	if names := s.files("/etc"); !slices.Contains(names, "1") || slices.Contains(names, "2") || slices.Contains(names, "3") {
		t.Errorf("/etc has %v, want 1 and neither 2 nor 3", names)
	}
}
