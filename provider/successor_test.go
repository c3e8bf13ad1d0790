package provider

import (
	"context"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// The notes are those that Terraform 1.11.4 was seen to deliver.
func TestWhoContinuesAnEnsemble(t *testing.T) {
	for name, c := range map[string]struct {
		note      successor
		continues bool
	}{
		"asked for by a person":                 {successor{Destroy: true, Walk: "plan"}, false},
		"tainted, or -replace":                  {successor{Name: "main", Walk: "apply"}, true},
		"another name":                          {successor{Name: "other", Walk: "apply"}, false},
		"tainted, name not known when planning": {successor{Walk: "apply"}, true},
		"deposed by create_before_destroy":      {successor{Destroy: true, Walk: "apply"}, true},
		"no note at all":                        {successor{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.note.continues("main", "apply"); got != c.continues {
				t.Errorf("continues: %v", got)
			}
		})
	}
}

type memory map[string][]byte

func (m memory) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) { return m[key], nil }

func (m memory) SetKey(_ context.Context, key string, v []byte) diag.Diagnostics {
	m[key] = v
	return nil
}

func TestNoteSurvivesPrivateState(t *testing.T) {
	m := memory{}
	want := successor{Destroy: true, Name: "main", Walk: "w"}
	if diags := want.save(t.Context(), m); diags.HasError() {
		t.Fatal(diags)
	}
	got, diags := loadSuccessor(t.Context(), m)
	if diags.HasError() || got != want {
		t.Errorf("got %+v, %v", got, diags)
	}
	m[successorKey] = []byte(`"x"`)
	if _, diags := loadSuccessor(t.Context(), m); !diags.HasError() {
		t.Error("a note that cannot be read is no error")
	}
}
