package provider

import (
	"context"
	"encoding"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	pschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/zkboot/zkboot/bootstrap"
)

// Descriptions that the provider block and a host share.
const (
	aboutUser        = "Login name; it needs `sudo` unless it is root."
	aboutPort        = "SSH port, default 22."
	aboutIdentity    = "Paths of private keys. Without any, ssh-agent and the usual names are tried."
	aboutKnownHosts  = "A known_hosts file that has the host's key. It is never written."
	aboutAcceptNew   = "A file of zkboot's own in which the key of a host that is not known yet is recorded when it is first met. Without it, unknown keys are refused."
	aboutConfigFile  = "OpenSSH client configuration to honour, default `~/.ssh/config`; `none` for none."
	aboutPatience    = "How long to wait for a host that has just been made, default `2m`."
	aboutJump        = "A host to go through, with its own user and key."
	aboutJumpAddress = "Address of the jump host."
	aboutJumpHostKey = "Its pinned public host key."
)

func providerSchema() pschema.Schema {
	text := func(about string) pschema.StringAttribute {
		return pschema.StringAttribute{Optional: true, MarkdownDescription: about}
	}
	secret := func(about string) pschema.StringAttribute {
		return pschema.StringAttribute{Optional: true, Sensitive: true, MarkdownDescription: about}
	}
	list := func(about string) pschema.ListAttribute {
		return pschema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: about}
	}
	patience := text(aboutPatience)
	patience.Validators = []validator.String{durationText()}
	address := text(aboutJumpAddress)
	address.Optional, address.Required = false, true
	port := pschema.Int64Attribute{Optional: true, MarkdownDescription: aboutPort}
	return pschema.Schema{
		MarkdownDescription: "Stands up and proves ZooKeeper ensembles on plain hosts that answer SSH.",
		Attributes: map[string]pschema.Attribute{
			"ssh": pschema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "How hosts are reached; a host's own `ssh` wins. What is missing here is taken from `ZKBOOT_SSH_USER`, `ZKBOOT_SSH_PORT`, " +
					"`ZKBOOT_SSH_IDENTITY_FILES`, `ZKBOOT_SSH_KNOWN_HOSTS_FILE`, `ZKBOOT_SSH_ACCEPT_NEW_FILE`, `ZKBOOT_SSH_CONFIG_FILE` and `ZKBOOT_SSH_PATIENCE`, " +
					"then from the OpenSSH client configuration.",
				Attributes: map[string]pschema.Attribute{
					"user": text(aboutUser), "port": port, "identity_files": list(aboutIdentity), "known_hosts_file": text(aboutKnownHosts),
					"accept_new_file": text(aboutAcceptNew), "config_file": text(aboutConfigFile), "patience": patience,
					"jump": pschema.SingleNestedAttribute{Optional: true, MarkdownDescription: aboutJump, Attributes: map[string]pschema.Attribute{
						"address": address, "port": port, "user": text(aboutUser),
						"identity_files": list(aboutIdentity), "host_key": text(aboutJumpHostKey),
					}},
				},
			},
			"secrets": pschema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "What connections need and nobody else may see: it gets into no plan, no state and no log of zkboot. " +
					"Terraform keeps the values of variables in plan files unless they are `ephemeral` (Terraform 1.10): use such a variable, or an ephemeral resource of your vault.",
				Attributes: map[string]pschema.Attribute{
					"private_key":   secret("A private key in PEM that is offered to every host, and jump host, before identity files and the keys of ssh-agent."),
					"passphrase":    secret("Passphrase of the private keys that have one, default `ZKBOOT_SSH_PASSPHRASE`."),
					"sudo_password": secret("What `sudo` on the hosts asks for, default `ZKBOOT_SUDO_PASSWORD`."),
				},
			},
		},
	}
}

// ensembleSchema has the attributes of a spec with one ensemble, named as in zkboot.yaml,
// and what Terraform adds. Nothing but the name replaces: every other change is made on the
// hosts as they stand.
func ensembleSchema(ctx context.Context) schema.Schema {
	attributes := map[string]schema.Attribute{
		"name": schema.StringAttribute{Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			MarkdownDescription: "Name of the ensemble on its hosts: units, files and directories carry it. Another name is another ensemble."},
		"hosts": schema.MapNestedAttribute{Required: true, NestedObject: schema.NestedAttributeObject{Attributes: hostAttributes()},
			MarkdownDescription: "Machines, by a name that stays when others come and go."},
		"hardware": hardwareAttribute(),
		"placement": object("Where hosts may stand.", map[string]schema.Attribute{
			"countries": list("ISO 3166-1 alpha-2 codes, `EU` or `EEA`; every host then needs its `country`."),
		}),
		"tuning": object("Kernel settings, on top of the preset for ZooKeeper.", map[string]schema.Attribute{
			"disabled": boolean("Touch no kernel setting at all."),
			"sysctl":   texts("Overrides by key, such as `vm.swappiness`."),
			"thp":      text("Transparent huge pages: `madvise` (default), `never`, `always`, or `leave`."),
			"swap":     text("`leave` (default) or `off`."),
		}),
		"id": schema.StringAttribute{Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			MarkdownDescription: "Cluster id, as the hosts carry it."},
		"connect_string": schema.StringAttribute{Computed: true,
			MarkdownDescription: "What clients connect to: `address:port` of every member, separated by commas."},
		"hosts_state": schema.MapAttribute{Computed: true, ElementType: types.StringType,
			MarkdownDescription: "What stands on each host: `in sync`, or what the next apply changes there."},
		"things": thingsAttribute(),
		// Off by default: a destroy that nobody qualified keeps the data, so that there is
		// nothing to protect that an apply does not bring back, and environments that come and
		// go would need two applies to go.
		"deletion_protection": boolean("Refuse to destroy the ensemble until this is taken away by an apply of its own. " +
			"Off by default, because a destroy keeps the data unless `on_destroy` says otherwise; turn it on where `wipe_data` is, or where clients depend on the ensemble."),
		"on_destroy": object("What a destroy does.", map[string]schema.Attribute{
			"wipe_data":          boolean("Take the data as well; by default it is kept."),
			"ignore_unreachable": boolean("Go on without the hosts that cannot be reached, with a warning, instead of failing."),
		}),
		"timeouts": timeouts.Attributes(ctx, timeouts.Opts{Create: true, Read: true, Update: true, Delete: true,
			CreateDescription: "Default `30m`.", ReadDescription: "Default `2m`.", UpdateDescription: "Default `60m`.", DeleteDescription: "Default `20m`."}),
	}
	for name, a := range memberAttributes() {
		attributes[name] = a
	}
	return schema.Schema{
		MarkdownDescription: "A ZooKeeper ensemble on plain hosts: hardware proven, kernel tuned, servers installed, quorum formed and proven by a canary write.",
		Attributes:          attributes,
	}
}

func thingsAttribute() schema.Attribute {
	return schema.MapAttribute{Computed: true, ElementType: thingsType,
		MarkdownDescription: "What zkboot owns on each host: ID of the thing -> hash, such as `things[\"zk1\"][\"file:/etc/zookeeper/main/zoo.cfg\"]`. " +
			"A plan shows a thing that it changes as another hash, and one that goes as a missing ID."}
}

func memberAttributes() map[string]schema.Attribute {
	heap := text("Java heap, default `1GiB`.")
	heap.Validators = []validator.String{sizeText()}
	return map[string]schema.Attribute{
		"members": schema.MapNestedAttribute{Required: true, MarkdownDescription: "Servers of the ensemble, by host name; 1, 3, 5 or 7 voters.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"id":   schema.Int64Attribute{Required: true, MarkdownDescription: "Server id, 1 to 254, for life."},
				"role": text("`voter` (default) or `observer`."),
			}}},
		"source": schema.SingleNestedAttribute{Required: true, MarkdownDescription: "Where ZooKeeper comes from: either `apt = {}` or `tarball`.",
			Attributes: map[string]schema.Attribute{
				"apt": object("libzookeeper-java and a headless JRE of the distribution.", map[string]schema.Attribute{
					"version": text("Debian version of libzookeeper-java; default what apt offers."),
				}),
				"tarball": object("An Apache release archive.", map[string]schema.Attribute{
					"url":     required("http, https, or file on the machine that runs Terraform."),
					"sha512":  required("128 hex digits, as in the .sha512 file beside the release."),
					"version": text("Default: read from the name of the archive."),
				}),
			}},
		"accept_known_issues": list("Ids of known issues that are accepted although zkboot refuses the version for them, such as `ZOOKEEPER-4785`."),
		"heap":                heap,
		"jvm_flags":           list("JVM flags, added to zkboot's own."),
		"ports": object("TCP ports.", map[string]schema.Attribute{
			"client": whole("Default 2181."), "quorum": whole("Default 2888."), "election": whole("Default 3888."),
			"admin": whole("Default 8080, on the loopback address alone."), "metrics": whole("Default 7000, tarball source only."),
		}),
		"data_dir":     text("Default `/var/lib/zookeeper/<name>`."),
		"data_log_dir": text("Default `/var/lib/zookeeper-log/<name>`; best on a disk of its own."),
		"config":       texts("Settings of zoo.cfg by their own names, such as `tickTime`. A key that zkboot does not know is an error."),
		"adopt": object("Take over servers that somebody else set up, with their data; `data_dir`, `data_log_dir`, ids and ports have to be theirs. Leave it in afterwards.", map[string]schema.Attribute{
			"config": text("Their zoo.cfg, default `/etc/zookeeper/conf/zoo.cfg`."),
			"unit":   text("The unit that runs them, default `zookeeper.service`."),
		}),
	}
}

func hostAttributes() map[string]schema.Attribute {
	patience := text(aboutPatience)
	patience.Validators = []validator.String{durationText()}
	return map[string]schema.Attribute{
		"address":  required("Private IP address, to which services bind and through which members talk."),
		"host_key": text("Pinned public host key, such as `ssh-ed25519 AAAA...`."),
		"country":  text("ISO 3166-1 alpha-2 code, needed where `placement` restricts countries."),
		"lost":     boolean("The machine will not come back: nobody tries to reach it, and the ensemble lets go of its server. Take the host out when that is applied."),
		"ssh": object("How to reach this host, where it differs from the provider's `ssh`.", map[string]schema.Attribute{
			"address": text("Where SSH listens, when that is not `address`."), "user": text(aboutUser), "port": whole(aboutPort),
			"identity_files": list(aboutIdentity), "known_hosts_file": text(aboutKnownHosts), "accept_new_file": text(aboutAcceptNew),
			"config_file": text(aboutConfigFile), "patience": patience,
			"jump": object(aboutJump, map[string]schema.Attribute{
				"address": required(aboutJumpAddress), "port": whole(aboutPort), "user": text(aboutUser),
				"identity_files": list(aboutIdentity), "host_key": text(aboutJumpHostKey),
			}),
		}),
		"mounts": schema.MapNestedAttribute{Optional: true, MarkdownDescription: "File systems of their own, by mount point; made when the device is blank.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"device":  required("Such as `/dev/disk/by-id/...`."),
				"fstype":  text("`ext4` (default) or `xfs`."),
				"options": list("Default `noatime`."),
			}}},
	}
}

// hardwareAttribute has two limits for every figure that the hardware gate judges.
func hardwareAttribute() schema.Attribute {
	group := func(about string, figures ...string) schema.SingleNestedAttribute {
		limits := map[string]schema.Attribute{}
		for _, f := range figures {
			limits[f] = object("Limits of `"+f+"`; what is not set stays as the profile has it.", map[string]schema.Attribute{
				"warn": text("Beyond this figure, with its unit, a warning."),
				"fail": text("Beyond this figure, with its unit, the host is refused."),
			})
		}
		return object(about, limits)
	}
	return object("What the hardware gate asks of every host before anything is changed there.", map[string]schema.Attribute{
		"profile": text("`ssd-kvm` (default), `hdd-kvm` or `lab`."),
		"fsync":   group("Latency of a synced write.", "p50", "p99", "p999", "max", "rate", "spread", "interference"),
		"disk":    group("Room on the disk.", "free", "inodes"),
		"cpu":     group("Processors, and what the hypervisor takes of them.", "count", "steal", "jitter"),
		"memory":  group("Memory, and the part that the heap takes.", "total", "heap"),
		"psi":     group("Pressure stall information.", "io", "memory"),
		"time":    group("Clocks.", "offset"),
		"net":     group("The way between members.", "rtt", "loss"),
	})
}

func object(about string, attributes map[string]schema.Attribute) schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{Optional: true, MarkdownDescription: about, Attributes: attributes}
}

func text(about string) schema.StringAttribute {
	return schema.StringAttribute{Optional: true, MarkdownDescription: about}
}

func required(about string) schema.StringAttribute {
	return schema.StringAttribute{Required: true, MarkdownDescription: about}
}

func whole(about string) schema.Int64Attribute {
	return schema.Int64Attribute{Optional: true, MarkdownDescription: about}
}

func boolean(about string) schema.BoolAttribute {
	return schema.BoolAttribute{Optional: true, MarkdownDescription: about}
}

func list(about string) schema.ListAttribute {
	return schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: about}
}

func texts(about string) schema.MapAttribute {
	return schema.MapAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: about}
}

// textOf checks that text has the syntax of a type of package bootstrap.
type textOf struct {
	what string
	new  func() encoding.TextUnmarshaler
}

func durationText() textOf {
	return textOf{"a duration such as 90s", func() encoding.TextUnmarshaler { return new(bootstrap.Duration) }}
}

func sizeText() textOf {
	return textOf{"a size such as 1GiB", func() encoding.TextUnmarshaler { return new(bootstrap.Size) }}
}

// Description implements validator.String.
func (t textOf) Description(context.Context) string { return "want " + t.what }

// MarkdownDescription implements validator.String.
func (t textOf) MarkdownDescription(ctx context.Context) string { return t.Description(ctx) }

// ValidateString implements validator.String.
func (t textOf) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := t.new().UnmarshalText([]byte(req.ConfigValue.ValueString())); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, req.Path.String(), err.Error())
	}
}
