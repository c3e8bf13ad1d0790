# A ZooKeeper ensemble on hosts that exist and answer SSH.

locals {
  members = { for name, h in var.hosts : name => h if h.id != null }

  # A disk of its own holds both directories: what a member keeps survives the machine only together.
  data_mount = "/srv/zookeeper"
  log_mount  = "/srv/zookeeper-log"
  data_disks = anytrue([for h in local.members : h.data_disk != null])
  log_disks  = anytrue([for h in local.members : h.log_disk != null])
  log_dir    = local.data_disks ? "${local.data_mount}/${var.name}/log" : null
}

resource "zkboot_ensemble" "this" {
  name = var.name

  hosts = {
    for name, h in var.hosts : name => {
      address  = h.address
      country  = h.country
      lost     = h.lost
      host_key = h.host_key
      ssh      = h.ssh
      mounts = h.data_disk == null && h.log_disk == null ? null : merge(
        h.data_disk == null ? {} : { (local.data_mount) = { device = h.data_disk } },
        h.log_disk == null ? {} : { (local.log_mount) = { device = h.log_disk } },
      )
    }
  }
  members = { for name, h in local.members : name => { id = h.id, role = h.role } }

  source              = var.zookeeper_source
  accept_known_issues = length(var.accept_known_issues) > 0 ? var.accept_known_issues : null

  data_dir     = local.data_disks ? "${local.data_mount}/${var.name}/data" : null
  data_log_dir = local.log_disks ? "${local.log_mount}/${var.name}" : local.log_dir

  heap      = var.heap
  config    = length(var.config) > 0 ? var.config : null
  hardware  = { profile = var.hardware_profile }
  placement = length(var.countries) > 0 ? { countries = var.countries } : null

  deletion_protection = var.deletion_protection
  on_destroy          = { wipe_data = var.wipe_data_on_destroy }
}
