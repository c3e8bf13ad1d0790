output "connect_string" {
  description = "What ZooKeeper clients connect to."
  value       = module.zookeeper.connect_string
}

output "addresses" {
  description = "Address of each machine."
  value       = local.addresses
}

output "hosts_state" {
  description = "What stands on each host."
  value       = merge(module.zookeeper.hosts_state, module.sidecars.hosts_state)
}
