package provider

import (
	"context"
	"encoding"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/zkboot/zkboot/bootstrap"
)

// sidecarSchema has the attributes of a spec whose hosts have one sidecar each, all alike,
// named as in zkboot.yaml, and what Terraform adds.
func sidecarSchema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "HAProxy and zkwatch on application hosts: services of a registry behind local addresses, and local services announced while their checks pass.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
				MarkdownDescription: "Whose sidecars these are, as the hosts know it. A host has one sidecar."},
			"hosts": schema.MapNestedAttribute{Required: true, NestedObject: schema.NestedAttributeObject{Attributes: hostAttributes()},
				MarkdownDescription: "Machines, by a name that stays when others come and go. All of them get the same routes and registrations; use `for_each` for hosts that differ."},
			"placement": object("Where hosts may stand.", map[string]schema.Attribute{
				"countries": list("ISO 3166-1 alpha-2 codes, `EU` or `EEA`; every host then needs its `country`."),
			}),
			"tuning": object("Kernel settings, on top of the preset for sidecars.", map[string]schema.Attribute{
				"disabled": boolean("Touch no kernel setting at all."),
				"sysctl":   texts("Overrides by key, such as `net.core.somaxconn`."),
			}),
			"registries": nested(true, "Where services are announced, by name.", map[string]schema.Attribute{
				"zookeeper": schema.SingleNestedAttribute{Required: true, MarkdownDescription: "A ZooKeeper ensemble.", Attributes: map[string]schema.Attribute{
					"servers":   schema.ListAttribute{Required: true, ElementType: types.StringType, MarkdownDescription: "`host:port` of the servers, such as `split(\",\", zkboot_ensemble.main.connect_string)`."},
					"session":   length("Session timeout, default `10s`."),
					"auth_file": text("A file on the hosts with `user:password` for the digest scheme."),
				}},
			}),
			"services": nested(true, "Services of the registries, by name.", map[string]schema.Attribute{
				"registry": required("Name of its registry."),
				"path":     text("Znode whose children are the instances."),
				"format":   text("`plain` (default) or `nerve`."),
			}),
			"zone":     text("Where the hosts stand; announced with their instances, and preferred by routes with tiers."),
			"routes":   nested(false, "Services behind local addresses, by name.", routeAttributes()),
			"register": nested(false, "Local services that are announced while their checks pass, by name.", registrationAttributes()),
			"guard": object("Keeps a service from being emptied by mistake.", map[string]schema.Attribute{
				"threshold": share("A loss of more than this share at once is held, default `50%`."),
				"min":       whole("Sets up to this size may shrink freely, but not to none; default 2."),
				"hold":      length("For how long, default `5m`."),
			}),
			"drain": object("How an instance leaves.", map[string]schema.Attribute{
				"spool":   text("A directory in which a file named after a registration drains it, default `/var/spool/zkwatch`."),
				"on_term": text("What the end of zkwatch does to registrations: `keep` (default) or `drain`."),
				"grace":   length("Wait for consumers that tell nothing, default `10s`."),
				"timeout": length("At most this long for all, default `60s`."),
			}),
			"stats": text("`host:port` of HAProxy's own statistics page; default none."),
			"hosts_state": schema.MapAttribute{Computed: true, ElementType: types.StringType,
				MarkdownDescription: "What stands on each host: `in sync`, or what the next apply changes there."},
			"things": thingsAttribute(),
			"on_destroy": object("What a destroy does.", map[string]schema.Attribute{
				"ignore_unreachable": boolean("Go on without the hosts that cannot be reached, with a warning, instead of failing."),
			}),
			"timeouts": timeouts.Attributes(ctx, timeouts.Opts{Create: true, Read: true, Update: true, Delete: true,
				CreateDescription: "Default `30m`.", ReadDescription: "Default `2m`.", UpdateDescription: "Default `60m`.", DeleteDescription: "Default `20m`."}),
		},
	}
}

func routeAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"service": required("Name of the service."),
		"bind":    required("`host:port` to listen on, such as `127.0.0.1:3000`."),
		"mode":    text("`http` (default) or `tcp`."),
		"balance": text("HAProxy's `balance`, default `roundrobin`."),
		"check": object("HAProxy's own check of each server.", map[string]schema.Attribute{
			"http": text("Such as `GET /health`; without it a TCP connect."), "expect": text("HAProxy's `http-check expect`, such as `status 200`."),
			"inter": length("Default `2s`."), "rise": whole("Default 2."), "fall": whole("Default 3."),
		}),
		"retries": whole("Default 2."),
		"maxconn": whole("Connections to one server; without it there is no limit and no queue."),
		"cookie":  text("Name of a cookie that keeps a client at its server; http only."),
		"timeouts": object("Timeouts of the route, in HAProxy's words.", map[string]schema.Attribute{
			"connect": length("Default `2s`."), "client": length("Default `60s`."), "server": length("Default `60s`."),
			"queue": length("Default `5s`."), "tunnel": length("Default `1h`."),
		}),
		"breaker": object("Ejects a server that answers with errors.", map[string]schema.Attribute{
			"off": boolean("Eject nobody."), "errors": whole("Consecutive errors, default 20."), "eject": share("At most this share at once, default `50%`."),
		}),
		"tiers": object("Prefers near instances.", map[string]schema.Attribute{
			"order": list("Zones, the nearest first; default the host's own, then all others."),
			"min":   whole("Usable instances that the tiers in use must have, default 1."),
		}),
		"labels":   texts("Only instances that carry all of these."),
		"frontend": list("Raw lines of HAProxy's frontend section."),
		"backend":  list("Raw lines of HAProxy's backend section."),
	}
}

func registrationAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"service": required("Name of the service."),
		"address": text("Address to announce, default that of the host."),
		"port":    schema.Int64Attribute{Required: true, MarkdownDescription: "Port to announce."},
		"check": schema.SingleNestedAttribute{Required: true, MarkdownDescription: "The service is announced only while this passes: exactly one of `http`, `tcp` and `exec`.",
			Attributes: map[string]schema.Attribute{
				"http":   text("URL to get."),
				"status": schema.ListAttribute{Optional: true, ElementType: types.Int64Type, MarkdownDescription: "Accepted answers, default 200 to 399."},
				"body":   text("Regular expression that the answer must match."), "headers": texts("Headers of the request."),
				"insecure": boolean("https: do not check the certificate."),
				"tcp":      text("`host:port` to connect to."), "exec": list("Program and arguments, without a shell."),
				"interval": length("Default `1s`."), "timeout": length("Default the interval."),
				"rise": whole("Default 2."), "fall": whole("Default 3."),
			}},
		"weight": whole("1 to 256, default 1."),
		"labels": texts("Free words that routes can ask for."),
		"zone":   text("Default that of the host."),
	}
}

func nested(mandatory bool, about string, attributes map[string]schema.Attribute) schema.MapNestedAttribute {
	return schema.MapNestedAttribute{Required: mandatory, Optional: !mandatory, MarkdownDescription: about,
		NestedObject: schema.NestedAttributeObject{Attributes: attributes}}
}

// length is a duration.
func length(about string) schema.StringAttribute {
	a := text(about)
	a.Validators = []validator.String{durationText()}
	return a
}

// share is a percentage.
func share(about string) schema.StringAttribute {
	a := text(about)
	a.Validators = []validator.String{textOf{"a share such as 50%", func() encoding.TextUnmarshaler { return new(bootstrap.Percent) }}}
	return a
}
