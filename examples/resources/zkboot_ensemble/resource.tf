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
    zk1 = { address = "10.0.0.11", ssh = { address = "203.0.113.11" } }
    zk2 = { address = "10.0.0.12", ssh = { address = "203.0.113.12" } }
    zk3 = { address = "10.0.0.13", ssh = { address = "203.0.113.13" } }
  }
  members = {
    zk1 = { id = 1 }
    zk2 = { id = 2 }
    zk3 = { id = 3 }
  }

  # The ZooKeeper of Debian has known issues, which zkboot names and refuses.
  source = {
    tarball = {
      url    = "https://archive.apache.org/dist/zookeeper/zookeeper-3.8.6/apache-zookeeper-3.8.6-bin.tar.gz"
      sha512 = var.zookeeper_sha512
    }
  }

  heap                = "1GiB"
  config              = { maxClientCnxns = "200" }
  deletion_protection = true
}

variable "zookeeper_sha512" {
  description = "The 128 hex digits of the .sha512 file beside the release."
  type        = string
}

output "connect_string" {
  description = "What ZooKeeper clients connect to."
  value       = zkboot_ensemble.main.connect_string
}
