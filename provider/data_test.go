package provider

import (
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/verify"
)

// readData reads a data source with these attributes, and a provider block with a user.
func readData(t *testing.T, p *Provider, of func(*Provider) *dataSource, attributes map[string]any) (tfsdk.State, diag.Diagnostics) {
	t.Helper()
	d := of(p)
	d.ensemble.site = &site{provider: p, known: true, ssh: bootstrap.SSH{User: "debian"}}
	return readWith(t, d, attributes)
}

func readWith(t *testing.T, d *dataSource, attributes map[string]any) (tfsdk.State, diag.Diagnostics) {
	t.Helper()
	var s datasource.SchemaResponse
	d.Schema(t.Context(), datasource.SchemaRequest{}, &s)
	if problems := s.Schema.ValidateImplementation(t.Context()); problems.HasError() {
		t.Fatal(problems)
	}
	raw := value(t, s.Schema.Type().TerraformType(t.Context()), attributes)
	resp := datasource.ReadResponse{State: tfsdk.State{Schema: s.Schema, Raw: tftypes.NewValue(raw.Type(), nil)}}
	d.Read(t.Context(), datasource.ReadRequest{Config: tfsdk.Config{Schema: s.Schema, Raw: raw}}, &resp)
	return resp.State, resp.Diagnostics
}

// get reads a computed attribute.
func get[T any](t *testing.T, from tfsdk.State, at path.Path) T {
	t.Helper()
	var v T
	if d := from.GetAttribute(t.Context(), at, &v); d.HasError() {
		t.Fatal(d)
	}
	return v
}

func said(d diag.Diagnostics) string {
	var b strings.Builder
	for _, one := range d {
		at := ""
		if with, ok := one.(diag.DiagnosticWithPath); ok {
			at = with.Path().String()
		}
		fmt.Fprintf(&b, "%s at %s: %s: %s\n", one.Severity(), at, one.Summary(), one.Detail())
	}
	return b.String()
}

// members3 are hosts and members as zkboot_ensemble has them.
func members3() map[string]any {
	hosts, members := map[string]any{}, map[string]any{}
	for i := range 3 {
		name := fmt.Sprintf("zk%d", i+1)
		hosts[name] = map[string]any{"address": fmt.Sprintf("10.0.0.%d", i+1)}
		members[name] = map[string]any{"id": i + 1}
	}
	return map[string]any{"name": "main", "hosts": hosts, "members": members}
}

func with(m map[string]any, more map[string]any) map[string]any {
	for k, v := range more {
		m[k] = v
	}
	return m
}

// The inputs are the attributes of zkboot_ensemble, of the same types, so that these can be
// handed over.
func TestInputsAreThoseOfTheEnsemble(t *testing.T) {
	want := ensembleSchema(t.Context()).Type().TerraformType(t.Context()).(tftypes.Object).AttributeTypes
	for name, of := range map[string]func(*Provider) *dataSource{"cloudinit": cloudinitData, "status": statusData, "verify": verifyData} {
		t.Run(name, func(t *testing.T) {
			var s datasource.SchemaResponse
			d := of(newFleet().provider())
			d.Schema(t.Context(), datasource.SchemaRequest{}, &s)
			have := s.Schema.Type().TerraformType(t.Context()).(tftypes.Object).AttributeTypes
			for input, typ := range want {
				if _, ok := d.ensemble.place(input); !ok || d.inputs != nil && have[input] == nil {
					continue
				}
				if _, ok := d.own[input]; ok {
					t.Errorf("%s: is an input and of its own", input)
				}
				if have[input] == nil || !have[input].Equal(typ) {
					t.Errorf("%s: %v, want %v", input, have[input], typ)
				}
			}
			for own := range d.own {
				if _, ok := d.ensemble.place(own); ok {
					t.Errorf("%s hides an attribute of the ensemble", own)
				}
			}
		})
	}
}

func TestStatusOfHostsThatAreAway(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	for name, c := range map[string]struct {
		down            []string
		quorum, healthy bool
		leader          string
	}{
		"all there": {nil, true, true, "zk1"},
		"one away":  {[]string{"zk1"}, true, false, "zk2"},
		"all away":  {[]string{"zk1", "zk2", "zk3"}, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f.setDown(c.down...)
			state, diags := readData(t, f.provider(), statusData, members3())
			if diags.HasError() {
				t.Fatal(said(diags))
			}
			if got := get[bool](t, state, path.Root("quorum")); got != c.quorum {
				t.Errorf("quorum %v", got)
			}
			if got := get[bool](t, state, path.Root("healthy")); got != c.healthy {
				t.Errorf("healthy %v", got)
			}
			if got := get[string](t, state, path.Root("leader")); got != c.leader {
				t.Errorf("leader %q", got)
			}
			servers := get[map[string]ServerStatus](t, state, path.Root("servers"))
			for _, host := range c.down {
				if is := servers[host]; is.Mode != "down" || !strings.Contains(is.Error, "no route to "+host) {
					t.Errorf("%s: %+v", host, is)
				}
			}
			if servers["zk3"].ID != 3 {
				t.Errorf("servers: %+v", servers)
			}
		})
	}
}

func TestStatusIsAskedOfAnEnsembleThatCanBe(t *testing.T) {
	f := newFleet("zk1")
	bad := members3()
	bad["hosts"].(map[string]any)["zk2"].(map[string]any)["address"] = "ten"
	_, diags := readData(t, f.provider(), statusData, bad)
	if got := said(diags); !strings.Contains(got, `at hosts["zk2"].address`) || !strings.Contains(got, `found "ten"`) {
		t.Errorf("got %s", got)
	}
	_, diags = readData(t, f.provider(), statusData, with(members3(), map[string]any{"timeouts": map[string]any{"read": "1ns"}}))
	if got := said(diags); !strings.Contains(got, "the read took longer than 1ns") {
		t.Errorf("got %s", got)
	}
}

// verified reads zkboot_verify of a fleet that stands.
type verified struct {
	*fleet
	slow  map[string]float64 // ms, by host
	asked []verify.Query     // of zk2
}

func newVerified(t *testing.T) *verified {
	t.Helper()
	v := &verified{fleet: newFleet("zk1", "zk2", "zk3"), slow: map[string]float64{}}
	v.role.needs.Dirs = []verify.DirNeed{{Use: verify.UseLog, Path: toyData.Name()}}
	if err := v.stand(t).Close(); err != nil {
		t.Fatal(err)
	}
	for name, m := range v.machines {
		m.Probes = func(q verify.Query) (verify.Result, error) {
			if name == "zk2" {
				v.asked = append(v.asked, q)
			}
			return disk(max(v.slow[name], 0.2)), nil
		}
	}
	return v
}

func (v *verified) read(t *testing.T, more map[string]any) (tfsdk.State, diag.Diagnostics) {
	t.Helper()
	v.asked = nil
	return readData(t, v.provider(), verifyData, with(with(members3(), map[string]any{"source": map[string]any{"apt": map[string]any{}},
		"hardware": map[string]any{"profile": "lab"}, "disk_only": true}), more))
}

// A plan waits for the probes, and running members suffer from them.
func TestVerifyProbesAreShort(t *testing.T) {
	v := newVerified(t)
	for name, c := range map[string]struct {
		more map[string]any
		want time.Duration // of the disk probe; 0: none
	}{
		"a running member":      {nil, 0},
		"with on_live_members":  {map[string]any{"on_live_members": true}, shortProbe},
		"with another duration": {map[string]any{"on_live_members": true, "duration": "5s"}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if _, diags := v.read(t, c.more); diags.HasError() {
				t.Fatal(said(diags))
			}
			if q := v.asked[0].Fsync; (q != nil) != (c.want > 0) || q != nil && q.Duration != c.want {
				t.Errorf("the probe is %+v, want one of %s", q, c.want)
			}
		})
	}
	_, diags := v.read(t, map[string]any{"duration": "0s"})
	if got := said(diags); !strings.Contains(got, `at duration: duration: want a time above 0`) {
		t.Errorf("got %s", got)
	}
}

func TestVerifyFindings(t *testing.T) {
	// Machines in memory have no disk, of which one would know the cache.
	usual := []string{"warn host zk1 disk.durability", "warn host zk2 disk.durability", "warn host zk3 disk.durability"}
	for name, c := range map[string]struct {
		change  func(*verified)
		more    map[string]any
		verdict string
		exactly []string // that warn or fail; nil: only what follows counts
		one     string
		why     string
	}{
		"a sound site": {func(*verified) {}, nil, "warn", usual, usual[1], "the disk below is not known"},
		"a slow disk":  {func(v *verified) { v.slow["zk2"] = 5000 }, nil, "fail", nil, "fail host zk2 disk.fsync.p99", "above the limit"},
		"a host is away": {func(v *verified) { v.setDown("zk3") }, map[string]any{"disk_only": false}, "fail", nil,
			"fail host zk3 host.reachable", "no route to zk3"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerified(t)
			c.change(v)
			state, diags := v.read(t, c.more)
			if diags.HasError() {
				t.Fatal(said(diags))
			}
			verdict, ok := get[string](t, state, path.Root("verdict")), get[bool](t, state, path.Root("ok"))
			if verdict != c.verdict || ok != (c.verdict != "fail") {
				t.Errorf("verdict %s, ok %v", verdict, ok)
			}
			var found []string
			for _, is := range get[[]verdictFinding](t, state, path.Root("findings")) {
				what := is.Verdict + " " + is.At + " " + is.Check
				if is.Verdict != "unknown" {
					found = append(found, what)
				}
				if what == c.one && !strings.Contains(is.Why, c.why) {
					t.Errorf("%s: because %s, want %s", what, is.Why, c.why)
				}
			}
			if c.exactly != nil && !slices.Equal(found, c.exactly) || !slices.Contains(found, c.one) {
				t.Errorf("found %v, want %s", found, c.one)
			}
		})
	}
}

// privateKey is a host key that is the same every time.
func privateKey(t *testing.T) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed([]byte("an SSH host key for a test, 32 b")), "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

func TestCloudinit(t *testing.T) {
	p := newFleet().provider()
	p.Ensemble = zookeeper.New()
	inputs := func(more map[string]any) map[string]any {
		return with(with(members3(), map[string]any{"source": map[string]any{"apt": map[string]any{}}, "accept_known_issues": []any{"ZOOKEEPER-4785"},
			"host": "zk2", "login": map[string]any{"authorized_keys": []any{"ssh-ed25519 AAAA me"}}}), more)
	}
	state, diags := readData(t, p, cloudinitData, inputs(nil))
	if diags.HasError() {
		t.Fatal(said(diags))
	}
	userData := get[string](t, state, path.Root("user_data"))
	for _, want := range []string{"#cloud-config\n", "libzookeeper-java", `name: "debian"`, "ssh-ed25519 AAAA me", "zk2"} {
		if !strings.Contains(userData, want) {
			t.Errorf("user_data has no %q:\n%s", want, userData)
		}
	}
	if again := get[string](t, state, path.Root("sensitive_user_data")); again != userData {
		t.Error("the two documents differ")
	}
	sum := 0
	for _, p := range get[[]part](t, state, path.Root("parts")) {
		sum += p.Bytes
	}
	if n := get[int](t, state, path.Root("bytes")); n != len(userData) || n != sum {
		t.Errorf("%d bytes, its parts %d, want %d", n, sum, len(userData))
	}
	unit := leftOver{}
	for _, l := range get[[]leftOver](t, state, path.Root("left")) {
		if l.ID == "unit:zookeeper-main.service" {
			unit = l
		}
	}
	if unit.Why == "" {
		t.Error("nothing says that the server itself is left to apply")
	}
	if got := get[string](t, state, path.Root("meta_data")); !strings.Contains(got, "main-zk2") {
		t.Errorf("meta_data %q", got)
	}
}

// Where a private key lies in it, the document is to be had only as a sensitive value.
func TestCloudinitWithAPrivateKey(t *testing.T) {
	p := newFleet().provider()
	p.Ensemble = zookeeper.New()
	key := privateKey(t)
	pair, err := hostKeyOf(key)
	if err != nil {
		t.Fatal(err)
	}
	inputs := func(pin, key string) map[string]any {
		m := with(members3(), map[string]any{"source": map[string]any{"apt": map[string]any{}}, "accept_known_issues": []any{"ZOOKEEPER-4785"},
			"host": "zk2", "host_private_keys": []any{key}, "login": map[string]any{"user": "admin", "authorized_keys": []any{"ssh-ed25519 AAAA me"}}})
		m["hosts"].(map[string]any)["zk2"].(map[string]any)["host_key"] = pin
		return m
	}
	state, diags := readData(t, p, cloudinitData, inputs(pair.Public+" zk2", key))
	if diags.HasError() {
		t.Fatal(said(diags))
	}
	if plain := get[*string](t, state, path.Root("user_data")); plain != nil {
		t.Errorf("the document is shown although it holds a private key:\n%s", *plain)
	}
	secret := get[string](t, state, path.Root("sensitive_user_data"))
	if !strings.Contains(secret, strings.Split(key, "\n")[1]) || !strings.Contains(secret, pair.Public) || !strings.Contains(secret, `name: "admin"`) {
		t.Errorf("the document lacks the key pair or the user")
	}
	for name, at := range map[string]string{"host_private_keys": "host_private_keys", "sensitive_user_data": "sensitive_user_data"} {
		if a, d := state.Schema.AttributeAtPath(t.Context(), path.Root(at)); d.HasError() || !a.IsSensitive() {
			t.Errorf("%s is not sensitive", name)
		}
	}
	for name, c := range map[string]struct{ pin, key, want string }{
		"another pin": {"ssh-ed25519 BBBB", key, `at hosts["zk2"].host_key: host_key: want a pin of one of host_private_keys, found ssh-ed25519 BBBB`},
		"no key":      {"", "hello", "at host_private_keys[0]: host_private_keys: want a private key in PEM without a passphrase"},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := readData(t, p, cloudinitData, inputs(c.pin, c.key))
			if got := said(diags); !strings.Contains(got, c.want) || strings.Contains(got, "hello") {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// Machines are made before anybody can log in to them: user-data must not wait for the
// provider block to be known, which may be made of them.
func TestCloudinitWhileTheProviderBlockIsUnknown(t *testing.T) {
	p := newFleet().provider()
	p.Ensemble = zookeeper.New()
	for user, want := range map[string]string{"admin": "", "": "at login: login: The provider block has values that are not known yet"} {
		d := cloudinitData(p)
		d.ensemble.site = &site{provider: p}
		login := map[string]any{"authorized_keys": []any{"ssh-ed25519 AAAA me"}}
		if user != "" {
			login["user"] = user
		}
		_, diags := readWith(t, d, with(members3(), map[string]any{"source": map[string]any{"apt": map[string]any{}}, "accept_known_issues": []any{"ZOOKEEPER-4785"},
			"host": "zk2", "login": login}))
		if got := said(diags); diags.HasError() != (want != "") || !strings.Contains(got, want) {
			t.Errorf("user %q: got %s, want %q", user, got, want)
		}
	}
	d := statusData(p)
	d.ensemble.site = &site{provider: p}
	if _, diags := readWith(t, d, members3()); !strings.Contains(said(diags), "so no host can be reached") {
		t.Errorf("of hosts: got %s", said(diags))
	}
}

func TestCloudinitRefusals(t *testing.T) {
	p := newFleet().provider()
	p.Ensemble = zookeeper.New()
	for name, c := range map[string]struct {
		more map[string]any
		want string
	}{
		"no such host":        {map[string]any{"host": "zk4"}, `at host: host: want one of zk1, zk2, zk3, found "zk4"`},
		"a known issue":       {map[string]any{"accept_known_issues": nil}, "ZOOKEEPER-4785"},
		"larger than allowed": {map[string]any{"limit": 500}, "want at most 500"},
		"a typo":              {map[string]any{"config": map[string]any{"tickTme": "1"}}, `at config["tickTme"]`},
	} {
		t.Run(name, func(t *testing.T) {
			in := with(with(members3(), map[string]any{"source": map[string]any{"apt": map[string]any{}}, "accept_known_issues": []any{"ZOOKEEPER-4785"},
				"host": "zk2", "login": map[string]any{"authorized_keys": []any{"ssh-ed25519 AAAA me"}}}), c.more)
			_, diags := readData(t, p, cloudinitData, in)
			if got := said(diags); !diags.HasError() || !strings.Contains(got, c.want) {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}
