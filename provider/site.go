package provider

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/zkboot/zkboot/bootstrap"
)

// standing is the patience with a host that is only looked at: it has been there before, so
// a plan says that it is away rather than wait for it to boot.
const standing = 5 * time.Second

// site is what one walk of Terraform over the configuration has from the provider block.
type site struct {
	provider *Provider
	ssh      bootstrap.SSH
	secrets  Secrets
	known    bool   // false while the provider block refers to what does not exist yet
	walk     string // random; tells the walks of one run apart
}

// engine returns an engine for one operation, to be closed when the operation ends. Zero
// patience means what the spec says.
func (s *site) engine(ctx context.Context, roles []bootstrap.Role, patience time.Duration) *bootstrap.Engine {
	e := &bootstrap.Engine{Roles: roles, Limit: hostsAtOnce, LockPatience: s.provider.LockPatience, Who: s.provider.Who, Events: func(ev bootstrap.Event) {
		fields := map[string]any{"host": ev.Host, "step": ev.Step, "kind": string(ev.Kind)}
		if ev.Err != nil {
			fields["error"] = ev.Err.Error()
		}
		tflog.Info(ctx, "zkboot", fields)
	}}
	part := newQuota(&s.provider.connections, e)
	e.Open = part.bound(s.provider.Reach(Contact{Patience: patience, Secrets: s.secrets, Progress: func(host, note string) {
		e.Emit(bootstrap.Event{Kind: bootstrap.EventNote, Host: host, Step: note})
	}}))
	return e
}

// looker is an engine for an operation that only looks.
func (s *site) looker(ctx context.Context, roles []bootstrap.Role) *bootstrap.Engine {
	e := s.engine(ctx, roles, standing)
	e.LookOnly = true
	return e
}
