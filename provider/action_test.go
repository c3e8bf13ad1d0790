package provider

import (
	"slices"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/action"
)

func TestWarningsOfAnActionThatFailed(t *testing.T) {
	for name, c := range map[string]struct {
		fails    bool
		said     string
		progress []string
	}{
		"fails":    {true, "Error at : zk2: restart: it is stopped\n", []string{"warning: source.apt: it is old"}},
		"succeeds": {false, "Warning at : source.apt: it is old\n\nNext: take another\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var progress []string
			resp := action.InvokeResponse{SendProgress: func(ev action.InvokeProgressEvent) { progress = append(progress, ev.Message) }}
			resp.Diagnostics.AddWarning("source.apt", "it is old\n\nNext: take another")
			if c.fails {
				resp.Diagnostics.AddError("zk2: restart", "it is stopped")
			}
			errorsAlone(&resp)
			if got := said(resp.Diagnostics); got != c.said || !slices.Equal(progress, c.progress) {
				t.Errorf("said %q and %q on the way, want %q and %q", got, progress, c.said, c.progress)
			}
		})
	}
}
