output "connect_string" {
  description = "What ZooKeeper clients connect to: `address:port` of every member, separated by commas."
  value       = zkboot_ensemble.this.connect_string
}

output "servers" {
  description = "The same as a list, as module sidecar takes it."
  value       = split(",", zkboot_ensemble.this.connect_string)
}

output "members" {
  description = "Server ids by host name."
  value       = { for name, h in local.members : name => h.id }
}

output "hosts_state" {
  description = "What stands on each host: `in sync`, or what the next apply changes there."
  value       = zkboot_ensemble.this.hosts_state
}

output "id" {
  description = "Cluster id, as the hosts carry it."
  value       = zkboot_ensemble.this.id
}
