output "connect_string" {
  description = "What ZooKeeper clients connect to."
  value       = module.zookeeper.connect_string
}

output "members" {
  description = "Server ids by host name."
  value       = module.zookeeper.members
}
