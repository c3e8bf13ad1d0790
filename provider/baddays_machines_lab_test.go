//go:build lab

package provider

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	tfresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

// later is a value that Terraform knows only in the apply, in the first as in each that
// changes the word.
func later(word string) string {
	return fmt.Sprintf("resource \"terraform_data\" \"later\" { input = %q }\n"+
		"locals { later = terraform_data.later.output == \"\" ? null : true }\n", word)
}

// ensembleParts is a whole ensemble, each part of which a test may make known later.
var ensembleParts = []struct{ name, value string }{
	{"name", `"main"`}, {"hardware", `{ profile = "lab" }`},
	{"hosts", `{ zk1 = { address = "10.0.0.1" }, zk2 = { address = "10.0.0.2" }, zk3 = { address = "10.0.0.3" } }`},
	{"members", `{ zk1 = { id = 1 }, zk2 = { id = 2 }, zk3 = { id = 3 } }`}, {"source", `{ apt = {} }`},
	{"config", `{ tickTime = "2000" }`}, {"heap", `"1GiB"`}, {"jvm_flags", `["-XX:+UseG1GC"]`},
	{"tuning", `{ thp = "madvise" }`}, {"placement", `{}`}, {"ports", `{ client = 2181 }`}, {"accept_known_issues", `[]`},
	{"data_dir", `"/var/lib/zookeeper"`}, {"deletion_protection", `false`}, {"on_destroy", `{ wipe_data = false }`},
}

// partsHCL is a resource of parts, of which those that which picks are known later.
func partsHCL(kind, name, word string, parts []struct{ name, value string }, which func(string) bool) string {
	var b strings.Builder
	b.WriteString(later(word))
	fmt.Fprintf(&b, "resource %q %q {\n", kind, name)
	for _, p := range parts {
		if which(p.name) {
			fmt.Fprintf(&b, "  %s = local.later == null ? null : %s\n", p.name, p.value)
		} else {
			fmt.Fprintf(&b, "  %s = %s\n", p.name, p.value)
		}
	}
	return b.String() + "}\n"
}

func TestWholeAttributesAreKnownLater(t *testing.T) {
	for name, which := range map[string]func(string) bool{
		"each of them":     func(string) bool { return true },
		"all but the name": func(part string) bool { return part != "name" },
		"the hosts":        func(part string) bool { return part == "hosts" },
		"Terraform's own":  func(part string) bool { return part == "deletion_protection" || part == "on_destroy" },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet("zk1", "zk2", "zk3")
			config := func(word string) string { return partsHCL("zkboot_ensemble", "main", word, ensembleParts, which) }
			made := expectAction(plancheck.ResourceActionCreate)
			for _, part := range ensembleParts {
				if which(part.name) { // or this proves nothing
					made.PreApply = append(made.PreApply, plancheck.ExpectUnknownValue(address, tfjsonpath.New(part.name)))
				}
			}
			steps := []tfresource.TestStep{
				{Config: config("first"), ConfigPlanChecks: made, ConfigStateChecks: expectState("zk2", inSync)},
				planOnly(config("first")),
			}
			if which("name") {
				steps = append(steps, tfresource.TestStep{Config: config("second"), ExpectError: regexp.MustCompile(`must\s+be\s+known\s+when\s+planning`)})
			} else {
				steps = append(steps, tfresource.TestStep{Config: config("second"), ConfigStateChecks: expectState("zk2", inSync)}, planOnly(config("second")))
			}
			terraformTest(t, f, tfresource.TestCase{Steps: steps})
		})
	}
}

// Every leaf of an ensemble that may come from another resource, at once, while the shape of
// it is known; then again over what stands.
func TestEveryLeafIsKnownLater(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	config := func(word string) string {
		text, number := func(is string) string { return `local.later == null ? null : "` + is + `"` }, func(n int) string { return fmt.Sprintf("local.later == null ? null : %d", n) }
		host := func(n int) string {
			return fmt.Sprintf(`zk%d = { address = %s, country = %s, host_key = %s, ssh = { address = %s, port = %s, user = %s, identity_files = [%s], patience = %s } }`, n,
				text(fmt.Sprintf("10.0.0.%d", n)), text("DE"), text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"),
				text(fmt.Sprintf("203.0.113.%d", n)), number(22), text("debian"), text("key"), text("30s"))
		}
		return later(word) + `
resource "zkboot_ensemble" "main" {
  name      = "main"
  hardware  = { profile = ` + text("lab") + ` }
  hosts     = { ` + strings.Join([]string{host(1), host(2), host(3)}, ", ") + ` }
  members   = { zk1 = { id = ` + number(1) + `, role = ` + text("voter") + ` }, zk2 = { id = ` + number(2) + ` }, zk3 = { id = ` + number(3) + ` } }
  source    = { apt = { version = ` + text("3.8.0-11+deb12u2") + ` } }
  config    = { tickTime = ` + text("2000") + ` }
  heap      = ` + text("1GiB") + `
  jvm_flags = [` + text("-XX:+UseG1GC") + `]
  tuning    = { sysctl = { "vm.swappiness" = ` + text("1") + ` }, thp = ` + text("madvise") + ` }
  placement = { countries = [` + text("EEA") + `] }
  ports     = { client = ` + number(2181) + ` }
  timeouts  = { create = ` + text("5m") + ` }
}
`
	}
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: config("first"), ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
			plancheck.ExpectResourceAction(address, plancheck.ResourceActionCreate), plancheck.ExpectUnknownValue(address, tfjsonpath.New("things"))}},
			ConfigStateChecks: expectState("zk2", inSync)},
		planOnly(config("first")),
		{Config: config("second"), ConfigPlanChecks: expectAction(plancheck.ResourceActionUpdate), ConfigStateChecks: expectState("zk2", inSync)},
		planOnly(config("second")),
	}})
}

// A fault in a value that is known only in the apply is told there, at its attribute, and
// before any host is changed.
func TestFaultThatIsKnownLater(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	broken := later("x") + strings.Replace(hcl(), `"10.0.0.2"`, `local.later == null ? null : "ten"`, 1)
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: broken, ExpectError: regexp.MustCompile(`(?s)hosts\["zk2"\].address.*found\s+"ten"`)},
		{PreConfig: func() { untouched(t, f) }, Config: hcl()},
	}})
}

func untouched(t *testing.T, f *fleet) {
	t.Helper()
	for host, m := range f.machines {
		if steps := m.Applied(); len(steps) > 0 {
			t.Errorf("%s was changed: %v", host, steps)
		}
	}
}

func TestSidecarIsKnownLater(t *testing.T) {
	parts := []struct{ name, value string }{
		{"name", `"main"`}, {"hosts", oneApp}, {"registries", `{ main = { zookeeper = { servers = ["10.0.0.1:2181"] } } }`},
		{"services", `{ inventory = { registry = "main", path = "/services/inventory" } }`},
		{"routes", `{ inventory = { service = "inventory", bind = "127.0.0.1:3000", retries = 2, labels = { a = "b" } } }`},
		{"register", `{ inventory = { service = "inventory", port = 8080, check = { tcp = "127.0.0.1:8080" } } }`},
		{"zone", `"a"`}, {"guard", `{ min = 2, hold = "5m" }`}, {"drain", `{ grace = "10s" }`}, {"stats", `"127.0.0.1:8404"`},
		{"tuning", `{ disabled = true }`}, {"placement", `{}`}, {"on_destroy", `{ ignore_unreachable = false }`},
	}
	config := partsHCL("zkboot_sidecar", "shop", "x", parts, func(string) bool { return true })
	leaves := later("x") + sidecarHCL(oneApp)
	for _, leaf := range []string{`"10.0.0.101"`, `"10.0.0.1:2181"`, `"/services/inventory"`, `"127.0.0.1:3000"`} {
		leaves = strings.Replace(leaves, leaf, "local.later == null ? null : "+leaf, 1)
	}
	for name, config := range map[string]string{"whole attributes": config, "leaves": leaves} {
		t.Run(name, func(t *testing.T) {
			f := newFleet("app1")
			terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
				{Config: config, ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
					plancheck.ExpectResourceAction(sidecarAddress, plancheck.ResourceActionCreate), plancheck.ExpectUnknownValue(sidecarAddress, tfjsonpath.New("hosts_state"))}}},
				planOnly(config),
			}})
		})
	}
}

// Data sources wait for what they are to look at, and so does the provider block as a whole.
func TestTheRestIsKnownLater(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	config := later("x") + `
provider "zkboot" { ssh = local.later == null ? null : { user = "debian", port = 22, identity_files = ["a"] } }
` + hcl() + `
data "zkboot_status" "main" {
  name    = local.later == null ? null : "main"
  hosts   = local.later == null ? null : { for name, host in zkboot_ensemble.main.hosts : name => { address = host.address } }
  members = zkboot_ensemble.main.members
}
data "zkboot_verify" "main" {
  name     = "main"
  hardware = local.later == null ? null : { profile = "lab" }
  hosts    = local.later == null ? null : zkboot_ensemble.main.hosts
  members  = zkboot_ensemble.main.members
  source   = local.later == null ? null : { apt = {} }
}
data "zkboot_cloudinit" "zk2" {
  host    = "zk2"
  name    = "main"
  hosts   = { zk2 = { address = local.later == null ? null : "10.0.0.2", host_key = zkboot_host_key.zk2.public_key } }
  members = { zk2 = { id = 2 } }
  source  = { apt = {} }
  login   = { user = local.later == null ? null : "admin", authorized_keys = ["ssh-ed25519 AAAA me"] }
}
resource "zkboot_host_key" "zk2" {
  addresses = local.later == null ? null : ["10.0.0.2"]
  keepers   = local.later == null ? null : { image = "1" }
}
`
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: config, ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
			plancheck.ExpectUnknownValue("data.zkboot_status.main", tfjsonpath.New("healthy")), plancheck.ExpectUnknownValue("data.zkboot_verify.main", tfjsonpath.New("ok")),
			plancheck.ExpectUnknownValue("data.zkboot_cloudinit.zk2", tfjsonpath.New("user_data"))}}},
		planOnly(config),
	}})
}

// A host that is away when the ensemble is made: nothing is changed anywhere, nothing is
// remembered, and the next apply makes it.
func TestHostDownWhenCreating(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{PreConfig: func() { f.setDown("zk3") }, Config: hcl(), ExpectError: regexp.MustCompile(`(?s)zk3: .*no route to zk3`)},
		{
			PreConfig: func() { untouched(t, f); f.setDown() }, Config: hcl(),
			ConfigPlanChecks: expectAction(plancheck.ResourceActionCreate), ConfigStateChecks: expectState("zk3", inSync),
		},
		planOnly(hcl()),
	}})
}

// A site that is gone for good leaves the state when told to, and not before.
func TestDestroyWithDeadHosts(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	on := `on_destroy = { wipe_data = true, ignore_unreachable = true }`
	terraformTest(t, f, tfresource.TestCase{
		Steps: []tfresource.TestStep{
			{Config: hcl()},
			{PreConfig: func() { f.setDown("zk1", "zk2", "zk3") }, Config: hcl(), PlanOnly: true}, // nothing is known, so nothing is planned
			{Config: hcl(), Destroy: true, ExpectError: regexp.MustCompile(`(?s)zk1: .*no route to zk1.*ignore_unreachable.*zk2: .*zk3: `)},
			{Config: hcl(on)},
			planOnly(hcl(on)),
		},
		CheckDestroy: func(*terraform.State) error {
			for host, m := range f.machines {
				if !f.stands(host) || m.Thing(toyData) == nil {
					return fmt.Errorf("%s was changed while it was away", host)
				}
			}
			return nil
		},
	})
}
