output "hosts" {
  description = "Hosts by name, as module ensemble takes them once each member has an `id`: `address`, and `data_disk`, the device of the data volume in the host."
  value = {
    for name, h in local.hosts : name => {
      address   = h.address
      data_disk = h.data_gib > 0 ? "/dev/disk/by-id/wwn-0x${h.wwn}" : null
    }
  }
  # The addresses are known before there are hosts: who uses them must wait for those.
  depends_on = [libvirt_domain.host]
}

output "data_disks" {
  description = "Device of the data volume in each host that has one: known before there are hosts, for user-data."
  value       = { for name, h in local.with_data : name => "/dev/disk/by-id/wwn-0x${h.wwn}" }
}

output "domains" {
  description = "Name of each host's domain in libvirt, for virsh."
  value       = { for name, d in libvirt_domain.host : name => d.name }
}
