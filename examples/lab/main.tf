# A ZooKeeper ensemble, and a sidecar on every application host, on the throw-away hosts of a
# lab:
#
#   zkboot lab up --name demo --zookeeper 3 --apps 2 --dir .lab/demo
#   terraform init
#   terraform apply -var lab_dir=$PWD/.lab/demo
#
# The lab says in its zkboot.yaml which hosts there are; elsewhere they would be written
# here, or come from the resources that make them.

terraform {
  required_version = ">= 1.5"
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

locals {
  lab = yamldecode(file("${var.lab_dir}/zkboot.yaml"))
}

provider "zkboot" {
  ssh = {
    user             = local.lab.ssh.user
    identity_files   = [for f in local.lab.ssh.identity_files : "${var.lab_dir}/${f}"]
    known_hosts_file = "${var.lab_dir}/${local.lab.ssh.known_hosts_file}"
    config_file      = "none"
  }
}

resource "zkboot_ensemble" "lab" {
  name     = local.lab.name
  hardware = { profile = local.lab.hardware.profile }

  hosts   = { for name in keys(local.lab.ensemble.members) : name => { address = local.lab.hosts[name].address } }
  members = local.lab.ensemble.members

  # Debian 12 ships ZooKeeper 3.8.0, which zkboot refuses for a known issue unless that is
  # named. A lab holds nothing worth keeping; elsewhere use source.tarball.
  source              = { apt = {} }
  accept_known_issues = local.lab.ensemble.accept_known_issues

  heap = local.lab.ensemble.heap
}

# Each application host reaches all instances of inventory at 127.0.0.1:3000, and announces
# its own while the check passes.
resource "zkboot_sidecar" "app" {
  for_each = try(local.lab.sidecars, {})

  name       = local.lab.name
  hosts      = { (each.key) = { address = local.lab.hosts[each.key].address } }
  registries = { main = { zookeeper = { servers = split(",", zkboot_ensemble.lab.connect_string) } } }
  services   = local.lab.services
  routes     = each.value.routes
  register   = each.value.register
}
