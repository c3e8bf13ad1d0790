//go:build lab

package provider

import (
	"context"
	"fmt"
	"strings"
	"testing"

	tfresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/zkboot/zkboot/bootstrap"
)

// expectThings checks which things of which hosts a plan changes, as "host id", and that it
// knows all it says of them.
type expectThings []string

func (e expectThings) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	for _, rc := range req.Plan.ResourceChanges {
		if rc.Address != address {
			continue
		}
		before, _ := rc.Change.Before.(map[string]any)
		after, _ := rc.Change.After.(map[string]any)
		was, _ := before["things"].(map[string]any)
		is, _ := after["things"].(map[string]any)
		if len(was) != 3 || len(is) != 3 {
			resp.Error = fmt.Errorf("things of three hosts: %v before, %v after", was, is)
			return
		}
		found := map[string]bool{}
		for host := range is {
			a, _ := was[host].(map[string]any)
			b, known := is[host].(map[string]any)
			if !known {
				resp.Error = fmt.Errorf("%s: not known", host)
				return
			}
			for id := range b {
				if a[id] != b[id] {
					found[host+" "+id] = true
				}
			}
			for id := range a {
				if _, stays := b[id]; !stays {
					found[host+" "+id] = true
				}
			}
		}
		for _, want := range e {
			if !found[want] {
				resp.Error = fmt.Errorf("the plan does not show %s: %v", want, found)
			}
			delete(found, want)
		}
		if len(found) > 0 {
			resp.Error = fmt.Errorf("the plan shows more: %v", found)
		}
	}
}

func TestPlanShowsChangesByHostAndThing(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	thing := func(host string, id bootstrap.ID) tfjsonpath.Path {
		return tfjsonpath.New("things").AtMapKey(host).AtMapKey(string(id))
	}
	same := statecheck.CompareValue(sameValue{})
	changed := hcl(`config = { tickTime = "3000" }`)
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl(), ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(address, thing("zk2", toyConf)),
			statecheck.ExpectKnownValue(address, thing("zk1", toyData), knownvalue.NotNull())}},
		planOnly(hcl()),
		{ // drift: one file of one host, and back
			PreConfig: func() {
				f.machines["zk2"].Set(bootstrap.File{Path: toyConf.Name(), Content: "edited\n", Mode: 0o644, Owner: "root", Group: "root"})
				f.machines["zk3"].Remove(toyConf)
			},
			Config: hcl(), ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				expectThings{"zk2 " + string(toyConf), "zk3 " + string(toyConf)}}},
			ConfigStateChecks: []statecheck.StateCheck{same.AddStateValue(address, thing("zk2", toyConf))},
		},
		planOnly(hcl()),
		{ // a change that is wanted
			Config: changed, ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{expectThings{
				"zk1 " + string(toyConf), "zk2 " + string(toyConf), "zk3 " + string(toyConf),
				"zk1 " + string(toyUnit), "zk2 " + string(toyUnit), "zk3 " + string(toyUnit)}}},
		},
		planOnly(changed),
		{ // what is Terraform's own business changes nothing there
			Config:           strings.Replace(changed, `name     =`, "deletion_protection = false\n  name     =", 1),
			ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{expectThings{}}},
		},
	}})
}

type sameValue struct{}

func (sameValue) CompareValues(values ...any) error {
	for _, v := range values {
		if v != values[0] {
			return fmt.Errorf("%v, and then %v", values[0], v)
		}
	}
	return nil
}

// The way to the hosts may become known only in the apply, for which Terraform plans once more.
func TestOwnAttributeChangesWhileTheWayIsUnknown(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	config := func(user, line string) string {
		return fmt.Sprintf("resource \"terraform_data\" \"user\" { input = %q }\nprovider \"zkboot\" { ssh = { user = terraform_data.user.output } }\n", user) + hcl(line)
	}
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: config("debian", "")},
		{Config: config("admin", `deletion_protection = false`), ConfigStateChecks: expectState("zk2", inSync)},
		planOnly(config("admin", `deletion_protection = false`)),
	}})
}

// A host that joins has yet to be judged, so that what comes to stand there is not known; the
// others are. One that leaves is missing.
func TestThingsOfHostsThatJoinAndLeave(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	one := `
resource "zkboot_ensemble" "main" {
  name     = "main"
  hardware = { profile = "lab" }
  hosts    = { zk1 = { address = "10.0.0.1" } }
  members  = { zk1 = { id = 1 } }
  source   = { apt = {} }
}
`
	of := func(host string) tfjsonpath.Path { return tfjsonpath.New("things").AtMapKey(host) }
	conf := func(host string) tfjsonpath.Path { return of(host).AtMapKey(string(toyConf)) }
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: one},
		{
			Config: hcl(), ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(address, conf("zk1"), knownvalue.NotNull()), plancheck.ExpectUnknownValue(address, of("zk2")),
				plancheck.ExpectUnknownValue(address, of("zk3"))}},
			ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue(address, conf("zk3"), knownvalue.NotNull())},
		},
		planOnly(hcl()),
		{Config: one, ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue(address, tfjsonpath.New("things"), knownvalue.MapSizeExact(1))}},
		planOnly(one),
	}})
}
