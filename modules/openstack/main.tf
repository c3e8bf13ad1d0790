# Servers of an OpenStack cloud, for members of an ensemble and for applications.

locals {
  hosts = {
    for name, h in var.hosts : name => {
      kind              = h.kind
      address           = h.address
      image_id          = h.image_id == null ? var.image_id : h.image_id
      flavor_name       = h.flavor_name == null ? var.flavor_name : h.flavor_name
      availability_zone = h.availability_zone
      root_gib          = h.root_gib == null ? var.root_gib : h.root_gib
      data_gib          = coalesce(h.data_gib, h.kind == "member" ? var.data_gib : 0)
      floating_ip       = coalesce(h.floating_ip, false)
    }
  }
  with_data     = { for name, h in local.hosts : name => h if h.data_gib > 0 }
  with_floating = { for name, h in local.hosts : name => h if h.floating_ip }

  # QEMU cuts the serial of a virtio disk at 20 characters; a SCSI disk keeps it whole.
  data_disks = {
    for name, v in openstack_blockstorage_volume_v3.data : name =>
    var.disk_bus == "virtio" ? "/dev/disk/by-id/virtio-${substr(v.id, 0, 20)}" : "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_${v.id}"
  }
}

# Members of an ensemble must not fail together.
resource "openstack_compute_servergroup_v2" "members" {
  name     = "${var.name}-members"
  policies = [var.placement_policy]
}

resource "openstack_networking_port_v2" "host" {
  for_each = local.hosts

  name           = "${var.name}-${each.key}"
  network_id     = local.network_id
  admin_state_up = true
  security_group_ids = concat(
    [openstack_networking_secgroup_v2.ssh.id],
    [each.value.kind == "member" ? openstack_networking_secgroup_v2.member.id : openstack_networking_secgroup_v2.app.id],
    var.extra_security_group_ids,
  )

  fixed_ip {
    subnet_id  = local.subnet_id
    ip_address = each.value.address
  }

  lifecycle {
    precondition {
      condition     = var.network.cidr == null ? true : cidrhost("${each.value.address}/${split("/", var.network.cidr)[1]}", 0) == cidrhost(var.network.cidr, 0)
      error_message = "${each.key}: its address ${each.value.address} is not in the network ${coalesce(var.network.cidr, "-")}."
    }
  }
}

resource "openstack_blockstorage_volume_v3" "data" {
  for_each = local.with_data

  name                 = "${var.name}-${each.key}-data"
  size                 = each.value.data_gib
  volume_type          = var.volume_type
  availability_zone    = each.value.availability_zone
  enable_online_resize = true

  lifecycle {
    # Each of them would make a new volume, and the member's data be gone.
    ignore_changes = [volume_type, availability_zone]
  }
}

resource "openstack_compute_instance_v2" "host" {
  for_each = local.hosts

  name              = "${var.name}-${each.key}"
  flavor_name       = each.value.flavor_name
  image_id          = each.value.root_gib == null ? each.value.image_id : null
  availability_zone = each.value.availability_zone
  user_data         = var.user_data[each.key]
  # user-data comes from the drive even where the metadata service does not answer yet.
  config_drive        = true
  stop_before_destroy = true # a clean stop: the file systems of the data volume go on to the next server

  block_device {
    uuid                  = each.value.image_id
    source_type           = "image"
    destination_type      = each.value.root_gib == null ? "local" : "volume"
    volume_size           = each.value.root_gib
    volume_type           = each.value.root_gib == null ? null : var.volume_type
    boot_index            = 0
    delete_on_termination = true
  }

  # Part of the server and not attached afterwards: so it is there at the first boot.
  dynamic "block_device" {
    for_each = contains(keys(local.with_data), each.key) ? [openstack_blockstorage_volume_v3.data[each.key].id] : []
    content {
      uuid                  = block_device.value
      source_type           = "volume"
      destination_type      = "volume"
      boot_index            = -1
      delete_on_termination = false
    }
  }

  network {
    port = openstack_networking_port_v2.host[each.key].id
  }

  dynamic "scheduler_hints" {
    for_each = each.value.kind == "member" ? [openstack_compute_servergroup_v2.members.id] : []
    content {
      group = scheduler_hints.value
    }
  }

  lifecycle {
    # Each of them would replace all servers at once. The first boot of a member that serves is over, and
    # a new image is taken up by one member after the other: terraform apply -replace=...
    ignore_changes = [user_data, image_id, block_device[0].uuid]

    precondition {
      condition     = contains(keys(var.user_data), each.key)
      error_message = "${each.key}: user_data has no text for this host, so nobody could log in to it."
    }
  }
}

resource "openstack_networking_floatingip_v2" "host" {
  for_each = local.with_floating

  pool    = var.floating_ip_pool
  port_id = openstack_networking_port_v2.host[each.key].id

  # Neutron refuses an address for a port that no router reaches.
  depends_on = [openstack_networking_router_interface_v2.this]

  lifecycle {
    precondition {
      condition     = var.floating_ip_pool != null
      error_message = "${each.key}: floating_ip needs floating_ip_pool, the external network to take it from."
    }
  }
}
