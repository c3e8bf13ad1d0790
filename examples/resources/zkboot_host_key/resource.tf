terraform {
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

resource "zkboot_host_key" "zk" {
  for_each = toset(["zk1", "zk2", "zk3"])

  # Another image is another host, which gets another key.
  keepers = { image = var.image }
}

locals {
  hosts = {
    zk1 = { address = "10.0.0.11", host_key = zkboot_host_key.zk["zk1"].public_key }
    zk2 = { address = "10.0.0.12", host_key = zkboot_host_key.zk["zk2"].public_key }
    zk3 = { address = "10.0.0.13", host_key = zkboot_host_key.zk["zk3"].public_key }
  }
}

# sensitive_user_data is what the machine is booted with.
data "zkboot_cloudinit" "boot" {
  for_each = local.hosts

  host              = each.key
  name              = "main"
  hosts             = local.hosts
  members           = { zk1 = { id = 1 }, zk2 = { id = 2 }, zk3 = { id = 3 } }
  source            = { tarball = { url = var.zookeeper_url, sha512 = var.zookeeper_sha512 } }
  login             = { user = "debian", authorized_keys = [var.ops_key] }
  host_private_keys = [zkboot_host_key.zk[each.key].private_key]
}

variable "image" {
  description = "What the machines boot from."
  type        = string
}

variable "zookeeper_url" {
  description = "A release archive of Apache ZooKeeper."
  type        = string
}

variable "zookeeper_sha512" {
  description = "The 128 hex digits of the .sha512 file beside the release."
  type        = string
}

variable "ops_key" {
  description = "The public key that zkboot logs in with."
  type        = string
}
