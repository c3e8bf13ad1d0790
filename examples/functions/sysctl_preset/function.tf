terraform {
  required_version = ">= 1.8" # which has functions of providers
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

locals {
  preset = provider::zkboot::sysctl_preset("zookeeper")
}

# A drop-in for an image, such as "vm.swappiness = 1".
output "sysctl_d" {
  value = join("", [for key, value in local.preset : "${key} = ${value}\n"])
}
