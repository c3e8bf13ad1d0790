//go:build lab

package provider

import (
	"fmt"
	"regexp"
	"testing"

	tfresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// A key pair is made once, gets into user-data, is pinned, and changes only when told to.
func TestHostKeyForFirstBoot(t *testing.T) {
	const at = "zkboot_host_key.zk1"
	config := func(lines string) string {
		return fmt.Sprintf(`
resource "zkboot_host_key" "zk1" {
  %s
}
data "zkboot_cloudinit" "zk1" {
  host                = "zk1"
  name                = "main"
  hosts               = { zk1 = { address = "10.0.0.1", host_key = zkboot_host_key.zk1.public_key } }
  members             = { zk1 = { id = 1 } }
  source              = { apt = {} }
  accept_known_issues = ["ZOOKEEPER-4785"]
  login               = { user = "admin", authorized_keys = ["ssh-ed25519 AAAA me"] }
  host_private_keys   = [zkboot_host_key.zk1.private_key]
}
`, lines)
	}
	f := newFleet("zk1")
	f.ensemble = zookeeper.New()
	key := statecheck.CompareValue(sameValue{})
	same := func() statecheck.StateCheck { return key.AddStateValue(at, tfjsonpath.New("public_key")) }
	does := func(a plancheck.ResourceActionType, more ...plancheck.PlanCheck) tfresource.ConfigPlanChecks {
		return tfresource.ConfigPlanChecks{PreApply: append(more, plancheck.ExpectResourceAction(at, a))}
	}
	terraformTest(t, f, tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: config(""), ConfigStateChecks: []statecheck.StateCheck{same(),
			statecheck.ExpectSensitiveValue(at, tfjsonpath.New("private_key")), statecheck.ExpectKnownValue(at, tfjsonpath.New("known_hosts"), knownvalue.Null()),
			statecheck.ExpectKnownValue("data.zkboot_cloudinit.zk1", tfjsonpath.New("user_data"), knownvalue.Null()),
			statecheck.ExpectKnownValue("data.zkboot_cloudinit.zk1", tfjsonpath.New("sensitive_user_data"), knownvalue.StringRegexp(regexp.MustCompile("OPENSSH PRIVATE KEY")))}},
		planOnly(config("")),
		{Config: config(`addresses = ["203.0.113.11"]`), ConfigPlanChecks: does(plancheck.ResourceActionUpdate,
			plancheck.ExpectKnownValue(at, tfjsonpath.New("known_hosts"), knownvalue.StringRegexp(regexp.MustCompile(`^203\.0\.113\.11 ssh-ed25519 `)))),
			ConfigStateChecks: []statecheck.StateCheck{same()}},
		planOnly(config(`addresses = ["203.0.113.11"]`)),
		{Config: config(`addresses = ["*"]`), PlanOnly: true, ExpectError: regexp.MustCompile(`(?s)addresses.*want\s+an\s+IP\s+address.*found\s+"\*"`)},
		{Config: config(`keepers = { image = "2" }`), ConfigPlanChecks: does(plancheck.ResourceActionDestroyBeforeCreate)},
	}})
}
