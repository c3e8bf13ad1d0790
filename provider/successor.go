package provider

import (
	"context"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// successorKey is where ModifyPlan leaves its note for Delete in private state.
const successorKey = "successor"

// successor says what is to stand where an ensemble is deleted. Delete cannot see by itself
// whether a person asked for it or whether it is one leg of a replacement, and the second
// must cost nothing: Terraform taints what a create left half-done and then plans destroy
// and create (https://github.com/hashicorp/terraform/issues/16205), which would take away
// the very progress that the next create goes on from.
//
// What Terraform 1.11.4 does, tried with every kind of destroy:
//   - A destroy, and a removal from the configuration: ModifyPlan runs with a null plan, in
//     the plan's walk, and its private state reaches Delete, from a saved plan too.
//   - Tainted, or -replace, or another name: ModifyPlan never runs with a null plan. Its
//     last call has a null prior state, and its private state reaches Delete. The private
//     state of a tainted object itself is lost on the way, so a mark that Create leaves
//     there cannot be told from none.
//   - create_before_destroy: the object that was replaced is deposed, and ModifyPlan runs
//     with a null plan for it within the walk that applies, just before Delete.
type successor struct {
	Destroy bool   `json:"destroy"`        // nothing is to stand there
	Name    string `json:"name,omitempty"` // of the ensemble that is to stand there; "" while unknown
	Walk    string `json:"walk"`           // which walk left the note
}

// continues reports whether the ensemble of that name, deleted in the given walk, goes on
// under another object of Terraform's state, so that Delete has to leave it alone.
func (s successor) continues(name, walk string) bool {
	if s.Destroy {
		return s.Walk == walk
	}
	return s.Name == name || s.Name == ""
}

// private is the part of private state that is needed here.
type private interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

func (s successor) save(ctx context.Context, to private) diag.Diagnostics {
	b, err := json.Marshal(s)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("zkboot", "encoding private state: "+err.Error())}
	}
	return to.SetKey(ctx, successorKey, b)
}

// loadSuccessor reads the note. Without one, Terraform planned in a way that is not known
// here, and the ensemble is left alone.
func loadSuccessor(ctx context.Context, from private) (successor, diag.Diagnostics) {
	var s successor
	b, diags := from.GetKey(ctx, successorKey)
	if diags.HasError() || b == nil {
		return s, diags
	}
	if err := json.Unmarshal(b, &s); err != nil {
		diags.AddError("zkboot", "reading private state: "+err.Error())
	}
	return s, diags
}
