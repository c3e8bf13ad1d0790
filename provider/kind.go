package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"github.com/zkboot/zkboot/bootstrap"
)

// kind is what tells the resources apart. Attributes have the names of the file, so none has
// to be named twice and none can be forgotten: a test compares the schemas with the fields
// of Spec.
type kind struct {
	name   string // behind "zkboot_"
	schema func(context.Context) schema.Schema
	role   func(*Provider) bootstrap.Role
	// place says whether an attribute belongs to the Spec itself (""), or to the kind's own
	// section of it. Attributes that are Terraform's own business belong nowhere.
	place func(attribute string) (section string, ok bool)
	// section is the key of the kind's own part of a Spec, and depth how many steps of a path
	// lead into it.
	section string
	depth   int
	// fill makes that part of the attributes that belong there.
	fill func(all, own map[string]any) any
	// texts are the computed attributes besides hosts_state; planned are those that follow
	// from the Spec alone.
	texts   []string
	planned func(*bootstrap.Spec) map[string]string
	hasData bool // on hosts, which can be lost: it may be protected, and wiped
}

func (k kind) roles(p *Provider) []bootstrap.Role { return []bootstrap.Role{k.role(p)} }

// ensemble is zkboot_ensemble.
func ensemble() kind {
	return kind{
		name: "ensemble", schema: ensembleSchema, section: "ensemble", depth: 1,
		role: func(p *Provider) bootstrap.Role { return p.Ensemble },
		place: func(attribute string) (string, bool) {
			switch attribute {
			case "name", "hardware", "placement", "hosts", "tuning":
				return "", true
			case "members", "source", "accept_known_issues", "heap", "jvm_flags", "ports", "data_dir", "data_log_dir", "config", "adopt":
				return "ensemble", true
			}
			return "", false
		},
		fill:  func(_, own map[string]any) any { return own },
		texts: []string{"id", "connect_string"},
		planned: func(s *bootstrap.Spec) map[string]string {
			return map[string]string{"connect_string": connectString(s)}
		},
		hasData: true,
	}
}

// sidecar is zkboot_sidecar: what it says holds for each of its hosts, so that one resource
// may stand for a single host or for many that are alike.
func sidecar() kind {
	return kind{
		name: "sidecar", schema: sidecarSchema, section: "sidecars", depth: 2,
		role: func(p *Provider) bootstrap.Role { return p.Sidecar },
		place: func(attribute string) (string, bool) {
			switch attribute {
			case "name", "placement", "hosts", "tuning", "registries", "services":
				return "", true
			case "zone", "routes", "register", "guard", "drain", "stats":
				return "sidecars", true
			}
			return "", false
		},
		fill: func(all, own map[string]any) any {
			hosts, _ := all["hosts"].(map[string]any)
			out := map[string]any{}
			for name := range hosts {
				out[name] = own
			}
			return out
		},
		planned: func(*bootstrap.Spec) map[string]string { return nil },
	}
}
