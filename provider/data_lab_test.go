//go:build lab

package provider

import (
	"regexp"
	"testing"

	tfresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// statusHCL hands over the attributes of the ensemble as they are.
const statusHCL = `
data "zkboot_status" "main" {
  name    = zkboot_ensemble.main.name
  hosts   = zkboot_ensemble.main.hosts
  members = zkboot_ensemble.main.members
}
`

func TestStatusBesideAnEnsemble(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	says := func(name string, is knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue("data.zkboot_status.main", tfjsonpath.New(name), is)
	}
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: hcl() + statusHCL, ConfigStateChecks: []statecheck.StateCheck{says("leader", knownvalue.StringExact("zk1")), says("healthy", knownvalue.Bool(true))}},
		planOnly(hcl() + statusHCL),
		{ // a dead leader is told, changes no plan of the ensemble, and is no error
			PreConfig: func() { f.setDown("zk1") }, Config: hcl() + statusHCL,
			ConfigPlanChecks: expectAction(plancheck.ResourceActionNoop),
			ConfigStateChecks: []statecheck.StateCheck{says("leader", knownvalue.StringExact("zk2")), says("healthy", knownvalue.Bool(false)), says("quorum", knownvalue.Bool(true)),
				statecheck.ExpectKnownValue("data.zkboot_status.main", tfjsonpath.New("servers").AtMapKey("zk1").AtMapKey("mode"), knownvalue.StringExact("down"))},
		},
		{PreConfig: func() { f.setDown() }, Config: hcl()},
	}})
}

// verifyHCL is a check block: it warns, and changes nothing.
const verifyHCL = `
check "site" {
  data "zkboot_verify" "main" {
    name     = "main"
    hardware = { profile = "lab" }
    hosts    = zkboot_ensemble.main.hosts
    members  = zkboot_ensemble.main.members
    source   = zkboot_ensemble.main.source
  }
  assert {
    condition     = data.zkboot_verify.main.ok
    error_message = join("; ", [for f in data.zkboot_verify.main.findings : "${f.at}: ${f.check}: ${f.why}" if f.verdict == "fail"])
  }
}
`

func TestVerifyInACheckBlock(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		// Terraform reads what a check block holds in every apply, so that no plan is empty.
		{Config: hcl() + verifyHCL, ExpectNonEmptyPlan: true},
		{PreConfig: func() { f.setDown("zk3") }, Config: hcl() + verifyHCL, ExpectNonEmptyPlan: true, ConfigPlanChecks: expectAction(plancheck.ResourceActionNoop)},
		{ // the same outside of a check block, to be read
			Config: hcl() + `
data "zkboot_verify" "main" {
  name     = "main"
  hardware = { profile = "lab" }
  hosts    = zkboot_ensemble.main.hosts
  members  = zkboot_ensemble.main.members
  source   = zkboot_ensemble.main.source
  lifecycle {
    postcondition {
      condition     = self.ok
      error_message = join("; ", [for f in self.findings : "${f.at}: ${f.check}: ${f.why}" if f.verdict == "fail"])
    }
  }
}
`, PlanOnly: true, ExpectError: regexp.MustCompile(`host zk3: host.reachable: (?s).*no\s+route\s+to\s+zk3`),
		},
		{PreConfig: func() { f.setDown() }, Config: hcl()},
	}})
}

func TestCloudinitUnderTerraform(t *testing.T) {
	f := newFleet("zk1", "zk2", "zk3")
	f.ensemble = zookeeper.New()
	config := `
data "zkboot_cloudinit" "zk2" {
  host                = "zk2"
  name                = "main"
  hosts               = { for i in [1, 2, 3] : "zk${i}" => { address = "10.0.0.${i}" } }
  members             = { for i in [1, 2, 3] : "zk${i}" => { id = i } }
  source              = { apt = {} }
  accept_known_issues = ["ZOOKEEPER-4785"]
  login               = { user = "admin", authorized_keys = ["ssh-ed25519 AAAA me"] }
}
output "size" {
  value = length(data.zkboot_cloudinit.zk2.user_data)
}
`
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: config, ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue("data.zkboot_cloudinit.zk2", tfjsonpath.New("user_data"), knownvalue.StringRegexp(regexp.MustCompile(`(?s)^#cloud-config.*name: "admin"`))),
			statecheck.ExpectKnownOutputValue("size", knownvalue.NotNull())}},
		planOnly(config),
	}})
}
