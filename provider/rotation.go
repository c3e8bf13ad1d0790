package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap"
)

// rotated is the name of the one host in the spec of a rotation, and of that spec: the owner
// of what it notes on the host is "host.hostkey".
const rotated = "host"

// spec is the spec of a rotation that pins a key, or nil when it cannot be made.
func (r *rotation) spec(ctx context.Context, m rotationModel, pin types.String, diags *diag.Diagnostics) *bootstrap.Spec {
	if r.site == nil || !r.site.known {
		diags.AddError("provider zkboot", "The provider block has values that are not known, so no host can be reached.\n\nNext: apply what it refers to first, with -target.")
		return nil
	}
	return m.spec(ctx, r.site.ssh, pin.ValueString(), diags)
}

func (m rotationModel) spec(ctx context.Context, site bootstrap.SSH, pin string, diags *diag.Diagnostics) *bootstrap.Spec {
	host := bootstrap.HostSpec{Address: m.Address.ValueString(), HostKey: pin}
	raw, err := m.SSH.ToTerraformValue(ctx)
	if err == nil && !raw.IsNull() {
		var is any
		if is, err = tree(raw); err == nil {
			own, _ := is.(map[string]any)
			err = decode(own, &host.SSH)
		}
	}
	if err != nil {
		diags.AddAttributeError(path.Root("ssh"), "ssh", "reading the configuration: "+err.Error())
		return nil
	}
	return &bootstrap.Spec{Name: rotated, SSH: site, Hosts: map[string]bootstrap.HostSpec{rotated: host}}
}

// diagnostics points at the attributes that findings are about. In the spec these belong to
// the only host, which is called by its address.
func (m rotationModel) diagnostics(report bootstrap.Report) diag.Diagnostics {
	var out diag.Diagnostics
	for _, f := range report.Findings {
		at := path.Empty()
		if steps, err := split(f.Path); err == nil && len(steps) > 2 && steps[0].field == "hosts" {
			at = join(steps[2:])
		}
		f.Path = bootstrap.Path(at.String())
		if f.Host == rotated {
			f.Host = m.Address.ValueString()
		}
		out.Append(diagnostic(f, at))
	}
	return out
}

// shownInstead returns the key that the host has shown in place of the one that was pinned.
func shownInstead(report bootstrap.Report) (string, bool) {
	for _, f := range report.Findings {
		var other *bootstrap.OtherHostKeyError
		if errors.As(f.Err, &other) {
			return other.Shown, true
		}
	}
	return "", false
}

// explain says of a create that met another key what that may come from.
func (m rotationModel) explain(report bootstrap.Report) bootstrap.Report {
	shown, other := shownInstead(report)
	if !other {
		return report
	}
	var out bootstrap.Report
	out.Add(bootstrap.Finding{Severity: bootstrap.SeverityError, Host: rotated, Step: "another host key", Path: bootstrap.Path("hosts").Key(rotated).Field("host_key"),
		Text: fmt.Sprintf("want %s, which user-data is to have brought, found %s", keyText(m.HostKey.ValueString()), keyText(shown)),
		Hint: "give as host_key the key that the host was booted with. An apply that was cut off right after it had replaced the key leaves this too. " + importHint(shown)})
	return out
}

// importHint says how a key that was met becomes that of the resource.
func importHint(shown string) string {
	if shown == "" {
		shown = "ssh-ed25519 AAAA..."
	}
	return "If `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the console of the host says the fingerprint that was found, take the resource out of the state where it is there, and " +
		"`terraform import ADDRESS_OF_THE_RESOURCE '" + shown + "'`. If it says another one, somebody answers in place of the host: do not go on."
}

// keyText is how a key is told to a person: its fingerprint, as OpenSSH shows it.
func keyText(text string) string {
	key, err := publicKey(text)
	if err != nil {
		return "no ed25519 key"
	}
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}
