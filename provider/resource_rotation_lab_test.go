//go:build lab

package provider

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	tfresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/zkboot/zkboot/bootstrap"
)

const rotationAt = "zkboot_host_key_rotation.zk1"

func rotationOf(lines string) string {
	return fmt.Sprintf("resource \"zkboot_host_key_rotation\" \"zk1\" {\n  address  = \"10.0.0.1\"\n  host_key = %q\n  %s\n}\n", userDataKey, lines)
}

// What replaces the resource, what changes the way to its host alone, and what does neither.
func TestRotationUnderTerraform(t *testing.T) {
	binary, err := exec.LookPath("terraform")
	if at := os.Getenv("TF_ACC_TERRAFORM_PATH"); at != "" {
		binary, err = at, nil
	}
	if err != nil {
		t.Fatalf("the lab tests need Terraform on PATH, or TF_ACC_TERRAFORM_PATH: %v", err)
	}
	t.Setenv("TF_ACC_TERRAFORM_PATH", binary)
	t.Setenv("TF_CLI_CONFIG_FILE", os.DevNull)
	t.Setenv("CHECKPOINT_DISABLE", "1")
	k := newKeyed()
	p := k.provider()
	reach := p.Reach
	p.Reach = func(c Contact) func(context.Context, *bootstrap.Spec, string) (bootstrap.Host, error) {
		// Once the resource has given the machine up, the machine is made anew.
		if did := k.machines["zk1"].Applied(); len(did) > 0 && did[len(did)-1].Action == bootstrap.ActionRelease {
			k.has(userDataKey)
		}
		return reach(c)
	}
	key := statecheck.CompareValue(sameValue{})
	same := func() statecheck.StateCheck {
		return key.AddStateValue(rotationAt, tfjsonpath.New("public_key"))
	}
	does := func(a plancheck.ResourceActionType) tfresource.ConfigPlanChecks {
		return tfresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(rotationAt, a)}}
	}
	tfresource.UnitTest(t, tfresource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){
			"zkboot": func() (tfprotov6.ProviderServer, error) { return providerserver.NewProtocol6(p)(), nil },
		},
		Steps: []tfresource.TestStep{
			{Config: rotationOf(`host_key_ = ""`), PlanOnly: true, ExpectError: regexp.MustCompile(`host_key_`)},
			{Config: rotationOf(""), ConfigPlanChecks: does(plancheck.ResourceActionCreate), ConfigStateChecks: []statecheck.StateCheck{same()}},
			planOnly(rotationOf("")),
			{Config: rotationOf(`ssh = { port = 2222 }`), ConfigPlanChecks: does(plancheck.ResourceActionUpdate), ConfigStateChecks: []statecheck.StateCheck{same()}},
			{PreConfig: func() { k.setDown("zk1") }, Config: rotationOf(`ssh = { port = 2222 }`), PlanOnly: true}, // no phantom create
			{PreConfig: func() { k.setDown() }, Config: rotationOf(`keepers = { machine = "2" }`), ConfigPlanChecks: does(plancheck.ResourceActionDestroyBeforeCreate),
				ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue(rotationAt, tfjsonpath.New("public_key"), knownvalue.StringRegexp(regexp.MustCompile("^ssh-ed25519 ")))}},
			planOnly(rotationOf(`keepers = { machine = "2" }`)),
			// The key of user-data is back: no plan of its own logs in there.
			{PreConfig: func() { k.has(userDataKey) }, Config: rotationOf(`keepers = { machine = "2" }`), PlanOnly: true},
			{Config: rotationOf(`keepers = { machine = "3" }`), ConfigPlanChecks: does(plancheck.ResourceActionDestroyBeforeCreate)},
			planOnly(rotationOf(`keepers = { machine = "3" }`)),
		},
	})
	if k.key().Public == userDataKey {
		t.Error("the host has the key of user-data at the end")
	}
}
