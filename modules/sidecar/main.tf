# HAProxy and zkwatch on application hosts that exist and answer SSH. Each host is a resource of its own,
# so that one can be added, replaced or given up without the others being in the plan.

locals {
  register = { for name, h in var.hosts : name => merge(var.register, h.register) }
}

resource "zkboot_sidecar" "host" {
  for_each = var.hosts

  name = var.name
  zone = each.value.zone
  hosts = {
    (each.key) = {
      address  = each.value.address
      country  = each.value.country
      host_key = each.value.host_key
      ssh      = each.value.ssh
    }
  }

  registries = { main = { zookeeper = { servers = var.servers, auth_file = var.auth_file } } }
  services   = { for name, s in var.services : name => { registry = "main", path = s.path, format = s.format } }
  routes     = length(var.routes) > 0 ? var.routes : null
  register   = length(local.register[each.key]) > 0 ? local.register[each.key] : null

  guard     = var.guard
  drain     = var.drain
  stats     = var.stats
  placement = length(var.countries) > 0 ? { countries = var.countries } : null

  lifecycle {
    precondition {
      condition     = length(setsubtract([for r in concat(values(var.routes), values(local.register[each.key])) : r.service], keys(var.services))) == 0
      error_message = "${each.key}: routes and registrations name services that services does not have: ${join(", ", setsubtract([for r in concat(values(var.routes), values(local.register[each.key])) : r.service], keys(var.services)))}."
    }
  }
}
