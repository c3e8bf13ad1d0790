# Three members and two application hosts on machines that exist and answer SSH:
#
#   cp terraform.tfvars.example terraform.tfvars    # and write your hosts into it
#   terraform init
#   terraform apply

terraform {
  required_version = ">= 1.5"
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

provider "zkboot" {
  ssh = var.ssh
}

module "zookeeper" {
  source = "../../modules/ensemble"

  name                = var.name
  hosts               = var.members
  zookeeper_source    = var.zookeeper_source
  accept_known_issues = var.accept_known_issues
  hardware_profile    = var.hardware_profile
  heap                = var.heap
  deletion_protection = var.deletion_protection
}

module "sidecars" {
  source = "../../modules/sidecar"

  name     = var.name
  hosts    = var.apps
  servers  = module.zookeeper.servers
  services = { inventory = { path = "/services/inventory" } }

  # Applications reach all instances of inventory at 127.0.0.1:3000 ...
  routes = {
    inventory = {
      service = "inventory"
      bind    = "127.0.0.1:3000"
      check   = { http = "GET /health" }
    }
  }
  # ... and the instance beside each is announced while its check passes.
  register = {
    inventory = {
      service = "inventory"
      port    = 8080
      check   = { http = "http://127.0.0.1:8080/health" }
    }
  }
}
