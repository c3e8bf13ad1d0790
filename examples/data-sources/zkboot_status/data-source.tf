data "zkboot_status" "main" {
  name    = zkboot_ensemble.main.name
  hosts   = zkboot_ensemble.main.hosts
  members = zkboot_ensemble.main.members
}

output "leader" {
  description = "Who leads right now; empty without exactly one leader."
  value       = data.zkboot_status.main.leader
}

output "not_in_sync" {
  description = "Members that do not serve in sync, with the reason."
  value       = { for host, is in data.zkboot_status.main.servers : host => is.error if !is.synced }
}
