# One zkboot_sidecar for each host of a spec that the bench has written.
terraform {
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

variable "spec" {
  description = "Absolute path of the fleet's zkboot.yaml."
  type        = string
}

locals {
  fleet = yamldecode(file(var.spec))
}

provider "zkboot" {
  ssh = {
    user           = local.fleet.ssh.user
    identity_files = local.fleet.ssh.identity_files
    config_file    = local.fleet.ssh.config_file
  }
}

resource "zkboot_sidecar" "app" {
  for_each = local.fleet.sidecars

  name       = local.fleet.name
  hosts      = { (each.key) = local.fleet.hosts[each.key] }
  registries = local.fleet.registries
  services   = local.fleet.services
  routes     = each.value.routes
  register   = each.value.register
}
