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

	"github.com/zkboot/zkboot/bootstrap"
)

func importing(id string) string {
	return fmt.Sprintf("import {\n  to = %s\n  id = %q\n}\n", address, id)
}

// plain is hcl without what no host keeps.
func plain(lines ...string) string {
	return strings.Replace(hcl(lines...), `  hardware = { profile = "lab" }`+"\n", "", 1)
}

func TestImportOfWhatTheConfigurationSays(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	f.role.whole = f.byID
	if err := f.stand(t).Close(); err != nil {
		t.Fatal(err)
	}
	before := len(f.machines["zk1"].Applied())
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: plain() + importing("10.0.0.2"), ConfigPlanChecks: expectAction(plancheck.ResourceActionNoop), ConfigStateChecks: expectState("zk3", inSync),
			Check: func(*terraform.State) error {
				if n := len(f.machines["zk1"].Applied()); n != before {
					return fmt.Errorf("zk1 was changed by %d steps", n-before)
				}
				return nil
			}},
		planOnly(plain()),
		{ResourceName: address, ImportState: true, ImportStateId: "10.0.0.2/main", ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name"},
	}})
}

// What no host keeps is an update, in which things tells that no host is changed by it.
func TestImportWithAnHonestDifference(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	f.role.whole = f.byID
	if err := f.stand(t).Close(); err != nil {
		t.Fatal(err)
	}
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl() + importing("debian@10.0.0.2:22"), ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
			plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate), expectThings{}}}},
		planOnly(hcl()),
		{ // and what would change them is told by host and thing
			PreConfig: func() {
				f.machines["zk3"].Set(bootstrap.File{Path: toyConf.Name(), Content: "edited\n", Mode: 0o644, Owner: "root", Group: "root"})
			},
			Config: hcl(), ConfigPlanChecks: tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{expectThings{"zk3 " + string(toyConf)}}},
		},
	}})
}

func TestImportThatCannotBe(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	f.role.whole = f.byID
	for name, c := range map[string]struct {
		id, want string
		down     []string
	}{
		"nothing there":      {"10.0.0.1", `want\s+a\s+host\s+with\s+an\s+ensemble\s+of\s+zkboot's(?s).*Next:`, nil},
		"it does not answer": {"10.0.0.1", `no\s+route\s+to\s+zk1`, []string{"zk1"}},
		"no id":              {"10.0.0.1:ssh", `want\s+\[user@\]host\[:port\]\[/name\]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f.setDown(c.down...)
			terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
				{Config: plain() + importing(c.id), PlanOnly: true, ExpectError: regexp.MustCompile(c.want)}}})
		})
	}
	t.Run("a sidecar", func(t *testing.T) {
		terraformTest(t, newFleet("app1"), tfresource.TestCase{Steps: []tfresource.TestStep{{
			Config:   sidecarHCL(oneApp) + fmt.Sprintf("import {\n  to = %s\n  id = \"10.0.0.101\"\n}\n", sidecarAddress),
			PlanOnly: true, ExpectError: regexp.MustCompile(`(?i)import`)}}})
	})
}
