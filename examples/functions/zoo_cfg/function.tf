terraform {
  required_version = ">= 1.8" # which has functions of providers
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

locals {
  usual = { tickTime = 2000, initLimit = 20 }
}

output "zoo_cfg" {
  value = provider::zkboot::zoo_cfg("main", local.usual, { maxClientCnxns = 200 })
}
