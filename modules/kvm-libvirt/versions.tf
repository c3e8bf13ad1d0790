terraform {
  required_version = ">= 1.5"
  required_providers {
    libvirt = {
      source = "registry.terraform.io/dmacvicar/libvirt"
      # 0.9 is another provider under the same name: nested attributes in the place of blocks.
      version = "~> 0.8.3"
    }
  }
}
