// Package absent stands where a remote state backend would be. Terraform keeps most of them in modules
// of their own, which the Go module proxy does not have; the tests keep their state in files.
package absent

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"github.com/hashicorp/terraform/internal/backend"
	"github.com/hashicorp/terraform/internal/backend/backendbase"
	"github.com/hashicorp/terraform/internal/configs/configschema"
	"github.com/hashicorp/terraform/internal/states/statemgr"
	"github.com/hashicorp/terraform/internal/tfdiags"
)

type absent struct {
	backendbase.Base
	name string
}

// New is a backend that refuses to be configured.
func New(name string) backend.Backend {
	return &absent{Base: backendbase.Base{Schema: &configschema.Block{}}, name: name}
}

func (a *absent) err() error {
	return fmt.Errorf("this Terraform is built for tests, without the %q backend; use the local one, or a released Terraform", a.name)
}

func (a *absent) diagnostics() tfdiags.Diagnostics {
	return tfdiags.Diagnostics{}.Append(a.err())
}

func (a *absent) Configure(cty.Value) tfdiags.Diagnostics { return a.diagnostics() }

func (a *absent) StateMgr(string) (statemgr.Full, tfdiags.Diagnostics) { return nil, a.diagnostics() }

func (a *absent) DeleteWorkspace(string, bool) tfdiags.Diagnostics { return a.diagnostics() }

func (a *absent) Workspaces() ([]string, tfdiags.Diagnostics) { return nil, a.diagnostics() }
