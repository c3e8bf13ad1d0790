//go:build lab

package provider

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	tfresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// These tests run the installed Terraform against the provider in this process, with
// machines in memory behind it.

const address = "zkboot_ensemble.main"

// terraformTest runs steps with theProgram.
func terraformTest(t *testing.T, f *fleet, tc tfresource.TestCase) {
	t.Helper()
	p := theProgram(t)
	t.Setenv("TF_ACC_TERRAFORM_PATH", p.path)
	if p.product == "OpenTofu" { // has another home for the providers that name none
		t.Setenv("TF_ACC_PROVIDER_HOST", "registry.opentofu.org")
	}
	t.Setenv("TF_CLI_CONFIG_FILE", os.DevNull)
	t.Setenv("CHECKPOINT_DISABLE", "1")
	tc.ProtoV6ProviderFactories = map[string]func() (tfprotov6.ProviderServer, error){
		"zkboot": func() (tfprotov6.ProviderServer, error) { return providerserver.NewProtocol6(f.provider())(), nil },
	}
	tfresource.UnitTest(t, tc)
}

func planOnly(config string) tfresource.TestStep {
	return tfresource.TestStep{Config: config, PlanOnly: true}
}

// expectAction checks what the plan does with the ensemble.
func expectAction(a plancheck.ResourceActionType) tfresource.ConfigPlanChecks {
	return tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, a)}}
}

// expectState checks what the state says of a host.
func expectState(host, is string) []statecheck.StateCheck {
	return []statecheck.StateCheck{statecheck.ExpectKnownValue(address, tfjsonpath.New("hosts_state").AtMapKey(host), knownvalue.StringExact(is))}
}

func TestCreateThenNothingToDo(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	terraformTest(t, f, tfresource.TestCase{
		Steps: []tfresource.TestStep{
			{
				Config:           hcl(),
				ConfigPlanChecks: expectAction(plancheck.ResourceActionCreate),
				ConfigStateChecks: append(expectState("zk2", inSync),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("id"), knownvalue.StringExact(bootstrap.ClusterID("main", nil))),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("connect_string"), knownvalue.StringExact("10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181"))),
			},
			planOnly(hcl()),
		},
		CheckDestroy: func(*terraform.State) error {
			for host, m := range f.machines {
				if f.stands(host) || m.Thing(toyConf) != nil {
					return fmt.Errorf("%s: things of ours are left", host)
				}
				if m.Thing(toyData) == nil {
					return fmt.Errorf("%s: the data is gone although nobody asked to wipe it", host)
				}
			}
			return nil
		},
	})
}

func TestDestroyThatWipes(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	terraformTest(t, f, tfresource.TestCase{
		Steps: []tfresource.TestStep{{Config: hcl(`on_destroy = { wipe_data = true }`)}},
		CheckDestroy: func(*terraform.State) error {
			for host, m := range f.machines {
				if m.Thing(toyData) != nil {
					return fmt.Errorf("%s: the data is left", host)
				}
			}
			return nil
		},
	})
}

func TestDriftOfOneHostIsAnUpdateThatNamesIt(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	var before int
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl()},
		{
			PreConfig: func() {
				before = len(f.machines["zk1"].Applied())
				f.machines["zk2"].Set(bootstrap.File{Path: toyConf.Name(), Content: "edited\n", Mode: 0o644, Owner: "root", Group: "root"})
			},
			Config: hcl(),
			ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				expectBefore{"zk2", "update file /etc/toy/toy.conf"}, expectBefore{"zk1", inSync}, expectBefore{"zk3", inSync},
				plancheck.ExpectKnownValue(address, tfjsonpath.New("hosts_state").AtMapKey("zk2"), knownvalue.StringExact(inSync)),
			}},
			ConfigStateChecks: expectState("zk2", inSync),
		},
		{
			PreConfig: func() {
				if n := len(f.machines["zk1"].Applied()); n != before {
					t.Errorf("zk1 was changed by %d steps", n-before)
				}
			},
			Config: hcl(), PlanOnly: true,
		},
	}})
}

// expectBefore checks what the plan says of a host as it was found.
type expectBefore struct{ host, is string }

func (e expectBefore) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	for _, rc := range req.Plan.ResourceChanges {
		before, _ := rc.Change.Before.(map[string]any)
		hosts, _ := before["hosts_state"].(map[string]any)
		if rc.Address == address && hosts[e.host] != e.is {
			resp.Error = fmt.Errorf("hosts_state[%q] before: %v, want %q", e.host, hosts[e.host], e.is)
		}
	}
}

func TestChangedConfigurationNamesTheHostsItChanges(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl()},
		{
			Config: hcl(`config = { tickTime = "3000" }`),
			ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectUnknownValue(address, tfjsonpath.New("hosts_state").AtMapKey("zk1")),
				plancheck.ExpectKnownValue(address, tfjsonpath.New("id"), knownvalue.NotNull()),
			}},
			ConfigStateChecks: expectState("zk1", inSync),
		},
		planOnly(hcl(`config = { tickTime = "3000" }`)),
	}})
}

func TestAnotherWayToAHostChangesNothingThere(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	moved := strings.Replace(hcl(), `address = "10.0.0.2"`, `address = "10.0.0.2", ssh = { address = "203.0.113.2" }`, 1)
	var before int
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl()},
		{
			PreConfig: func() { before = len(f.machines["zk2"].Applied()) },
			Config:    moved,
			ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(address, tfjsonpath.New("hosts_state").AtMapKey("zk2"), knownvalue.StringExact(inSync)),
			}},
			Check: func(*terraform.State) error {
				if got := f.reached("zk2").Address; got != "203.0.113.2" {
					return fmt.Errorf("zk2 was reached at %q", got)
				}
				if n := len(f.machines["zk2"].Applied()); n != before {
					return fmt.Errorf("zk2 was changed by %d steps", n-before)
				}
				return nil
			},
		},
		planOnly(moved),
	}})
}

// A create that breaks is tainted, and Terraform plans destroy and create. The data and the
// services that the first one left must not notice.
func TestFailedCreateIsResumed(t *testing.T) {
	for name, lifecycle := range map[string]string{
		"destroy, then create": "",
		"create, then destroy": `lifecycle { create_before_destroy = true }`,
		"protected":            `deletion_protection = true`,
		"wiping":               `on_destroy = { wipe_data = true }`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet("zk1", "zk2", "zk3")
			config := hcl(lifecycle)
			steps := map[string]int{}
			done := []tfresource.TestStep{
				{
					PreConfig:   func() { f.machines["zk2"].CutAfter(3) },
					Config:      config,
					ExpectError: regexp.MustCompile(`(?s)zk2: .*connection cut`),
				},
				{
					PreConfig: func() {
						f.machines["zk2"].CutAfter(-1)
						for host, m := range f.machines {
							steps[host] = len(m.Applied())
						}
						if !f.stands("zk1") {
							t.Fatal("this test proves nothing: zk1 had no service to lose")
						}
					},
					Config: config,
					Check: func(*terraform.State) error {
						for host := range f.machines {
							if gone := f.taken(host, steps[host]); len(gone) > 0 {
								return fmt.Errorf("%s: taken away on the way: %v", host, gone)
							}
							if !f.stands(host) {
								return fmt.Errorf("%s: the service does not run", host)
							}
						}
						return nil
					},
					ConfigStateChecks: expectState("zk2", inSync),
				},
				planOnly(config),
			}
			if name == "protected" {
				done = append(done, tfresource.TestStep{Config: hcl()})
			}
			terraformTest(t, f, tfresource.TestCase{Steps: done})
		})
	}
}

func TestRefusedHardwareLeavesNoState(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	f.machines["zk3"].Probes = func(verify.Query) (verify.Result, error) { return disk(5000), nil }
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl(), ExpectError: regexp.MustCompile(`zk3: disk.fsync`)},
		{
			PreConfig: func() {
				f.machines["zk3"].Probes = func(verify.Query) (verify.Result, error) { return disk(0.2), nil }
			},
			Config: hcl(), ConfigPlanChecks: expectAction(plancheck.ResourceActionCreate), // not a replacement
		},
	}})
}

func TestFailedUpdateIsNotWrittenDown(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	changed := hcl(`config = { tickTime = "3000" }`)
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl()},
		{PreConfig: func() { f.machines["zk2"].CutAfter(1) }, Config: changed, ExpectError: regexp.MustCompile(`(?s)zk2: .*connection cut`)},
		{
			PreConfig: func() { f.machines["zk2"].CutAfter(-1) }, Config: changed,
			ConfigPlanChecks: expectAction(plancheck.ResourceActionUpdate), ConfigStateChecks: expectState("zk2", inSync),
		},
		planOnly(changed),
	}})
}

func TestOneHostDown(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	ignoring := hcl(`on_destroy = { ignore_unreachable = true }`)
	terraformTest(t, f, tfresource.TestCase{
		Steps: []tfresource.TestStep{
			{Config: hcl()},
			{PreConfig: func() { f.setDown("zk3") }, Config: hcl(), PlanOnly: true}, // no phantom create
			{Config: hcl(`config = { tickTime = "3000" }`), ExpectError: regexp.MustCompile(`(?s)zk3: .*no route to zk3`)},
			{Config: hcl(), Destroy: true, ExpectError: regexp.MustCompile(`(?s)zk3: .*ignore_unreachable`)},
			{Config: ignoring, ConfigPlanChecks: expectAction(plancheck.ResourceActionUpdate)}, // with the host still down
			planOnly(ignoring),
		},
		CheckDestroy: func(*terraform.State) error {
			if f.stands("zk1") || f.stands("zk2") || !f.stands("zk3") {
				return fmt.Errorf("the service stands on zk1: %v, zk2: %v, zk3: %v", f.stands("zk1"), f.stands("zk2"), f.stands("zk3"))
			}
			return nil
		},
	})
}

func TestWhatWasTakenAwayByHandIsCreatedAgain(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl()},
		{
			PreConfig: func() {
				for host := range f.machines {
					f.machines[host] = newFleet(host).machines[host]
				}
			},
			Config: hcl(), ConfigPlanChecks: expectAction(plancheck.ResourceActionCreate),
		},
	}})
}

func TestDeletionProtection(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	on := hcl(`deletion_protection = true`)
	renamed := strings.Replace(on, `"main"`+"\n", `"other"`+"\n", 1)
	renamed = strings.Replace(renamed, `name     = "main"`, `name     = "other"`, 1)
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: on},
		{Config: on, Destroy: true, ExpectError: regexp.MustCompile(`deletion_protection = false`)},
		{Config: renamed, ExpectError: regexp.MustCompile(`deletion_protection = false`)},
		{Config: hcl(), ConfigPlanChecks: expectAction(plancheck.ResourceActionUpdate)},
	}})
}

func TestAnotherNameIsAnotherEnsemble(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl()},
		{
			Config:           strings.Replace(hcl(), `name     = "main"`, `name     = "other"`, 1),
			ConfigPlanChecks: expectAction(plancheck.ResourceActionDestroyBeforeCreate),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("id"), knownvalue.StringExact(bootstrap.ClusterID("other", nil)))},
		},
	}})
}

func TestFaultsAreShownAtTheirAttribute(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		want   string
	}{
		"unknown config key": {hcl(`config = { tickTme = "2000" }`), `(?s)config\["tickTme"\].*unknown key "tickTme"`},
		"even voters": {strings.Replace(hcl(), `, zk3 = { id = 3 }`, "", 1), `(?s)on \S+ line \d+, in resource "zkboot_ensemble" "main":.*members = .*` +
			`want\s+an\s+odd\s+number\s+of\s+voters,\s+found\s+2`},
		"bad address":  {strings.Replace(hcl(), "10.0.0.2", "ten", 1), `(?s)hosts\["zk2"\].address.*found\s+"ten"`},
		"bad heap":     {hcl(`heap = "1GB"`), `(?s)heap.*"1GB"\s+is\s+not\s+a\s+size`},
		"bad patience": {`provider "zkboot" { ssh = { patience = "soon" } }` + hcl(), `(?s)ssh.patience.*is\s+not\s+a\s+duration`},
		"bad port":     {`provider "zkboot" { ssh = { port = 70000 } }` + hcl(), `(?s)ssh.port.*want\s+a\s+port`},
	} {
		t.Run(name, func(t *testing.T) {
			terraformTest(t, newFleet(), tfresource.TestCase{Steps: []tfresource.TestStep{
				{Config: c.config, PlanOnly: true, ExpectError: regexp.MustCompile(c.want)},
			}})
		})
	}
}

// Addresses and the way to the hosts come from what is made in the same apply.
func TestUnknownValuesWhenPlanning(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	config := `
resource "terraform_data" "address" { input = "10.0.0.2" }
resource "terraform_data" "user" { input = "debian" }
provider "zkboot" { ssh = { user = terraform_data.user.output } }
` + strings.Replace(hcl(), `"10.0.0.2"`, `terraform_data.address.output`, 1)
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{
			Config: config,
			ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectUnknownValue(address, tfjsonpath.New("connect_string"))}},
		},
		planOnly(config),
	}})
}

// A name that is not known cannot be told from another name, which would take the ensemble.
func TestNameMustBeKnownForWhatStands(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	named := func(name string) string {
		return fmt.Sprintf("resource \"terraform_data\" \"name\" { input = %q }\n", name) +
			strings.Replace(hcl(), `name     = "main"`, `name = terraform_data.name.output`, 1)
	}
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: named("main")},
		{Config: named("other"), ExpectError: regexp.MustCompile(`must\s+be\s+known\s+when\s+planning`)},
		planOnly(named("main")),
	}})
}

// What a provider that was killed has left is taken over, not made again.
func TestLostStateIsNoLostEnsemble(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	if err := f.stand(t).Close(); err != nil {
		t.Fatal(err)
	}
	before := len(f.machines["zk1"].Applied())
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{
			Config: hcl(), ConfigPlanChecks: expectAction(plancheck.ResourceActionCreate),
			Check: func(*terraform.State) error {
				if n := len(f.machines["zk1"].Applied()); n != before {
					return fmt.Errorf("zk1 was changed by %d steps", n-before)
				}
				return nil
			},
			ConfigStateChecks: expectState("zk1", inSync),
		},
		planOnly(hcl()),
	}})
}

// A create that failed at its proof has nothing left to change, and must not pass for that.
func TestResumedCreateIsProven(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	f.role.proof = &verify.Check{ID: "ensemble.quorum", Verdict: verify.Fail, Text: "no quorum", Why: "zk3 is cut off", Hint: "let it in"}
	failed := regexp.MustCompile(`(?s)ensemble.quorum.*no quorum: zk3 is cut off.*Next: let it in`)
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl(), ExpectError: failed},
		{Config: hcl(), ExpectError: failed},
		{PreConfig: func() { f.role.proof.Verdict = verify.Pass }, Config: hcl()},
		planOnly(hcl()),
	}})
}

// One process serves all resources: they must not get in each other's way.
func TestTwoEnsemblesInOneApply(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3", "b1", "b2", "b3")
	second := strings.NewReplacer(`"zkboot_ensemble" "main"`, `"zkboot_ensemble" "second"`, `"main"`, `"second"`,
		"zk1", "b1", "zk2", "b2", "zk3", "b3", "10.0.0.", "10.0.1.").Replace(hcl())
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl() + second, ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue("zkboot_ensemble.second", tfjsonpath.New("id"), knownvalue.StringExact(bootstrap.ClusterID("second", nil))),
			statecheck.ExpectKnownValue(address, tfjsonpath.New("id"), knownvalue.StringExact(bootstrap.ClusterID("main", nil))),
		}},
		planOnly(hcl() + second),
	}})
}

// A second apply at the same time is told who holds the hosts.
func TestLockedByAnother(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	other := f.machines["zk2"].Open()
	if err := other.Lock(t.Context(), "somebody@elsewhere"); err != nil {
		t.Fatal(err)
	}
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl(), ExpectError: regexp.MustCompile(`(?s)zk2: lock.*somebody@elsewhere`)},
		{PreConfig: func() { _ = other.Close() }, Config: hcl()},
		planOnly(hcl()),
	}})
}
