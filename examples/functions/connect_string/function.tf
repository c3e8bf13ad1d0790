terraform {
  required_version = ">= 1.8" # which has functions of providers
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

locals {
  hosts = {
    zk1 = { address = "10.0.0.11" }
    zk2 = { address = "10.0.0.12" }
    zk3 = { address = "2001:db8::13" }
  }
}

# "10.0.0.11:2181,10.0.0.12:2181,[2001:db8::13]:2181"
output "connect_string" {
  value = provider::zkboot::connect_string(local.hosts, 2181)
}

# "10.0.0.11:2181,10.0.0.12:2181/services"
output "with_chroot" {
  value = provider::zkboot::connect_string(["10.0.0.11", "10.0.0.12"], 2181, "/services")
}
