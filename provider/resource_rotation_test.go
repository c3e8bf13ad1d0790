package provider

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/hostkey"
)

// keyed is a fleet whose machines have SSH host keys and let nobody in who has pinned another.
type keyed struct {
	*fleet
	shows map[string]string // by machine: what the server shows when that is not what its file has
}

// The key that lay in user-data, and one of somebody else.
const (
	userDataKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINkYloBJl6rxL/ZQPYSZevmvsOrzsY30oE2uVWjgc8Ln"
	otherKey    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDNpq48EN49CJ1FCjn1In4P4vQfehWmtC+OQxd1DEC9c"
)

func newKeyed() *keyed {
	k := &keyed{fleet: newFleet("zk1"), shows: map[string]string{}}
	k.has(userDataKey)
	return k
}

// has gives zk1 a host key behind zkboot's back.
func (k *keyed) has(public string) {
	k.machines["zk1"].Set(bootstrap.HostKey{Path: hostkey.Key.Name(), Public: public})
}

// key is the host key of zk1.
func (k *keyed) key() bootstrap.HostKey {
	key, _ := k.machines["zk1"].Thing(hostkey.Key).(bootstrap.HostKey)
	return key
}

func (k *keyed) provider() *Provider {
	p := k.fleet.provider()
	p.HostKey = hostkey.Role{}
	p.Reach = func(Contact) func(context.Context, *bootstrap.Spec, string) (bootstrap.Host, error) {
		return func(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error) {
			h, err := k.open(ctx, s, host)
			if err != nil {
				return nil, err
			}
			shown := k.key().Public
			if other, ok := k.shows["zk1"]; ok {
				shown = other
			}
			if pin := s.Hosts[host].HostKey; pin != "" && bootstrap.PublicKey(pin) != shown {
				return nil, errors.Join(h.Close(), &bootstrap.OtherHostKeyError{Shown: shown, Err: errors.New("host key is not the one on record")})
			}
			return h, nil
		}
	}
	return p
}

// trial is one resource in the hands of a test.
type trial struct {
	*rotation
	schema schema.Schema
	state  tfsdk.State
}

func newTrial(t *testing.T, k *keyed) *trial {
	t.Helper()
	p := k.provider()
	r := &rotation{provider: p, site: &site{provider: p, known: true, ssh: bootstrap.SSH{User: "debian"}}}
	var s resource.SchemaResponse
	r.Schema(t.Context(), resource.SchemaRequest{}, &s)
	if problems := s.Schema.ValidateImplementation(t.Context()); problems.HasError() {
		t.Fatal(problems)
	}
	return &trial{rotation: r, schema: s.Schema, state: tfsdk.State{Schema: s.Schema, Raw: tftypes.NewValue(s.Schema.Type().TerraformType(t.Context()), nil)}}
}

// raw is a configuration with further attributes.
func (r *trial) raw(t *testing.T, more map[string]any) tftypes.Value {
	t.Helper()
	return value(t, r.schema.Type().TerraformType(t.Context()), with(map[string]any{"address": "10.0.0.1", "host_key": userDataKey + " root@zk1"}, more))
}

func (r *trial) create(t *testing.T) diag.Diagnostics {
	t.Helper()
	resp := resource.CreateResponse{State: tfsdk.State{Schema: r.schema, Raw: tftypes.NewValue(r.schema.Type().TerraformType(t.Context()), nil)}}
	raw := r.raw(t, map[string]any{"public_key": tftypes.UnknownValue, "fingerprint": tftypes.UnknownValue, "ssh": map[string]any{"port": 2222}})
	r.Create(t.Context(), resource.CreateRequest{Plan: tfsdk.Plan{Schema: r.schema, Raw: raw}}, &resp)
	r.state = resp.State
	return resp.Diagnostics
}

func (r *trial) read(t *testing.T) diag.Diagnostics {
	t.Helper()
	resp := resource.ReadResponse{State: r.state}
	r.Read(t.Context(), resource.ReadRequest{State: r.state}, &resp)
	r.state = resp.State
	return resp.Diagnostics
}

func (r *trial) remove(t *testing.T) diag.Diagnostics {
	t.Helper()
	resp := resource.DeleteResponse{State: r.state}
	r.Delete(t.Context(), resource.DeleteRequest{State: r.state}, &resp)
	return resp.Diagnostics
}

// must expects diagnostics that say every text, and nothing at all when there is none.
func must(t *testing.T, d diag.Diagnostics, texts ...string) {
	t.Helper()
	if len(texts) == 0 && len(d) > 0 {
		t.Errorf("want no diagnostics, got:\n%s", said(d))
	}
	for _, text := range texts {
		if !strings.Contains(said(d), text) {
			t.Errorf("want %q, got:\n%s", text, said(d))
		}
	}
}

func TestRotationReplacesTheKeyOfUserData(t *testing.T) {
	k := newKeyed()
	r := newTrial(t, k)
	must(t, r.create(t))
	public := get[string](t, r.state, path.Root("public_key"))
	if public == userDataKey || public != k.key().Public {
		t.Errorf("public_key is %q, the host has %q, user-data had %q", public, k.key().Public, userDataKey)
	}
	if got := get[string](t, r.state, path.Root("fingerprint")); !strings.HasPrefix(got, "SHA256:") || keyText(public) != "ssh-ed25519 "+got {
		t.Errorf("fingerprint %q of %s", got, keyText(public))
	}
	if got := k.reached("zk1"); got.Port != 2222 {
		t.Errorf("reached by %+v, want port 2222", got)
	}
	must(t, r.read(t))
	must(t, r.remove(t))
	if k.key().Public != public {
		t.Error("the destroy has changed the key")
	}
	if _, state, err := k.machines["zk1"].Open().Look(t.Context()); err != nil || len(state.Manifests) > 0 {
		t.Errorf("after the destroy the host has manifests %v (%v)", state.Manifests, err)
	}
}

// What a create meets that is not a host with the key of user-data.
func TestRotationThatCannotBeMade(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*keyed)
		want []string
	}{
		"another key": {func(k *keyed) { k.has(otherKey) }, []string{
			`Error at host_key: host_key: 10.0.0.1: another host key: want ` + keyText(userDataKey), "found " + keyText(otherKey),
			"cut off right after it had replaced the key", "terraform import ADDRESS_OF_THE_RESOURCE '" + otherKey + "'", "do not go on"}},
		"a host that is away": {func(k *keyed) { k.setDown("zk1") }, []string{"Error at : 10.0.0.1: ", "no route to zk1"}},
		"the server reads another file": {func(k *keyed) { k.shows["zk1"] = userDataKey }, []string{
			"Error at : 10.0.0.1: the new host key is not shown", "found " + keyText(userDataKey), "HostKey in /etc/ssh/sshd_config"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeyed()
				c.set(k)
				r := newTrial(t, k)
				must(t, r.create(t), c.want...)
				if !r.state.Raw.IsNull() {
					t.Errorf("there is a state: %s", r.state.Raw)
				}
			})
		})
	}
}

// A connection that breaks before the change leaves everything to the next create, one that
// breaks behind it is no reason to forget the new key.
func TestRotationThatIsCutOff(t *testing.T) {
	k := newKeyed()
	r := newTrial(t, k)
	k.machines["zk1"].CutAfter(0)
	must(t, r.create(t), "connection cut")
	if !r.state.Raw.IsNull() || k.key().Public != userDataKey {
		t.Errorf("state %s, key %s", r.state.Raw, k.key().Public)
	}
	k.machines["zk1"].CutAfter(-1)
	must(t, r.create(t))
	must(t, r.read(t))
}

// The key was replaced, and the server not told: the next create goes on from there while
// the server shows the old key.
func TestRotationGoesOnWhereTheServerWasNotTold(t *testing.T) {
	k := newKeyed()
	k.machines["zk1"].Set(bootstrap.HostKey{Path: hostkey.Key.Name(), Public: otherKey, Unannounced: true})
	k.shows["zk1"] = userDataKey
	p := k.provider()
	reach := p.Reach
	p.Reach = func(c Contact) func(context.Context, *bootstrap.Spec, string) (bootstrap.Host, error) {
		if len(k.machines["zk1"].Applied()) > 0 {
			delete(k.shows, "zk1")
		}
		return reach(c)
	}
	r := newTrial(t, k)
	r.provider, r.site.provider = p, p
	must(t, r.create(t))
	if got := get[string](t, r.state, path.Root("public_key")); got != otherKey {
		t.Errorf("public_key %s, want the one that was there: %s", got, otherKey)
	}
}

func TestRotationReads(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*keyed)
		want []string
	}{
		"as it was": {func(*keyed) {}, nil},
		"reinstalled": {func(k *keyed) { k.has(userDataKey) }, []string{
			"Warning at : 10.0.0.1: the key from user-data is back", "found " + keyText(userDataKey), "or somebody who has it answers in its place", "terraform apply -replace=ADDRESS_OF_THE_RESOURCE"}},
		"another key": {func(k *keyed) { k.has(otherKey) }, []string{
			"Warning at public_key: 10.0.0.1: another host key: want ", "found " + keyText(otherKey)}},
		"away": {func(k *keyed) { k.setDown("zk1") }, []string{"Warning at : 10.0.0.1: ", "no route to zk1"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeyed()
			r := newTrial(t, k)
			must(t, r.create(t))
			before, steps := r.state.Raw, len(k.machines["zk1"].Applied())
			c.set(k)
			must(t, r.read(t), c.want...)
			if !r.state.Raw.Equal(before) {
				t.Errorf("the state is %s, was %s", r.state.Raw, before)
			}
			if n := len(k.machines["zk1"].Applied()); n != steps {
				t.Errorf("a read has changed the host by %d steps", n-steps)
			}
		})
	}
}

// A destroy of what cannot be asked goes on, and says so.
func TestRotationOfAHostThatIsGone(t *testing.T) {
	for name, set := range map[string]func(*keyed){
		"away": func(k *keyed) { k.setDown("zk1") }, "another key": func(k *keyed) { k.has(otherKey) },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeyed()
			r := newTrial(t, k)
			must(t, r.create(t))
			set(k)
			d := r.remove(t)
			must(t, d, "Warning at : 10.0.0.1: ")
			if d.HasError() {
				t.Errorf("want warnings alone, got:\n%s", said(d))
			}
		})
	}
}

func TestRotationIsImportedByTheKey(t *testing.T) {
	k := newKeyed()
	for id, want := range map[string]string{otherKey + " root@zk1": "", "zk1": "want one public key", "-----BEGIN OPENSSH PRIVATE KEY-----": "found a private key"} {
		r := newTrial(t, k)
		resp := resource.ImportStateResponse{State: r.state}
		r.ImportState(t.Context(), resource.ImportStateRequest{ID: id}, &resp)
		if want != "" {
			must(t, resp.Diagnostics, want)
			continue
		}
		must(t, resp.Diagnostics)
		if got := get[string](t, resp.State, path.Root("public_key")); got != otherKey {
			t.Errorf("public_key %q", got)
		}
		r.state = resp.State
		must(t, r.read(t)) // asks nobody: where the host is comes with the configuration
		must(t, r.remove(t))
	}
	if n := k.machines["zk1"].Looks(); n > 0 {
		t.Errorf("the host was looked at %d times", n)
	}
}

func TestRotationSaysWhatIsWrongAtItsAttribute(t *testing.T) {
	for name, c := range map[string]struct {
		set  map[string]any
		want string
	}{
		"right":           {nil, ""},
		"unknown address": {map[string]any{"address": tftypes.UnknownValue, "host_key": "nonsense"}, ""},
		"unknown key":     {map[string]any{"host_key": tftypes.UnknownValue}, ""},
		"unknown port":    {map[string]any{"ssh": map[string]any{"port": tftypes.UnknownValue}}, ""},
		"address":         {map[string]any{"address": "ten"}, `Error at address: address: want an IP address that the other hosts can reach, found "ten"`},
		"port":            {map[string]any{"ssh": map[string]any{"port": 70000}}, `Error at ssh.port: ssh.port: want a port from 1 to 65535, found 70000`},
		"no key":          {map[string]any{"host_key": "nonsense"}, `Error at host_key: host_key: want one public key`},
		"private key":     {map[string]any{"host_key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, `found a private key`},
		"another type": {map[string]any{"host_key": "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="},
			`Error at host_key: host_key: want a key of type ssh-ed25519, found one of type ecdsa-sha2-nistp256`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTrial(t, newKeyed())
			r.site = nil
			var resp resource.ValidateConfigResponse
			r.ValidateConfig(t.Context(), resource.ValidateConfigRequest{Config: tfsdk.Config{Schema: r.schema, Raw: r.raw(t, c.set)}}, &resp)
			if c.want == "" {
				must(t, resp.Diagnostics)
			} else {
				must(t, resp.Diagnostics, c.want)
			}
		})
	}
}

// Of all that a rotation leaves behind nothing is private.
func TestRotationHoldsNothingPrivate(t *testing.T) {
	r := newTrial(t, newKeyed())
	must(t, r.create(t))
	for name, a := range r.schema.Attributes {
		if a.IsSensitive() {
			t.Errorf("%s is sensitive: there is to be nothing that needs it", name)
		}
	}
	var m rotationModel
	if d := r.state.Get(t.Context(), &m); d.HasError() {
		t.Fatal(d)
	}
	if strings.Contains(r.state.Raw.String(), "PRIVATE") {
		t.Error("the state has a private key")
	}
}
