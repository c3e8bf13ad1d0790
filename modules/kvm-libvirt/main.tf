# Virtual machines on a KVM hypervisor, for members of an ensemble and for applications.

locals {
  gib = 1024 * 1024 * 1024

  hosts = {
    for name, h in var.hosts : name => {
      address    = h.address
      image      = coalesce(h.image, var.image)
      memory_mib = coalesce(h.memory_mib, var.memory_mib)
      vcpus      = coalesce(h.vcpus, var.vcpus)
      root_gib   = coalesce(h.root_gib, var.root_gib)
      data_gib   = coalesce(h.data_gib, var.data_gib)
      # udev makes a link for NAA 5 and 6 identifiers alone: the first digit matters.
      # https://github.com/systemd/systemd/blob/v252/src/udev/scsi_id/scsi_serial.c
      wwn = "5${substr(sha256("${var.name}/${name}"), 0, 15)}"
    }
  }
  with_data = { for name, h in local.hosts : name => h if h.data_gib > 0 }

  pool       = var.pool.path == null ? var.pool.name : libvirt_pool.this[0].name
  network_id = var.network.cidr == null ? null : libvirt_network.this[0].id

  # Kernel parameters in the form in which the provider reads them back: one map of those with a value, one
  # text of the others. In any other form each plan would replace each machine.
  # https://github.com/dmacvicar/terraform-provider-libvirt/blob/v0.8.3/libvirt/utils_domain_def.go#L124
  parameters = var.boot == null ? [] : compact(split(" ", var.boot.cmdline))
  cmdline = concat(
    [for m in [{ for p in local.parameters : split("=", p)[0] => trimprefix(p, "${split("=", p)[0]}=") if strcontains(p, "=") }] : tomap(m) if length(m) > 0],
    [for text in compact([join(" ", [for p in local.parameters : p if !strcontains(p, "=")])]) : tomap({ "_" = text })],
  )

  # The provider has no attribute for the cache mode of a disk.
  # https://github.com/dmacvicar/terraform-provider-libvirt/blob/v0.8.3/libvirt/domain.go#L540
  cache_xslt = <<-EOT
    <xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
      <xsl:template match="@*|node()">
        <xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy>
      </xsl:template>
      <xsl:template match="/domain/devices/disk[@device='disk']/driver">
        <xsl:copy>
          <xsl:apply-templates select="@*[name()!='cache']"/>
          <xsl:attribute name="cache">${var.disk_cache}</xsl:attribute>
          <xsl:apply-templates select="node()"/>
        </xsl:copy>
      </xsl:template>
    </xsl:stylesheet>
  EOT
}

resource "libvirt_pool" "this" {
  count = var.pool.path == null ? 0 : 1

  name = var.pool.name
  type = "dir"
  target {
    path = var.pool.path
  }
}

resource "libvirt_network" "this" {
  count = var.network.cidr == null ? 0 : 1

  name      = var.name
  mode      = var.network.mode
  bridge    = var.network.bridge
  addresses = [var.network.cidr]
  autostart = true
  dhcp {
    enabled = true
  }
  dns {
    enabled = true
  }
}

# An image is made once for each that hosts are based on, and stays as long as one of them is: root
# volumes need it below them, so a changed image must not take the old one away from the others.
resource "libvirt_volume" "image" {
  for_each = toset([for h in values(local.hosts) : h.image])

  name   = "${var.name}-image-${substr(sha256(each.value), 0, 8)}.qcow2"
  pool   = local.pool
  source = each.value
  format = "qcow2"
}

resource "libvirt_volume" "root" {
  for_each = local.hosts

  name           = "${var.name}-${each.key}-root.qcow2"
  pool           = local.pool
  base_volume_id = libvirt_volume.image[each.value.image].id
  size           = each.value.root_gib * local.gib
  format         = "qcow2"
}

# Raw: a write to a qcow2 file that grows is followed by one to its tables, which shows in every fsync.
resource "libvirt_volume" "data" {
  for_each = local.with_data

  name   = "${var.name}-${each.key}-data.raw"
  pool   = local.pool
  size   = each.value.data_gib * local.gib
  format = "raw"
}

resource "libvirt_cloudinit_disk" "seed" {
  for_each = local.hosts

  name      = "${var.name}-${each.key}-seed.iso"
  pool      = local.pool
  user_data = var.user_data[each.key]
  # The instance id stays when user-data changes: with another, cloud-init would take the next boot of a
  # member that serves for its first.
  meta_data      = jsonencode({ instance-id = "${var.name}-${each.key}", local-hostname = each.key })
  network_config = lookup(var.network_config, each.key, null)

  lifecycle {
    precondition {
      condition     = contains(keys(var.user_data), each.key)
      error_message = "${each.key}: user_data has no text for this host, so nobody could log in to it."
    }
  }
}

resource "libvirt_domain" "host" {
  for_each = local.hosts

  name      = "${var.name}-${each.key}"
  type      = var.domain_type
  memory    = each.value.memory_mib
  vcpu      = each.value.vcpus
  autostart = true
  cloudinit = libvirt_cloudinit_disk.seed[each.key].id

  kernel  = var.boot == null ? null : var.boot.kernel
  initrd  = var.boot == null ? null : var.boot.initrd
  cmdline = var.boot == null ? null : local.cmdline

  dynamic "cpu" {
    for_each = var.domain_type == "kvm" ? ["host-passthrough"] : []
    content {
      mode = cpu.value
    }
  }

  disk {
    volume_id = libvirt_volume.root[each.key].id
  }

  # As a SCSI disk the data volume has a name that does not depend on the order of disks.
  dynamic "disk" {
    for_each = contains(keys(local.with_data), each.key) ? [each.value.wwn] : []
    content {
      volume_id = libvirt_volume.data[each.key].id
      scsi      = true
      wwn       = disk.value
    }
  }

  network_interface {
    network_id     = local.network_id
    network_name   = var.network.name
    hostname       = each.key
    addresses      = [each.value.address]
    wait_for_lease = !contains(keys(var.network_config), each.key)
  }

  console {
    type        = "pty"
    target_type = "serial"
    target_port = "0"
  }

  # Without this block the provider asks for SPICE, which a server's QEMU may be built without.
  graphics {
    type        = "vnc"
    listen_type = "address"
  }

  dynamic "xml" {
    for_each = var.disk_cache == "writeback" ? [] : [local.cache_xslt]
    content {
      xslt = xml.value
    }
  }

  # The provider waits for the lease of a first boot, 5 minutes unless told otherwise: without hardware
  # virtualization, and with others that boot at the same time, it takes longer.
  timeouts {
    create = "20m"
  }

  lifecycle {
    precondition {
      condition     = var.network.cidr == null ? true : cidrhost("${each.value.address}/${split("/", var.network.cidr)[1]}", 0) == cidrhost(var.network.cidr, 0)
      error_message = "${each.key}: its address ${each.value.address} is not in the network ${coalesce(var.network.cidr, "-")}."
    }
  }
}
