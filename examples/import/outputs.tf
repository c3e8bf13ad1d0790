output "id" {
  description = "Cluster id, as the hosts carry it: it shows which ensemble was taken over."
  value       = module.zookeeper.id
}
