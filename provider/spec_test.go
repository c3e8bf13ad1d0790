package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/zkboot/zkboot/bootstrap"
)

// everything is a spec in which everything is set that zkboot_ensemble knows.
const everything = `
name: main
hardware:
  profile: lab
  fsync: {p99: {warn: 10ms, fail: 50ms}, rate: {fail: 100/s}}
  cpu: {steal: {warn: 2%}}
placement: {countries: [EEA, CH]}
hosts:
  zk1:
    address: 10.0.0.1
    host_key: ssh-ed25519 AAAA
    country: "NO"
    ssh:
      address: 203.0.113.11
      port: 2222
      user: admin
      identity_files: [a, b]
      known_hosts_file: known
      accept_new_file: new
      config_file: none
      patience: 1m30s
      jump: {address: bastion.example.net, port: 23, user: hop, identity_files: [c], host_key: ssh-ed25519 BBBB}
    mounts: {/var/lib/zookeeper-log: {device: /dev/vdb, fstype: xfs, options: [noatime]}}
  zk2: {address: 10.0.0.2, country: DE}
  zk3: {address: "2001:db8::3", country: CH}
tuning: {disabled: true, sysctl: {vm.swappiness: "10"}, thp: leave, swap: "off"}
ensemble:
  members: {zk1: {id: 1}, zk2: {id: 2, role: voter}, zk3: {id: 254}}
  source: {tarball: {url: "https://example.net/apache-zookeeper-3.9.4-bin.tar.gz", sha512: ` + sha512 + `, version: 3.9.4}}
  accept_known_issues: [ZOOKEEPER-4785]
  heap: 512MiB
  jvm_flags: [-XX:+UseG1GC]
  ports: {client: 2182, quorum: 2889, election: 3889, admin: 8081, metrics: 7001}
  data_dir: /srv/zk/data
  data_log_dir: /srv/zk/log
  config: {tickTime: "2000", initLimit: "10"}
  adopt: {config: /opt/zookeeper/conf/zoo.cfg, unit: zk.service}
`

const sha512 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// A file and a configuration that say the same make the same Spec.
func TestSpecOfAConfigurationIsThatOfTheFile(t *testing.T) {
	for name, src := range map[string]string{
		"everything": everything,
		"little": `
name: main
hosts: {zk1: {address: 10.0.0.1}}
ensemble: {members: {zk1: {id: 1}}, source: {apt: {}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			want, report := bootstrap.Load("zkboot.yaml", []byte(src))
			if err := report.Err(); err != nil {
				t.Fatal(err)
			}
			want.SSH = bootstrap.SSH{User: "debian"}
			got, err := ensemble().specOf(configuration(t, want), bootstrap.SSH{User: "debian"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(bootstrap.Spec{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-file +configuration):\n%s", diff)
			}
		})
	}
}

// Every field of a Spec with one ensemble has an attribute of its name, and there is no
// attribute that a Spec would not understand.
func TestSchemaHasTheNamesOfTheFile(t *testing.T) {
	spec := reflect.TypeFor[bootstrap.Spec]()
	site, _ := fieldsOf(spec)
	for _, elsewhere := range []string{
		"ssh",                                // of the provider block
		"ensemble",                           // its fields are attributes
		"registries", "services", "sidecars", // of other resources
	} {
		delete(site, elsewhere)
	}
	member, _ := fieldsOf(reflect.TypeFor[bootstrap.Ensemble]())
	maps.Copy(site, member)
	have := ensembleSchema(t.Context()).Type().TerraformType(t.Context()).(tftypes.Object).AttributeTypes
	for name := range have {
		if _, ok := ensemble().place(name); !ok {
			delete(have, name)
		}
	}
	compareNames(t, "zkboot_ensemble", site, have)

	ssh, _ := fieldsOf(reflect.TypeFor[bootstrap.SSH]())
	delete(ssh, "address") // of one host
	block := providerSchema().Type().TerraformType(t.Context()).(tftypes.Object).AttributeTypes["ssh"].(tftypes.Object)
	compareNames(t, "provider.ssh", ssh, block.AttributeTypes)
}

// fieldsOf returns the JSON names of the fields of a struct, or false for anything that
// writes itself as text.
func fieldsOf(t reflect.Type) (map[string]reflect.Type, bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			out[name] = f.Type
		}
	}
	return out, true
}

func compareNames(t *testing.T, at string, want map[string]reflect.Type, have map[string]tftypes.Type) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(have))); diff != "" {
		t.Errorf("%s (-spec +schema):\n%s", at, diff)
		return
	}
	for name, field := range want {
		is := have[name]
		if field.Kind() == reflect.Map {
			field, is = field.Elem(), is.(tftypes.Map).ElementType
		}
		if inner, ok := fieldsOf(field); ok {
			compareNames(t, at+"."+name, inner, is.(tftypes.Object).AttributeTypes)
		}
	}
}

func TestSSHOfTheProviderBlock(t *testing.T) {
	typ := providerSchema().Type().TerraformType(t.Context())
	env := map[string]string{
		"ZKBOOT_SSH_USER": "from-env", "ZKBOOT_SSH_PORT": "2200", "ZKBOOT_SSH_IDENTITY_FILES": "/a:/b",
		"ZKBOOT_SSH_KNOWN_HOSTS_FILE": "/k", "ZKBOOT_SSH_ACCEPT_NEW_FILE": "/n", "ZKBOOT_SSH_CONFIG_FILE": "none", "ZKBOOT_SSH_PATIENCE": "3s",
	}
	all := bootstrap.SSH{User: "from-env", Port: 2200, IdentityFiles: []string{"/a", "/b"}, KnownHostsFile: "/k", AcceptNewFile: "/n",
		ConfigFile: "none", Patience: bootstrap.Duration(3e9)}
	mixed := all
	mixed.User, mixed.IdentityFiles = "from-block", []string{"/c"}
	for name, c := range map[string]struct {
		block any
		env   map[string]string
		want  bootstrap.SSH
	}{
		"nothing at all":    {nil, nil, bootstrap.SSH{}},
		"environment alone": {nil, env, all},
		"the block wins":    {map[string]any{"user": "from-block", "identity_files": []any{"/c"}}, env, mixed},
		"a jump host": {map[string]any{"jump": map[string]any{"address": "b", "port": 23}}, nil,
			bootstrap.SSH{Jump: &bootstrap.Jump{Address: "b", Port: 23}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sshOf(value(t, typ, map[string]any{"ssh": c.block}), func(k string) string { return c.env[k] })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	_, err := sshOf(value(t, typ, map[string]any{}), func(k string) string { return map[string]string{"ZKBOOT_SSH_PORT": "ssh"}[k] })
	if err == nil || !strings.Contains(err.Error(), `ZKBOOT_SSH_PORT: want a port, found "ssh"`) {
		t.Errorf("got %v", err)
	}
}

func TestSecretsOfTheProviderBlock(t *testing.T) {
	typ := providerSchema().Type().TerraformType(t.Context())
	var key hostKeyModel
	if err := key.make(); err != nil {
		t.Fatal(err)
	}
	pem := key.PrivateKey.ValueString()
	for name, c := range map[string]struct {
		block any
		want  Secrets
		err   string
	}{
		"nothing at all": {nil, Secrets{}, ""},
		"all of them": {map[string]any{"private_key": pem, "passphrase": "open sesame", "sudo_password": "hunter2"},
			Secrets{PrivateKey: pem, Passphrase: "open sesame", SudoPassword: "hunter2"}, ""},
		"no key": {map[string]any{"private_key": "correct horse"}, Secrets{}, "private_key: want a private key in PEM: ssh: no key found"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := secretsOf(value(t, typ, map[string]any{"secrets": c.block}))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
				t.Errorf("got %v, want %q", err, c.err)
			}
		})
	}
}

func TestSettledAndSameSpec(t *testing.T) {
	typ := ensembleSchema(t.Context()).Type().TerraformType(t.Context())
	with := func(name string, v any) tftypes.Value {
		return value(t, typ, map[string]any{"name": "main", "heap": "1GiB", name: v})
	}
	base := with("name", "main")
	for name, c := range map[string]struct {
		v             tftypes.Value
		settled, same bool
	}{
		"itself":                      {base, true, true},
		"a computed value is unknown": {with("id", tftypes.UnknownValue), true, true},
		"Terraform's own attribute":   {with("deletion_protection", true), true, true},
		"another heap":                {with("heap", "2GiB"), true, false},
		"unknown hosts":               {with("hosts", tftypes.UnknownValue), false, false},
		"an unknown address": {with("hosts", map[string]any{"zk1": map[string]any{"address": tftypes.UnknownValue}}),
			false, false},
		"nothing": {tftypes.NewValue(typ, nil), false, false},
		"unknown": {tftypes.NewValue(typ, tftypes.UnknownValue), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ensemble().settled(c.v); got != c.settled {
				t.Errorf("settled: %v", got)
			}
			if got := ensemble().sameSpec(c.v, base); got != c.same {
				t.Errorf("sameSpec: %v", got)
			}
		})
	}
}

// configuration is how Terraform hands over what the spec says.
func configuration(t testing.TB, s *bootstrap.Spec) tftypes.Value {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	ensemble, _ := all["ensemble"].(map[string]any)
	delete(all, "ensemble")
	delete(all, "ssh") // of the provider block
	maps.Copy(all, ensemble)
	return value(t, ensembleSchema(t.Context()).Type().TerraformType(t.Context()), all)
}

// value makes a value of a Terraform type from what encoding/json reads; what is missing
// from an object is null. A name that the type does not have ends the test.
func value(t testing.TB, typ tftypes.Type, from any) tftypes.Value {
	t.Helper()
	if from == nil || from == tftypes.UnknownValue {
		return tftypes.NewValue(typ, from)
	}
	switch typ := typ.(type) {
	case tftypes.Object:
		in, out := maps.Clone(from.(map[string]any)), map[string]tftypes.Value{}
		for name, inner := range typ.AttributeTypes {
			out[name] = value(t, inner, in[name])
			delete(in, name)
		}
		if len(in) > 0 {
			t.Fatalf("the schema has no attributes %v", slices.Sorted(maps.Keys(in)))
		}
		return tftypes.NewValue(typ, out)
	case tftypes.Map:
		out := map[string]tftypes.Value{}
		for name, v := range from.(map[string]any) {
			out[name] = value(t, typ.ElementType, v)
		}
		return tftypes.NewValue(typ, out)
	case tftypes.List:
		out := []tftypes.Value{}
		for _, v := range from.([]any) {
			out = append(out, value(t, typ.ElementType, v))
		}
		return tftypes.NewValue(typ, out)
	}
	if typ.Is(tftypes.Number) {
		n, _, err := big.ParseFloat(fmt.Sprint(from), 10, 64, big.ToNearestEven)
		if err != nil {
			t.Fatal(err)
		}
		return tftypes.NewValue(typ, n)
	}
	return tftypes.NewValue(typ, from)
}
