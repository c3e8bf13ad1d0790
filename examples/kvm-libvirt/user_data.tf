# What cloud-init does at the first boot: somebody can log in, and nobody with a password. The rest is the
# work of apply. `zkboot render user-data` writes more of it into a first boot, from a zkboot.yaml.

locals {
  user_data = {
    for name in keys(local.addresses) : name => join("\n", ["#cloud-config", yamlencode({
      hostname          = name
      preserve_hostname = false
      ssh_pwauth        = false
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
