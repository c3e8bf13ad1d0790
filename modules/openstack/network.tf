# The private network, and who may talk to whom in it.

locals {
  made       = var.network.cidr != null
  network_id = local.made ? openstack_networking_network_v2.this[0].id : var.network.id
  subnet_id  = local.made ? openstack_networking_subnet_v2.this[0].id : var.network.subnet_id
  routed     = local.made && var.network.external_id != null

  # Who may open what on members; the key names the rule.
  member_rules = merge(
    { for port in [2888, 3888] : "quorum-${port}" => { protocol = "tcp", port = port, group = "member", cidr = null } },
    {
      # Before there is a member, zkboot verify measures the way between two of them with datagrams to
      # this port, closed as it is: the answer is an ICMP error.
      probe        = { protocol = "udp", port = 2888, group = "member", cidr = null }
      ping         = { protocol = "icmp", port = null, group = "member", cidr = null }
      from-members = { protocol = "tcp", port = 2181, group = "member", cidr = null }
      from-apps    = { protocol = "tcp", port = 2181, group = "app", cidr = null }
    },
    { for cidr in var.client_cidrs : "from-${cidr}" => { protocol = "tcp", port = 2181, group = null, cidr = cidr } },
  )
  groups = {
    member = openstack_networking_secgroup_v2.member.id
    app    = openstack_networking_secgroup_v2.app.id
  }
}

resource "openstack_networking_network_v2" "this" {
  count = local.made ? 1 : 0

  name           = var.name
  admin_state_up = true
}

resource "openstack_networking_subnet_v2" "this" {
  count = local.made ? 1 : 0

  name            = var.name
  network_id      = openstack_networking_network_v2.this[0].id
  cidr            = var.network.cidr
  ip_version      = 4
  no_gateway      = local.routed ? null : true
  dns_nameservers = var.network.dns_nameservers
}

resource "openstack_networking_router_v2" "this" {
  count = local.routed ? 1 : 0

  name                = var.name
  admin_state_up      = true
  external_network_id = var.network.external_id
}

resource "openstack_networking_router_interface_v2" "this" {
  count = local.routed ? 1 : 0

  router_id = openstack_networking_router_v2.this[0].id
  subnet_id = openstack_networking_subnet_v2.this[0].id
}

resource "openstack_networking_secgroup_v2" "ssh" {
  name        = "${var.name}-ssh"
  description = "Operators of ${var.name}"
}

resource "openstack_networking_secgroup_rule_v2" "ssh" {
  for_each = toset(var.ssh_cidrs)

  security_group_id = openstack_networking_secgroup_v2.ssh.id
  direction         = "ingress"
  ethertype         = strcontains(each.value, ":") ? "IPv6" : "IPv4"
  protocol          = "tcp"
  port_range_min    = 22
  port_range_max    = 22
  remote_ip_prefix  = each.value
}

resource "openstack_networking_secgroup_v2" "member" {
  name        = "${var.name}-member"
  description = "Members of the ensemble ${var.name}"
}

resource "openstack_networking_secgroup_rule_v2" "member" {
  for_each = local.member_rules

  security_group_id = openstack_networking_secgroup_v2.member.id
  description       = each.key
  direction         = "ingress"
  ethertype         = each.value.cidr == null ? "IPv4" : strcontains(each.value.cidr, ":") ? "IPv6" : "IPv4"
  protocol          = each.value.protocol
  port_range_min    = each.value.port
  port_range_max    = each.value.port
  remote_group_id   = each.value.group == null ? null : local.groups[each.value.group]
  remote_ip_prefix  = each.value.cidr
}

resource "openstack_networking_secgroup_v2" "app" {
  name        = "${var.name}-app"
  description = "Application hosts of ${var.name}"
}

# A sidecar connects to instances on other application hosts.
resource "openstack_networking_secgroup_rule_v2" "app" {
  for_each = toset([for p in var.service_ports : tostring(p)])

  security_group_id = openstack_networking_secgroup_v2.app.id
  description       = "service ${each.value}"
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = tonumber(each.value)
  port_range_max    = tonumber(each.value)
  remote_group_id   = openstack_networking_secgroup_v2.app.id
}
