terraform {
  required_version = ">= 1.5"
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

provider "zkboot" {
  ssh = {
    user             = "debian"
    identity_files   = ["~/.ssh/id_ed25519"]
    known_hosts_file = "known_hosts"
    jump             = { address = "bastion.example.net" }
  }
}
