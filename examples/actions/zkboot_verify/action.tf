terraform {
  required_version = ">= 1.14"
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
  heap    = "1GiB"
  config  = { maxClientCnxns = "200" }
}

# terraform apply -invoke=action.zkboot_verify.main
action "zkboot_verify" "main" {
  config {
    name    = zkboot_ensemble.main.name
    hosts   = zkboot_ensemble.main.hosts
    members = zkboot_ensemble.main.members
    source  = zkboot_ensemble.main.source
  }
}
