# Three members and two application hosts as servers of an OpenStack cloud, reached through the one that
# has a public address:
#
#   export OS_CLOUD=...            # a cloud of ~/.config/openstack/clouds.yaml
#   terraform init
#   terraform apply -var-file main.tfvars

terraform {
  required_version = ">= 1.5"
  required_providers {
    openstack = {
      source  = "registry.terraform.io/terraform-provider-openstack/openstack"
      version = "~> 1.54.1"
    }
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

provider "openstack" {} # from OS_CLOUD, or the other OS_ variables

provider "zkboot" {
  ssh = {
    user           = "debian"
    identity_files = [var.ssh_key_file]
    # The servers are new: each key is recorded when it is first met, and held against it ever after.
    accept_new_file = "${path.root}/known_hosts"
    patience        = "10m"
  }
}

locals {
  members = { zk1 = 1, zk2 = 2, zk3 = 3 }
  apps    = { app1 = 1, app2 = 2 }

  hosts = merge(
    { for name, id in local.members : name => { kind = "member", address = cidrhost(var.network_cidr, 10 + id) } },
    # app1 is the way in to all others.
    { for name, n in local.apps : name => { kind = "app", address = cidrhost(var.network_cidr, 20 + n), floating_ip = name == "app1" } },
  )
  jump = { jump = { address = module.servers.hosts["app1"].ssh.address, user = "debian", identity_files = [var.ssh_key_file] } }

  # What cloud-init does at the first boot: somebody can log in, and nobody with a password.
  user_data = {
    for name in keys(local.hosts) : name => join("\n", ["#cloud-config", yamlencode({
      hostname   = name
      ssh_pwauth = false
      users = [{
        name                = "debian"
        shell               = "/bin/bash"
        sudo                = "ALL=(ALL) NOPASSWD:ALL"
        lock_passwd         = true
        ssh_authorized_keys = [trimspace(file("${var.ssh_key_file}.pub"))]
      }]
    })])
  }
}

module "servers" {
  source = "../../modules/openstack"

  name             = var.name
  hosts            = local.hosts
  user_data        = local.user_data
  image_id         = var.image_id
  flavor_name      = var.flavor_name
  volume_type      = var.volume_type
  ssh_cidrs        = var.ssh_cidrs
  floating_ip_pool = var.external_network_name
  network          = { cidr = var.network_cidr, external_id = var.external_network_id, dns_nameservers = var.dns_nameservers }
  service_ports    = [8080]
}

module "zookeeper" {
  source = "../../modules/ensemble"

  name  = var.name
  hosts = { for name, id in local.members : name => merge(module.servers.hosts[name], { id = id, ssh = local.jump }) }
  zookeeper_source = {
    tarball = {
      url    = "https://archive.apache.org/dist/zookeeper/zookeeper-3.8.6/apache-zookeeper-3.8.6-bin.tar.gz"
      sha512 = var.zookeeper_sha512
    }
  }
}

module "sidecars" {
  source = "../../modules/sidecar"

  name     = var.name
  hosts    = { for name in keys(local.apps) : name => merge(module.servers.hosts[name], name == "app1" ? {} : { ssh = local.jump }) }
  servers  = module.zookeeper.servers
  services = { inventory = { path = "/services/inventory" } }
  routes   = { inventory = { service = "inventory", bind = "127.0.0.1:3000", check = { http = "GET /health" } } }
  register = { inventory = { service = "inventory", port = 8080, check = { http = "http://127.0.0.1:8080/health" } } }
}
