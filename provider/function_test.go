package provider

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

var _ renderer = zookeeper.Role{}

// call runs a function of the provider as Terraform would, and returns its result.
func call(t *testing.T, name string, args ...attr.Value) (attr.Value, *function.FuncError) {
	t.Helper()
	p := &Provider{Ensemble: zookeeper.New()}
	for _, newFunction := range p.Functions(t.Context()) {
		f := newFunction()
		var is function.MetadataResponse
		f.Metadata(t.Context(), function.MetadataRequest{}, &is)
		if is.Name != name {
			continue
		}
		var d function.DefinitionResponse
		f.Definition(t.Context(), function.DefinitionRequest{}, &d)
		empty, err := d.Definition.Return.NewResultData(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		resp := function.RunResponse{Result: empty}
		f.Run(t.Context(), function.RunRequest{Arguments: function.NewArgumentsData(args)}, &resp)
		return resp.Result.Value(), resp.Error
	}
	t.Fatalf("the provider has no function %s", name)
	return nil, nil
}

// want calls a function and expects a text.
func want(t *testing.T, text, name string, args ...attr.Value) {
	t.Helper()
	got, err := call(t, name, args...)
	if err != nil {
		t.Fatalf("%s: %s", name, err)
	}
	if diff := cmp.Diff(text, got.(types.String).ValueString()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// refuse calls a function and expects an error about one argument, or about none of them
// where it is -1, that says all of these.
func refuse(t *testing.T, argument int64, says []string, name string, args ...attr.Value) {
	t.Helper()
	got, err := call(t, name, args...)
	if err == nil {
		t.Fatalf("%s accepted it: %s", name, got)
	}
	at := int64(-1)
	if err.FunctionArgument != nil {
		at = *err.FunctionArgument
	}
	if at != argument {
		t.Errorf("the error is about argument %d, want %d: %s", at, argument, err)
	}
	for _, part := range says {
		if !strings.Contains(err.Text, part) {
			t.Errorf("the error does not say %q: %s", part, err)
		}
	}
}

func str(s string) attr.Value   { return types.StringValue(s) }
func number(n int64) attr.Value { return types.Int64Value(n) }

// record is an object with text attributes.
func record(pairs ...string) attr.Value {
	is, values := map[string]attr.Type{}, map[string]attr.Value{}
	for i := 0; i < len(pairs); i += 2 {
		is[pairs[i]], values[pairs[i]] = types.StringType, str(pairs[i+1])
	}
	return types.ObjectValueMust(is, values)
}

// tuple is what Terraform makes of a list that is written out.
func tuple(values ...attr.Value) attr.Value {
	var is []attr.Type
	for _, v := range values {
		is = append(is, v.Type(context.Background()))
	}
	return types.TupleValueMust(is, values)
}

// variadic are the arguments behind the named ones.
func variadic(values ...attr.Value) attr.Value { return tuple(values...) }

func dynamic(v attr.Value) attr.Value { return types.DynamicValue(v) }

// named is an object of hosts.
func named(hosts map[string]attr.Value) attr.Value {
	is := map[string]attr.Type{}
	for name, h := range hosts {
		is[name] = h.Type(context.Background())
	}
	return types.ObjectValueMust(is, hosts)
}

func TestConnectString(t *testing.T) {
	texts := []attr.Value{str("10.0.0.2"), str("10.0.0.1")}
	for name, c := range map[string]struct {
		hosts  attr.Value
		chroot attr.Value
		want   string
	}{
		"a list keeps its order":          {tuple(texts...), variadic(), "10.0.0.2:2181,10.0.0.1:2181"},
		"a typed list does too":           {types.ListValueMust(types.StringType, texts), variadic(), "10.0.0.2:2181,10.0.0.1:2181"},
		"a set":                           {types.SetValueMust(types.StringType, texts[:1]), variadic(), "10.0.0.2:2181"},
		"a map is in the order of names":  {types.MapValueMust(types.StringType, map[string]attr.Value{"zk2": texts[0], "zk1": texts[1]}), variadic(), "10.0.0.1:2181,10.0.0.2:2181"},
		"objects, as the resource has":    {named(map[string]attr.Value{"zk2": record("address", "10.0.0.2", "country", "NO"), "zk1": record("address", "10.0.0.1")}), variadic(), "10.0.0.1:2181,10.0.0.2:2181"},
		"a list of objects":               {tuple(record("address", "zk1.example.net")), variadic(), "zk1.example.net:2181"},
		"IPv6 addresses need brackets":    {tuple(str("2001:db8::1"), str("::2")), variadic(), "[2001:db8::1]:2181,[::2]:2181"},
		"a chroot stands behind the last": {tuple(texts...), variadic(str("/services/eu")), "10.0.0.2:2181,10.0.0.1:2181/services/eu"},
		"an empty chroot is none":         {tuple(texts...), variadic(str("")), "10.0.0.2:2181,10.0.0.1:2181"},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, c.want, "connect_string", dynamic(c.hosts), number(2181), c.chroot)
		})
	}
}

func TestConnectStringRefuses(t *testing.T) {
	one := tuple(str("10.0.0.1"))
	for name, c := range map[string]struct {
		hosts    attr.Value
		port     int64
		chroot   attr.Value
		argument int64
		says     []string
	}{
		"no hosts":                    {tuple(), 2181, variadic(), 0, []string{"at least one host"}},
		"a text":                      {str("10.0.0.1"), 2181, variadic(), 0, []string{"a map or a list of hosts", "String"}},
		"no address":                  {named(map[string]attr.Value{"zk1": record("addres", "10.0.0.1")}), 2181, variadic(), 0, []string{`hosts["zk1"]`, "an address", "addres"}},
		"null for an address":         {tuple(str("10.0.0.1"), types.StringNull()), 2181, variadic(), 0, []string{"hosts[1]", "null"}},
		"null for a host":             {tuple(types.ObjectNull(map[string]attr.Type{"address": types.StringType})), 2181, variadic(), 0, []string{"hosts[0]", "null"}},
		"a number for a host":         {tuple(number(1)), 2181, variadic(), 0, []string{"hosts[0]", "Number"}},
		"a port of its own":           {tuple(str("10.0.0.1:2181")), 2181, variadic(), 0, []string{"hosts[0]", "without a port", `"10.0.0.1:2181"`}},
		"two in one":                  {tuple(str("10.0.0.1,10.0.0.2")), 2181, variadic(), 0, []string{"hosts[0]", `"10.0.0.1,10.0.0.2"`}},
		"one address twice":           {named(map[string]attr.Value{"zk1": str("10.0.0.1"), "zk2": str("10.0.0.1")}), 2181, variadic(), 0, []string{`hosts["zk2"]`, `hosts["zk1"]`}},
		"port 0":                      {one, 0, variadic(), 1, []string{"1 to 65535", "found 0"}},
		"a port above all":            {one, 65536, variadic(), 1, []string{"found 65536"}},
		"a relative chroot":           {one, 2181, variadic(str("services")), 2, []string{"absolute path", `"services"`}},
		"a chroot with a slash after": {one, 2181, variadic(str("/services/")), 2, []string{`"/services/"`}},
		"the root":                    {one, 2181, variadic(str("/")), 2, []string{`"/"`}},
		"a chroot that climbs":        {one, 2181, variadic(str("/a/../b")), 2, []string{`"/a/../b"`}},
		"a chroot that hides a host":  {one, 2181, variadic(str("/a,10.0.0.9:2181")), 2, []string{"10.0.0.9"}},
		"two chroots":                 {one, 2181, variadic(str("/a"), str("/b")), 3, []string{"one chroot at most"}},
	} {
		t.Run(name, func(t *testing.T) {
			refuse(t, c.argument, c.says, "connect_string", dynamic(c.hosts), number(c.port), c.chroot)
		})
	}
}

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1ycoV8Xmwg4kSGunqmuAYHVK//upnsmIiJogTC2pzq"

func TestKnownHost(t *testing.T) {
	for name, c := range map[string]struct {
		address string
		port    int64
		key     string
		want    string
	}{
		"port 22 is not written":   {"203.0.113.11", 22, hostKey, "203.0.113.11 " + hostKey},
		"another port is":          {"zk1.example.net", 2222, hostKey, "[zk1.example.net]:2222 " + hostKey},
		"IPv6":                     {"2001:db8::1", 22, hostKey, "2001:db8::1 " + hostKey},
		"IPv6 at another port":     {"2001:db8::1", 2222, hostKey, "[2001:db8::1]:2222 " + hostKey},
		"a comment is dropped":     {"203.0.113.11", 22, hostKey + " root@zk1\n", "203.0.113.11 " + hostKey},
		"blanks around are not it": {"203.0.113.11", 22, "  " + hostKey + "\n\n", "203.0.113.11 " + hostKey},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, c.want, "known_host", str(c.address), number(c.port), str(c.key))
			accepts(t, c.want, c.address, c.port)
		})
	}
}

// accepts expects that a client with this line for its known_hosts takes the key.
func accepts(t *testing.T, line, address string, port int64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	callback, err := knownhosts.New(file)
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(hostKey))
	if err != nil {
		t.Fatal(err)
	}
	at := net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: int(port)}
	if err := callback(net.JoinHostPort(address, number(port).String()), &at, key); err != nil {
		t.Errorf("a client with %q: %v", line, err)
	}
}

func TestKnownHostRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		address  string
		port     int64
		key      string
		argument int64
		says     []string
	}{
		"a pattern":          {"*", 22, hostKey, 0, []string{"an IP address or a host name", `"*"`}},
		"two hosts":          {"zk1,zk2", 22, hostKey, 0, []string{`"zk1,zk2"`}},
		"a port in the name": {"zk1:22", 22, hostKey, 0, []string{"without a port", `"zk1:22"`}},
		"a marker":           {"@cert-authority zk1", 22, hostKey, 0, []string{"@cert-authority"}},
		"port 0":             {"zk1", 0, hostKey, 1, []string{"found 0"}},
		"no key":             {"zk1", 22, "", 2, []string{"one public key"}},
		"half a key":         {"zk1", 22, hostKey[:40], 2, []string{"one public key"}},
		"two keys":           {"zk1", 22, hostKey + "\n" + hostKey, 2, []string{"found 2 lines", "for each"}},
		"a key with options": {"zk1", 22, `no-pty,command="true" ` + hostKey, 2, []string{"2 words before it"}},
		"a private key":      {"zk1", 22, "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n", 2, []string{"a private key", ".pub"}},
	} {
		t.Run(name, func(t *testing.T) {
			refuse(t, c.argument, c.says, "known_host", str(c.address), number(c.port), str(c.key))
		})
	}
}

// A text that is given for a public key by mistake may be a secret.
func TestKnownHostDoesNotShowTheKey(t *testing.T) {
	for _, secret := range []string{"b3BlbnNzaC1rZXktdjEA", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----"} {
		_, err := call(t, "known_host", str("zk1"), number(22), str(secret))
		if err == nil || strings.Contains(err.Text, "b3Bl") {
			t.Errorf("the error shows what was given: %v", err)
		}
	}
}

func TestSysctlPreset(t *testing.T) {
	for preset, c := range map[string]struct {
		has   map[string]string
		lacks []string
	}{
		"zookeeper": {map[string]string{"vm.swappiness": "1", "vm.dirty_bytes": "536870912", "net.ipv4.ip_local_port_range": "15000 65000"},
			[]string{"vm.max_map_count"}}, // one that the preset leaves alone
		"sidecar": {map[string]string{"net.ipv4.tcp_tw_reuse": "1"}, []string{"vm.swappiness"}},
	} {
		t.Run(preset, func(t *testing.T) {
			v, err := call(t, "sysctl_preset", str(preset))
			if err != nil {
				t.Fatal(err)
			}
			got := v.(types.Map).Elements()
			for key, value := range c.has {
				if !str(value).Equal(got[key]) {
					t.Errorf("%s is %v, want %q", key, got[key], value)
				}
			}
			for _, key := range c.lacks {
				if v, is := got[key]; is {
					t.Errorf("%s is set to %s, want it left alone", key, v)
				}
			}
		})
	}
	refuse(t, 0, []string{`"zookeper"`, "zookeeper", "sidecar"}, "sysctl_preset", str("zookeper"))
}

// config is a map of settings; null for "".
func config(pairs ...string) attr.Value {
	values := map[string]attr.Value{}
	for i := 0; i < len(pairs); i += 2 {
		if values[pairs[i]] = str(pairs[i+1]); pairs[i+1] == "" {
			values[pairs[i]] = types.StringNull()
		}
	}
	return types.MapValueMust(types.StringType, values)
}

func TestZooCfg(t *testing.T) {
	for name, c := range map[string]struct {
		settings attr.Value
		has      []string
	}{
		"zkboot's own":        {variadic(), []string{"tickTime=2000", "dataDir=/var/lib/zookeeper/main", "standaloneEnabled=false", "maxSessionTimeout=40000"}},
		"a setting":           {variadic(config("tickTime", "3000")), []string{"tickTime=3000", "maxSessionTimeout=60000"}},
		"a setting of no own": {variadic(config("snapCount", "50000")), []string{"snapCount=50000"}},
		"the later map wins":  {variadic(config("tickTime", "3000", "initLimit", "20"), config("tickTime", "4000")), []string{"tickTime=4000", "initLimit=20"}},
		"null is zkboot's":    {variadic(config("tickTime", "3000"), config("tickTime", "")), []string{"tickTime=2000"}},
		"the secret stays":    {variadic(), []string{"DigestAuthenticationProvider.superDigest=super:@ZKBOOT_SUPER@"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := call(t, "zoo_cfg", str("main"), c.settings)
			if err != nil {
				t.Fatal(err)
			}
			text := got.(types.String).ValueString()
			for _, line := range c.has {
				if !strings.Contains("\n"+text, "\n"+line+"\n") {
					t.Errorf("no line %q in:\n%s", line, text)
				}
			}
		})
	}
}

func TestZooCfgRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		name     string
		settings attr.Value
		argument int64
		says     []string
	}{
		"a typo":                 {"main", variadic(config("tickTme", "2000")), 1, []string{`settings["tickTme"]`, "unknown key", `did you mean "tickTime"?`}},
		"a typo in another map":  {"main", variadic(config("tickTime", "2000"), config("initLimt", "10")), 2, []string{`settings["initLimt"]`}},
		"what is not for one":    {"main", variadic(config("dataDir", "/data")), 1, []string{`settings["dataDir"]`, "ensemble.data_dir"}},
		"a value out of bounds":  {"main", variadic(config("tickTime", "1")), 1, []string{`settings["tickTime"]`}},
		"an unsafe value":        {"main", variadic(config("forceSync", "no")), 1, []string{`settings["forceSync"]`}},
		"values that do not fit": {"main", variadic(config("tickTime", "2000"), config("initLimit", "2")), 2, []string{`settings["initLimit"]`, "syncLimit"}},
		"a bound not given here": {"main", variadic(config("minSessionTimeout", "90000")), -1, []string{`settings["maxSessionTimeout"]`, "minSessionTimeout (90000 ms"}},
		"what apt does not have": {"main", variadic(config("metricsProvider.exportJvmInfo", "true")), 1, []string{"source.tarball"}},
		"two faults":             {"main", variadic(config("initLimt", "1", "tickTme", "1")), 1, []string{`settings["initLimt"]`, `settings["tickTme"]`}},
		"a bad name":             {"Main!", variadic(), 0, []string{"lower-case", `"Main!"`}},
	} {
		t.Run(name, func(t *testing.T) {
			refuse(t, c.argument, c.says, "zoo_cfg", str(c.name), c.settings)
		})
	}
}

// Terraform refuses a provider whose definitions are not whole.
func TestFunctionsAreWellDefined(t *testing.T) {
	for _, newFunction := range (&Provider{}).Functions(t.Context()) {
		f := newFunction()
		var is function.MetadataResponse
		f.Metadata(t.Context(), function.MetadataRequest{}, &is)
		var d function.DefinitionResponse
		f.Definition(t.Context(), function.DefinitionRequest{}, &d)
		valid := function.DefinitionValidateRequest{FuncName: is.Name}
		var resp function.DefinitionValidateResponse
		d.Definition.ValidateImplementation(t.Context(), valid, &resp)
		for _, fault := range resp.Diagnostics {
			t.Errorf("%s: %s: %s", is.Name, fault.Summary(), fault.Detail())
		}
	}
}
