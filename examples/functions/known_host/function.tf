terraform {
  required_version = ">= 1.8" # which has functions of providers
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

locals {
  host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1ycoV8Xmwg4kSGunqmuAYHVK//upnsmIiJogTC2pzq root@zk1"
}

# "[203.0.113.11]:2222 ssh-ed25519 AAAA..."
output "known_host" {
  value = provider::zkboot::known_host("203.0.113.11", 2222, local.host_key)
}
