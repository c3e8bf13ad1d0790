terraform {
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

resource "zkboot_ensemble" "main" {
  name = "main"
  hosts = {
    zk1 = { address = "10.0.0.11" }
    zk2 = { address = "10.0.0.12" }
    zk3 = { address = "10.0.0.13" }
  }
  members = { zk1 = { id = 1 }, zk2 = { id = 2 }, zk3 = { id = 3 } }
  source  = { apt = {} }
}

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
