terraform {
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
    zk3 = { address = "10.0.0.13" }
  }
}

data "zkboot_cloudinit" "boot" {
  for_each = local.hosts

  host    = each.key
  name    = "main"
  hosts   = local.hosts
  members = { zk1 = { id = 1 }, zk2 = { id = 2 }, zk3 = { id = 3 } }
  source = {
    tarball = {
      url    = "https://archive.apache.org/dist/zookeeper/zookeeper-3.8.6/apache-zookeeper-3.8.6-bin.tar.gz"
      sha512 = var.zookeeper_sha512
    }
  }

  login        = { user = "debian", authorized_keys = [var.ops_key] }
  time_servers = ["ntp1.example.net", "ntp2.example.net"]
}

variable "zookeeper_sha512" {
  description = "The 128 hex digits of the .sha512 file beside the release."
  type        = string
}

output "user_data_bytes" {
  description = "Size of each host's user-data; EC2 takes 16384."
  value       = { for host, is in data.zkboot_cloudinit.boot : host => is.bytes }
}

variable "ops_key" {
  description = "The public key that zkboot logs in with."
  type        = string
}
