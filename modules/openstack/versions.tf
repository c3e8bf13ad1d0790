terraform {
  required_version = ">= 1.5"
  required_providers {
    openstack = {
      source  = "registry.terraform.io/terraform-provider-openstack/openstack"
      version = "~> 1.54.1"
    }
  }
}
