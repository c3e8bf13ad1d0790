package provider

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

func TestAttributeOfAPlaceInTheSpec(t *testing.T) {
	hosts, root := path.Root("hosts"), bootstrap.Path("")
	for _, c := range []struct {
		at   bootstrap.Path
		want path.Path
	}{
		{"name", path.Root("name")},
		{"hosts", hosts},
		{root.Field("hosts").Key("zk2").Field("host_key"), hosts.AtMapKey("zk2").AtName("host_key")},
		{root.Field("hosts").Key("zk2").Field("ssh").Field("jump").Field("address"), hosts.AtMapKey("zk2").AtName("ssh").AtName("jump").AtName("address")},
		{root.Field("hosts").Key("zk2").Field("mounts").Key("/var/lib/x.y").Field("device"), hosts.AtMapKey("zk2").AtName("mounts").AtMapKey("/var/lib/x.y").AtName("device")},
		{root.Field("hosts").Key(`a"].b[0`).Field("address"), hosts.AtMapKey(`a"].b[0`).AtName("address")},
		{root.Field("hosts").Key(""), hosts.AtMapKey("")},
		{"hardware.fsync.p99.warn", path.Root("hardware").AtName("fsync").AtName("p99").AtName("warn")},
		{bootstrap.Path("placement.countries").Index(1), path.Root("placement").AtName("countries").AtListIndex(1)},
		{bootstrap.Path("tuning.sysctl").Key("vm.swappiness"), path.Root("tuning").AtName("sysctl").AtMapKey("vm.swappiness")},
		{bootstrap.Path("ensemble.members").Key("zk1").Field("id"), path.Root("members").AtMapKey("zk1").AtName("id")},
		{bootstrap.Path("ensemble.config").Key("tickTme"), path.Root("config").AtMapKey("tickTme")},
		{bootstrap.Path("ensemble.jvm_flags").Index(10), path.Root("jvm_flags").AtListIndex(10)},
		{"ensemble.source.tarball.sha512", path.Root("source").AtName("tarball").AtName("sha512")},
	} {
		got, ok := ensemble().attribute(c.at)
		if !ok || !got.Equal(c.want) {
			t.Errorf("%s: got %s (%v), want %s", c.at, got, ok, c.want)
		}
	}
}

func TestWhatWasNotWrittenInTheResourceHasNoAttribute(t *testing.T) {
	for _, at := range []bootstrap.Path{
		"", "ensemble", "ssh.user", "sidecars", `registries["main"]`, "id", "hosts[", "hosts[x]", `hosts["zk1"`, "hosts[-1]", ".hosts", "hosts..a", `["zk1"]`, "hosts.",
	} {
		if got, ok := ensemble().attribute(at); ok {
			t.Errorf("%q became %s", at, got)
		}
	}
}

func TestSSHAttribute(t *testing.T) {
	got, ok := sshAttribute("ssh.jump.host_key")
	if want := path.Root("ssh").AtName("jump").AtName("host_key"); !ok || !got.Equal(want) {
		t.Errorf("got %s (%v), want %s", got, ok, want)
	}
	if got, ok := sshAttribute(`hosts["zk1"].ssh.port`); ok {
		t.Errorf("an attribute of a host became %s of the provider block", got)
	}
}

// Whatever a path is made of, it comes apart into the same steps.
func TestSplitUndoesWhatBuildsAPath(t *testing.T) { rapid.Check(t, splitUndoes) }

func FuzzSplit(f *testing.F) { f.Fuzz(rapid.MakeFuzz(splitUndoes)) }

func splitUndoes(t *rapid.T) {
	at, want := bootstrap.Path("hosts"), path.Root("hosts")
	for range rapid.IntRange(0, 6).Draw(t, "steps") {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			f := rapid.StringMatching(`[a-z_][a-z0-9_]{0,8}`).Draw(t, "field")
			at, want = at.Field(f), want.AtName(f)
		case 1:
			k := rapid.String().Draw(t, "key")
			at, want = at.Key(k), want.AtMapKey(k)
		default:
			i := rapid.IntRange(0, 1000).Draw(t, "index")
			at, want = at.Index(i), want.AtListIndex(i)
		}
	}
	if got, ok := ensemble().attribute(at); !ok || !got.Equal(want) {
		t.Fatalf("%s: got %s (%v), want %s", at, got, ok, want)
	}
}

// A specification with one fault of each kind: every finding must point at an attribute
// that the schema has.
func TestEveryFindingOfValidationPointsAtAnAttribute(t *testing.T) {
	spec := &bootstrap.Spec{
		Name:      "Main",
		Placement: bootstrap.Placement{Countries: []string{"Norway", "NO"}},
		Hosts: map[string]bootstrap.HostSpec{
			"zk1": {Address: "here", HostKey: "x", Country: "SE", SSH: bootstrap.SSH{Port: 70000, Address: "?", Jump: &bootstrap.Jump{Address: "?", Port: -1, HostKey: "x"}},
				Mounts: map[string]bootstrap.MountSpec{"/": {Device: "vdb", FSType: "fat"}}},
			"zk2": {Address: "10.0.0.1"}, "ZK3": {Address: "10.0.0.1"},
		},
		Tuning: bootstrap.Tuning{Sysctl: map[string]string{"swappiness": ""}, THP: "on", Swap: "on"},
		Ensemble: &bootstrap.Ensemble{
			Members: map[string]bootstrap.Member{"zk1": {ID: 255}, "zk2": {ID: 7, Role: "boss"}, "zk9": {ID: 7}, "ZK3": {ID: 9}},
			Source:  bootstrap.Source{Tarball: &bootstrap.Tarball{URL: "ftp://x", SHA512: "x"}},
			Heap:    1, JVMFlags: []string{"x y"}, DataDir: "/x", DataLogDir: "x", Ports: bootstrap.Ports{Client: 2888, Admin: -1},
			Config: map[string]string{"tickTme": "2000"}, AcceptKnownIssues: []string{"ZOOKEEPER-0"},
		},
	}
	spec.Hardware.Profile = "none"
	spec.Hardware.Fsync.P99.Warn = "soon"
	engine := &bootstrap.Engine{Roles: []bootstrap.Role{zookeeper.New()}}
	schema := ensembleSchema(t.Context())
	seen := map[string]bool{}
	for _, d := range ensemble().diagnostics(engine.Validate(spec)) {
		at, ok := d.(diag.DiagnosticWithPath)
		if !ok {
			t.Errorf("%s: %s: points nowhere", d.Summary(), d.Detail())
			continue
		}
		seen[at.Path().String()] = true
		if _, diags := schema.TypeAtPath(t.Context(), at.Path()); diags.HasError() {
			t.Errorf("%s: the schema has no %s", d.Summary(), at.Path())
		}
	}
	for _, want := range []string{`config["tickTme"]`, `accept_known_issues[0]`, `hosts["zk1"].mounts["/"].device`, `members["zk1"].id`,
		"hardware.fsync.p99.warn", "placement.countries[0]", `tuning.sysctl["swappiness"]`, "source.tarball.sha512", "jvm_flags[0]", "members"} {
		if !seen[want] {
			t.Errorf("no diagnostic points at %s", want)
		}
	}
}

func TestDiagnosticSaysWhereWhatAndWhatNext(t *testing.T) {
	full := bootstrap.Finding{Severity: bootstrap.SeverityError, Host: "zk2", Step: "update file /etc/x", Text: "want 1, found 2", Hint: "look at it"}
	for name, c := range map[string]struct {
		finding bootstrap.Finding
		want    diag.Diagnostic
	}{
		"of a host": {full,
			diag.NewAttributeErrorDiagnostic(path.Root("hosts").AtMapKey("zk2"), "zk2: update file /etc/x", "want 1, found 2\n\nNext: look at it")},
		"of a place": {bootstrap.Finding{Severity: bootstrap.SeverityError, Path: "ensemble.heap", Text: "too small"},
			diag.NewAttributeErrorDiagnostic(path.Root("heap"), "heap", "too small")},
		"a warning": {bootstrap.Finding{Severity: bootstrap.SeverityWarning, Path: "name", Text: "short"},
			diag.NewAttributeWarningDiagnostic(path.Root("name"), "name", "short")},
		"of the site": {bootstrap.Finding{Severity: bootstrap.SeverityError, Step: "canary", Text: "no quorum"},
			diag.NewErrorDiagnostic("canary", "no quorum")},
		"of the provider block": {bootstrap.Finding{Severity: bootstrap.SeverityError, Path: "ssh.port", Text: "want a port"},
			diag.NewErrorDiagnostic("ssh.port", "want a port")},
		"of nothing": {bootstrap.Finding{Severity: bootstrap.SeverityError, Text: "no"}, diag.NewErrorDiagnostic("zkboot", "no")},
	} {
		t.Run(name, func(t *testing.T) {
			got := ensemble().diagnostics(bootstrap.Report{Findings: []bootstrap.Finding{c.finding}})
			if diff := cmp.Diff(diag.Diagnostics{c.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyUnreachableHostsBecomeWarnings(t *testing.T) {
	var r bootstrap.Report
	r.HostError("zk1", "look", bootstrap.ErrUnreachable)
	r.HostError("zk2", "look", errors.New("disk full"))
	got := unreachableWarns(r)
	if got.Findings[0].Severity != bootstrap.SeverityWarning || got.Findings[1].Severity != bootstrap.SeverityError {
		t.Errorf("got %v", got.Findings)
	}
	if r.Findings[0].Severity != bootstrap.SeverityError {
		t.Error("the report that was given has changed")
	}
}
