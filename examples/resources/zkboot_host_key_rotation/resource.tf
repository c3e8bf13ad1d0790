terraform {
  required_version = ">= 1.4"
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

locals {
  addresses = { zk1 = "10.0.0.11", zk2 = "10.0.0.12", zk3 = "10.0.0.13" }
  members   = { zk1 = { id = 1 }, zk2 = { id = 2 }, zk3 = { id = 3 } }
  source    = { tarball = { url = var.zookeeper_url, sha512 = var.zookeeper_sha512 } }
}

# 1. A key that is pinned before its host exists.
resource "zkboot_host_key" "zk" {
  for_each = local.addresses
}

# 2. user-data brings it to the host at the first boot.
data "zkboot_cloudinit" "boot" {
  for_each = local.addresses

  host              = each.key
  name              = "main"
  hosts             = { for name, address in local.addresses : name => { address = address, host_key = zkboot_host_key.zk[name].public_key } }
  members           = local.members
  source            = local.source
  login             = { user = "debian", authorized_keys = [var.ops_key] }
  host_private_keys = [zkboot_host_key.zk[each.key].private_key]
}

# 3. The machine. This stands for what makes yours, such as libvirt_domain or
# openstack_compute_instance_v2.
resource "terraform_data" "machine" {
  for_each = local.addresses

  input = data.zkboot_cloudinit.boot[each.key].sensitive_user_data
}

# 4. The first connection accepts that key alone, and has it replaced.
resource "zkboot_host_key_rotation" "zk" {
  for_each = local.addresses

  address  = each.value
  host_key = zkboot_host_key.zk[each.key].public_key

  # A machine that is made anew has the key from user-data again.
  keepers = { machine = terraform_data.machine[each.key].id }
}

# 5. All others accept the new one.
resource "zkboot_ensemble" "main" {
  name    = "main"
  hosts   = { for name, address in local.addresses : name => { address = address, host_key = zkboot_host_key_rotation.zk[name].public_key } }
  members = local.members
  source  = local.source
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
