//go:build lab

package provider

import (
	"os"
	"strings"
	"testing"

	tfresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// The first thing that the README shows is a whole configuration, and a short one.
func TestReadmeShowsAConfigurationThatWorks(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```hcl\n")
	shown, _, ok := strings.Cut(rest, "```\n")
	if lines := strings.Count(shown, "\n"); !ok || lines == 0 || lines >= 20 {
		t.Fatalf("README.md shows %d lines of HCL first, want 1 to 19:\n%s", lines, shown)
	}
	t.Setenv("TF_ACC_PROVIDER_NAMESPACE", "zkboot") // the one that it names as its source
	config := shown + stillThere
	terraformTest(t, newFleet("zk1", "zk2", "zk3", "app1", "app2"), tfresource.TestCase{Steps: []tfresource.TestStep{
		{Config: config},
		planOnly(config),
	}})
}

// stillThere has the test end with an error where the configuration makes anything less.
const stillThere = `
output "checked" {
  value = [zkboot_ensemble.main.hosts_state["zk3"], zkboot_sidecar.app.hosts_state["app2"]]
  precondition {
    condition     = zkboot_ensemble.main.hosts_state["zk3"] == "in sync" && zkboot_sidecar.app.hosts_state["app2"] == "in sync"
    error_message = "not in sync"
  }
}
`
