output "connect_string" {
  description = "What ZooKeeper clients in the private network connect to."
  value       = module.zookeeper.connect_string
}

output "app1" {
  description = "Public address of app1, the way in."
  value       = module.servers.hosts["app1"].ssh.address
}
