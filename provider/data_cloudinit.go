package provider

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	dschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/cloudinit"
	"github.com/zkboot/zkboot/verify"
)

// firstBoot is the configuration of zkboot_cloudinit besides the spec.
type firstBoot struct {
	host, user, codename, arch, network string
	mirror                              cloudinit.Mirror
	keys, private, servers              []string
	limit                               int64
}

// part is a part of the document, by the names of the attributes.
type part struct {
	Name  string `tfsdk:"name"`
	Bytes int    `tfsdk:"bytes"`
}

// leftOver is what first boot does not bring, by the names of the attributes.
type leftOver struct {
	ID  string `tfsdk:"id"`
	Why string `tfsdk:"why"`
}

// cloudinitData is zkboot_cloudinit. It asks no host: the host is to be made with it.
func cloudinitData(p *Provider) *dataSource {
	optional := func(about string) dschema.StringAttribute {
		return dschema.StringAttribute{Optional: true, MarkdownDescription: about}
	}
	list := func(about string) dschema.ListAttribute {
		return dschema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: about}
	}
	secret := list("Private SSH host keys in PEM that the host gets, so that the very first connection can be checked. They lie in user-data as text, and in the state: " +
		"whoever reads either can stand in for the host until the key is replaced.")
	secret.Sensitive = true
	own := cloudinitResults()
	for name, a := range map[string]dschema.Attribute{
		"host": dschema.StringAttribute{Required: true, MarkdownDescription: "The host, one of `hosts`, to boot with this."},
		"login": dschema.SingleNestedAttribute{Optional: true, MarkdownDescription: "The account to log in with; it becomes root through `sudo` without a password.", Attributes: map[string]dschema.Attribute{
			"user": optional("Default the host's `ssh.user`, then the provider's, then the image's own."), "authorized_keys": list("Public keys that may log in."),
		}},
		"host_private_keys": secret, "time_servers": list("Servers to take the time from."),
		"apt_mirror": optional("URL of the distribution's packages."), "apt_security_mirror": optional("URL of its security updates."),
		"network_config": optional("Put into a NoCloud seed as it is."), "codename": optional("Of the image's Debian, default `bookworm`."), "arch": optional("`amd64` (default) or `arm64`."),
		"limit": dschema.Int64Attribute{Optional: true, MarkdownDescription: fmt.Sprintf("The most bytes of user-data that the cloud takes, default %d, which is what the strictest takes.", cloudinit.MaxBytes)},
	} {
		own[name] = a
	}
	return &dataSource{ensemble: managed{kind: ensemble(), provider: p}, name: "cloudinit", limit: time.Minute, read: readCloudinit, own: own, offline: true,
		about: "What cloud-init needs to prepare a member at its first boot: packages, accounts, data disks, kernel settings and limits, as the first apply would bring them. " +
			"No host is asked. See docs/guides/cloud-init.md before giving it private keys."}
}

func cloudinitResults() map[string]dschema.Attribute {
	nested := func(about string, attributes map[string]dschema.Attribute) dschema.ListNestedAttribute {
		return dschema.ListNestedAttribute{Computed: true, MarkdownDescription: about, NestedObject: dschema.NestedAttributeObject{Attributes: attributes}}
	}
	secret := dataText("The `#cloud-config` document, with or without private keys; never shown.")
	secret.Sensitive = true
	return map[string]dschema.Attribute{
		"user_data":           dataText("The `#cloud-config` document; null when it holds a private key."),
		"sensitive_user_data": secret,
		"meta_data":           dataText("The meta-data of a NoCloud seed."),
		"bytes":               dschema.Int64Attribute{Computed: true, MarkdownDescription: "Size of user-data."},
		"packed":              dataFlag("Whether files are compressed in it, because as text they would not have fitted."),
		"parts": nested("The parts of user-data and their sizes.", map[string]dschema.Attribute{
			"name": dataText("A top-level key, or `file` and a path."), "bytes": dschema.Int64Attribute{Computed: true, MarkdownDescription: "Its size."}}),
		"left": nested("What the first apply still has to bring.", map[string]dschema.Attribute{
			"id": dataText("ID of the thing, as in `things` of `zkboot_ensemble`."), "why": dataText("Why first boot does not bring it: it ...")}),
	}
}

func readCloudinit(ctx context.Context, d *dataSource, spec *bootstrap.Spec, resp *datasource.ReadResponse) {
	f := firstBootOf(ctx, resp)
	if resp.Diagnostics.HasError() || !d.valid(spec, resp) {
		return
	}
	o, left, ok := d.options(spec, f, resp)
	if !ok {
		return
	}
	doc, report := cloudinit.Render(o)
	resp.Diagnostics.Append(d.ensemble.diagnostics(report)...)
	if report.Failed() {
		return
	}
	userData := types.StringValue(string(doc.UserData))
	set(ctx, resp, "sensitive_user_data", userData)
	if doc.Secret {
		userData = types.StringNull()
	}
	set(ctx, resp, "user_data", userData)
	set(ctx, resp, "meta_data", string(doc.MetaData))
	set(ctx, resp, "bytes", len(doc.UserData))
	set(ctx, resp, "packed", doc.Packed)
	parts, missing := []part{}, []leftOver{}
	for _, p := range doc.Parts {
		parts = append(parts, part(p))
	}
	for _, l := range left {
		missing = append(missing, leftOver{ID: string(l.ID), Why: l.Why})
	}
	set(ctx, resp, "parts", parts)
	set(ctx, resp, "left", missing)
}

// firstBootOf reads the configuration, which is in the state already.
func firstBootOf(ctx context.Context, resp *datasource.ReadResponse) firstBoot {
	var f firstBoot
	text := func(at path.Path, into *string, usual string) {
		var is types.String
		resp.Diagnostics.Append(resp.State.GetAttribute(ctx, at, &is)...)
		if *into = is.ValueString(); is.IsNull() {
			*into = usual
		}
	}
	list := func(at path.Path, into *[]string) {
		var is types.List
		resp.Diagnostics.Append(resp.State.GetAttribute(ctx, at, &is)...)
		if !is.IsNull() {
			resp.Diagnostics.Append(is.ElementsAs(ctx, into, false)...)
		}
	}
	text(path.Root("host"), &f.host, "")
	text(path.Root("login").AtName("user"), &f.user, "")
	text(path.Root("codename"), &f.codename, "bookworm")
	text(path.Root("arch"), &f.arch, "amd64")
	text(path.Root("network_config"), &f.network, "")
	text(path.Root("apt_mirror"), &f.mirror.Primary, "")
	text(path.Root("apt_security_mirror"), &f.mirror.Security, "")
	list(path.Root("login").AtName("authorized_keys"), &f.keys)
	list(path.Root("host_private_keys"), &f.private)
	list(path.Root("time_servers"), &f.servers)
	var limit types.Int64
	resp.Diagnostics.Append(resp.State.GetAttribute(ctx, path.Root("limit"), &limit)...)
	if f.limit = limit.ValueInt64(); limit.IsNull() {
		f.limit = cloudinit.MaxBytes
	}
	return f
}

// options turns the configuration into what cloudinit takes, with what the role wants on a
// host that has nothing yet.
func (d *dataSource) options(spec *bootstrap.Spec, f firstBoot, resp *datasource.ReadResponse) (cloudinit.Options, []cloudinit.Left, bool) {
	h, there := spec.Hosts[f.host]
	if !there {
		resp.Diagnostics.AddAttributeError(path.Root("host"), "host", fmt.Sprintf("want one of %s, found %q", strings.Join(spec.HostNames(), ", "), f.host))
		return cloudinit.Options{}, nil, false
	}
	o := cloudinit.Options{Host: f.host, InstanceID: spec.Name + "-" + f.host, Login: cloudinit.Login{User: cmp.Or(f.user, h.SSH.User, spec.SSH.User), Keys: f.keys},
		TimeServers: f.servers, Mirror: f.mirror, NetworkConfig: []byte(f.network), Limit: int(f.limit)}
	for i, pem := range f.private {
		key, err := hostKeyOf(pem)
		if err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("host_private_keys").AtListIndex(i), "host_private_keys", err.Error())
			return o, nil, false
		}
		o.HostKeys = append(o.HostKeys, key)
	}
	if problem := pinProblem(h.HostKey, o.HostKeys); problem != "" {
		resp.Diagnostics.AddAttributeError(path.Root("hosts").AtMapKey(f.host).AtName("host_key"), "host_key", problem)
		return o, nil, false
	}
	if o.Login.User == "" && !d.ensemble.site.known {
		resp.Diagnostics.AddAttributeError(path.Root("login"), "login", "The provider block has values that are not known yet, and with it the account to log in with.\n\nNext: set login.user.")
		return o, nil, false
	}
	role := d.ensemble.role(d.ensemble.provider)
	now := bootstrap.Site{Hosts: map[string]bootstrap.Seen{f.host: {Facts: bootstrap.Facts{OS: verify.OS{ID: "debian", Codename: f.codename}, Arch: f.arch}}}}
	want, report := role.Compile(spec, now)
	resp.Diagnostics.Append(d.ensemble.diagnostics(report)...)
	if report.Failed() {
		return o, nil, false
	}
	sealed, err := want[f.host].Seal()
	if err != nil {
		resp.Diagnostics.AddError("zkboot_cloudinit", err.Error())
		return o, nil, false
	}
	boot, left := cloudinit.Take(sealed)
	o.Desired = []bootstrap.Desired{boot}
	return o, left, true
}

// pinProblem says when the pinned key is none of those that the host is to have: zkboot would
// shut itself out.
func pinProblem(pin string, keys []cloudinit.HostKey) string {
	fields := strings.Fields(pin)
	if len(fields) < 2 || len(keys) == 0 {
		return ""
	}
	want := fields[0] + " " + fields[1]
	if slices.ContainsFunc(keys, func(k cloudinit.HostKey) bool { return k.Public == want }) {
		return ""
	}
	return fmt.Sprintf("want a pin of one of host_private_keys, found %s\n\nNext: pin the public half of a key that the host gets, or give it the private half of this one.", want)
}
