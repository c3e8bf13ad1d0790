output "connect_string" {
  description = "What ZooKeeper clients connect to."
  value       = module.zookeeper.connect_string
}

output "hosts_state" {
  description = "What stands on each host."
  value       = merge(module.zookeeper.hosts_state, module.sidecars.hosts_state)
}
