# An ensemble that stands already, made by the zkboot program or by a state that is lost, comes under
# Terraform by way of one member that answers. The first plan changes nothing, or shows what differs:
#
#   terraform init
#   terraform plan
#   terraform apply
#
# The import block can be taken away afterwards.

terraform {
  required_version = ">= 1.5"
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

provider "zkboot" {
  ssh = {
    user             = "debian"
    known_hosts_file = "known_hosts"
  }
}

import {
  to = module.zookeeper.zkboot_ensemble.this
  id = "debian@203.0.113.11:22"
}

module "zookeeper" {
  source = "../../modules/ensemble"

  name = "main"
  hosts = {
    zk1 = { address = "10.0.0.11", id = 1, ssh = { address = "203.0.113.11" } }
    zk2 = { address = "10.0.0.12", id = 2, ssh = { address = "203.0.113.12" } }
    zk3 = { address = "10.0.0.13", id = 3, ssh = { address = "203.0.113.13" } }
  }
  zookeeper_source = {
    tarball = {
      url    = "https://archive.apache.org/dist/zookeeper/zookeeper-3.8.6/apache-zookeeper-3.8.6-bin.tar.gz"
      sha512 = var.zookeeper_sha512
    }
  }
}
