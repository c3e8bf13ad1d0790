output "hosts" {
  description = "Hosts by name, as module ensemble takes them once each member has an `id`: `address`, `data_disk`, the device of the data volume in the host, and `ssh` with the floating address where there is one."
  value = {
    for name, h in local.hosts : name => {
      address   = h.address
      data_disk = lookup(local.data_disks, name, null)
      ssh       = h.floating_ip ? { address = openstack_networking_floatingip_v2.host[name].address } : null
    }
  }
  # The addresses are known before there are hosts: who uses them must wait for those.
  depends_on = [openstack_compute_instance_v2.host, openstack_networking_secgroup_rule_v2.ssh, openstack_networking_secgroup_rule_v2.member]
}

output "data_disks" {
  description = "Device of the data volume in each host that has one: known before there are servers, for user-data."
  value       = local.data_disks
}

output "server_ids" {
  description = "Id of each server, by host name."
  value       = { for name, s in openstack_compute_instance_v2.host : name => s.id }
}

output "security_group_ids" {
  description = "Ids of the security groups `ssh`, `member` and `app`, for rules of one's own."
  value       = merge(local.groups, { ssh = openstack_networking_secgroup_v2.ssh.id })
}

output "network_id" {
  description = "Id of the private network."
  value       = local.network_id
}
