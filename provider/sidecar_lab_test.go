//go:build lab

package provider

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	tfresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/zkboot/zkboot/bootstrap"
)

const sidecarAddress = "zkboot_sidecar.shop"

// sidecarHCL is a configuration with a sidecar on the hosts, with lines added.
func sidecarHCL(hosts string, lines ...string) string {
	return `
resource "zkboot_sidecar" "shop" {
  name       = "main"
  hosts      = ` + hosts + `
  registries = { main = { zookeeper = { servers = ["10.0.0.1:2181"] } } }
  services   = { inventory = { registry = "main", path = "/services/inventory" } }
  routes     = { inventory = { service = "inventory", bind = "127.0.0.1:3000" } }
  ` + strings.Join(lines, "\n  ") + `
}
`
}

const oneApp = `{ app1 = { address = "10.0.0.101" } }`

func TestSidecarComesChangesAndGoes(t *testing.T) {
	f := newFleet("app1", "app2")
	conf := func(host, want string) func(*terraform.State) error {
		return func(*terraform.State) error {
			if file, _ := f.machines[host].Thing(guestConf).(bootstrap.File); file.Content != want {
				return fmt.Errorf("%s: %q, want %q", host, file.Content, want)
			}
			return nil
		}
	}
	both := `{ app1 = { address = "10.0.0.101" }, app2 = { address = "10.0.0.102" } }`
	second := strings.Replace(sidecarHCL(both), `bind = "127.0.0.1:3000" }`, `bind = "127.0.0.1:3000" }, more = { service = "inventory", bind = "127.0.0.1:3001" }`, 1)
	terraformTest(t, f, tfresource.TestCase{
		Steps: []tfresource.TestStep{
			{Config: sidecarHCL(oneApp), Check: conf("app1", "[inventory]\n"), ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(sidecarAddress, tfjsonpath.New("hosts_state"), knownvalue.MapExact(map[string]knownvalue.Check{"app1": knownvalue.StringExact(inSync)}))}},
			planOnly(sidecarHCL(oneApp)),
			{Config: sidecarHCL(both), Check: conf("app2", "[inventory]\n"), ConfigPlanChecks: tfresource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(sidecarAddress, plancheck.ResourceActionUpdate)}}},
			{Config: second, Check: conf("app1", "[inventory more]\n")},
			planOnly(second),
			{ // drift
				PreConfig: func() { f.machines["app2"].Remove(guestConf) },
				Config:    second, Check: conf("app2", "[inventory more]\n"),
				ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(sidecarAddress, plancheck.ResourceActionUpdate)}},
			},
		},
		CheckDestroy: func(*terraform.State) error {
			for host, m := range f.machines {
				if m.Thing(guestConf) != nil {
					return fmt.Errorf("%s: its file is left", host)
				}
			}
			return nil
		},
	})
}

func TestSidecarIsValidatedWhereItIsWritten(t *testing.T) {
	f := newFleet("app1")
	for name, c := range map[string]struct{ config, want string }{
		"no such service": {strings.Replace(sidecarHCL(oneApp), `service = "inventory"`, `service = "inventry"`, 1), `(?s)routes\["inventory"\].service.*no service "inventry"`},
		"random":          {strings.Replace(sidecarHCL(oneApp), `bind = `, `balance = "random", bind = `, 1), `(?s)routes\["inventory"\].balance.*random`},
		"a duration":      {sidecarHCL(oneApp, `guard = { hold = "soon" }`), `(?s)guard.hold.*"soon" is not a duration`},
		"a share":         {sidecarHCL(oneApp, `guard = { threshold = "half" }`), `(?s)guard.threshold.*"half" is not a share`},
	} {
		t.Run(name, func(t *testing.T) {
			terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{{Config: c.config, ExpectError: regexp.MustCompile(c.want), PlanOnly: true}}})
		})
	}
}

// A host may be a member and have a sidecar: the two resources change it at the same time,
// and neither takes the other's things away.
func TestEnsembleAndSidecarOnOneHost(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	f.patience = time.Minute
	// The ensemble is changed between the sidecar's plan and its apply.
	var once sync.Once
	f.guest.before = func() {
		once.Do(func() {
			f.machines["zk2"].Set(bootstrap.File{Path: guestConf.Name(), Content: "somebody's\n", Mode: 0o600, Owner: "root", Group: "root"})
		})
	}
	both := hcl() + sidecarHCL(`{ zk2 = { address = "10.0.0.2" } }`)
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: both, Check: func(*terraform.State) error {
			if !f.stands("zk2") || f.machines["zk2"].Thing(guestConf) == nil {
				return fmt.Errorf("zk2 lacks one of the two")
			}
			return nil
		}},
		planOnly(both),
		{Config: hcl(), Check: func(*terraform.State) error { // the sidecar goes
			if !f.stands("zk2") {
				return fmt.Errorf("the member went with the sidecar")
			}
			if f.machines["zk2"].Thing(guestConf) != nil {
				return fmt.Errorf("the sidecar is still there")
			}
			return nil
		}},
		planOnly(hcl()),
	}})
}
