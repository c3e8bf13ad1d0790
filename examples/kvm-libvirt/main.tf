# Three members and an application host as virtual machines on a KVM hypervisor, from nothing to a proven
# ensemble in one apply:
#
#   terraform init
#   terraform apply -var image=/var/lib/images/debian-12.qcow2 -var ssh_key_file=$HOME/.ssh/id_ed25519

terraform {
  required_version = ">= 1.5"
  required_providers {
    libvirt = {
      source  = "registry.terraform.io/dmacvicar/libvirt"
      version = "~> 0.8.3"
    }
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

provider "libvirt" {
  uri = var.libvirt_uri
}

provider "zkboot" {
  ssh = {
    user           = "debian"
    identity_files = [var.ssh_key_file]
    config_file    = "none"
    # The machines are new: each key is recorded when it is first met, and held against it ever after.
    accept_new_file = "${path.root}/known_hosts"
    patience        = var.patience
  }
}

locals {
  members = { zk1 = 1, zk2 = 2, zk3 = 3 }
  apps    = ["app1"]

  addresses = merge(
    { for name, id in local.members : name => cidrhost(var.network_cidr, 10 + id) },
    { for i, name in local.apps : name => cidrhost(var.network_cidr, 21 + i) },
  )
}

module "machines" {
  source = "../../modules/kvm-libvirt"

  name        = var.name
  image       = var.image
  boot        = var.boot
  domain_type = var.domain_type
  pool        = var.pool
  network     = { cidr = var.network_cidr, mode = var.network_mode }
  memory_mib  = var.memory_mib
  vcpus       = var.vcpus
  root_gib    = var.root_gib
  data_gib    = var.data_gib

  hosts     = { for name, address in local.addresses : name => { address = address, data_gib = contains(local.apps, name) ? 0 : null } }
  user_data = { for name in keys(local.addresses) : name => local.user_data[name] }
}

module "zookeeper" {
  source = "../../modules/ensemble"

  name             = var.name
  hosts            = { for name, id in local.members : name => merge(module.machines.hosts[name], { id = id }) }
  hardware_profile = var.hardware_profile
  heap             = var.heap
  config           = var.config

  # Debian 12 ships ZooKeeper 3.8.0, which zkboot refuses for a known issue unless that is named.
  zookeeper_source    = var.zookeeper_source
  accept_known_issues = var.accept_known_issues

  # The machines are destroyed with it.
  deletion_protection = false
}

module "sidecars" {
  source = "../../modules/sidecar"

  name     = var.name
  hosts    = { for name in local.apps : name => { address = module.machines.hosts[name].address } }
  servers  = module.zookeeper.servers
  services = { inventory = { path = "/services/inventory" } }
  routes   = { inventory = { service = "inventory", bind = "127.0.0.1:3000", check = { http = "GET /" } } }
  register = { inventory = { service = "inventory", port = 80, check = { http = "http://127.0.0.1:80/" } } }
}
