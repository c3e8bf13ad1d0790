# What cloud-init does at the first boot: somebody can log in, and nobody with a password; application hosts
# have a service. The rest is the work of apply. `zkboot render user-data` writes more of it into a first
# boot, from a zkboot.yaml.

locals {
  user_data = {
    for name in keys(local.addresses) : name => join("\n", ["#cloud-config", yamlencode(merge(
      {
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
      },
      { for key, commands in { runcmd = local.service } : key => commands if contains(local.apps, name) },
    ))])
  }

  # The service that application hosts announce. An image that has it needs no package mirror.
  service = [
    "command -v nginx || { apt-get update && apt-get install -y --no-install-recommends nginx-light; }",
    "systemctl enable --now nginx",
  ]
}
