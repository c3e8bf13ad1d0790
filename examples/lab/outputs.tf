output "connect_string" {
  description = "What ZooKeeper clients connect to."
  value       = zkboot_ensemble.lab.connect_string
}

output "hosts_state" {
  description = "What stands on each host."
  value       = merge(zkboot_ensemble.lab.hosts_state, [for s in zkboot_sidecar.app : s.hosts_state]...)
}
