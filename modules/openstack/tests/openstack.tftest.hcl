# The provider is mocked: what is tested is what the module asks it for.

mock_provider "openstack" {
  mock_resource "openstack_blockstorage_volume_v3" {
    defaults = { id = "2d3ad0b4-6c1f-4b3e-9d57-1d3c1f5f0a11" }
  }
  mock_resource "openstack_networking_floatingip_v2" {
    defaults = { address = "203.0.113.21" }
  }
}

variables {
  name        = "main"
  image_id    = "11111111-1111-1111-1111-111111111111"
  flavor_name = "dedicated-2c-4g"
  ssh_cidrs   = ["198.51.100.0/24"]
  network     = { cidr = "10.20.0.0/24", external_id = "99999999-9999-9999-9999-999999999999", dns_nameservers = ["9.9.9.9"] }
  hosts = {
    zk1  = { kind = "member", address = "10.20.0.11", availability_zone = "a" }
    zk2  = { kind = "member", address = "10.20.0.12", data_gib = 40, flavor_name = "dedicated-4c-8g" }
    zk3  = { kind = "member", address = "10.20.0.13" }
    app1 = { kind = "app", address = "10.20.0.21", floating_ip = true }
  }
  floating_ip_pool = "public"
  service_ports    = [8080]
  user_data = {
    zk1  = "#cloud-config\nhostname: zk1\n"
    zk2  = "#cloud-config\nhostname: zk2\n"
    zk3  = "#cloud-config\nhostname: zk3\n"
    app1 = "#cloud-config\nhostname: app1\n"
  }
}

run "servers" {
  assert {
    condition     = [for s in openstack_compute_instance_v2.host : s.name] == ["main-app1", "main-zk1", "main-zk2", "main-zk3"]
    error_message = "servers: ${jsonencode([for s in openstack_compute_instance_v2.host : s.name])}"
  }
  assert {
    condition     = openstack_compute_instance_v2.host["zk1"].flavor_name == "dedicated-2c-4g" && openstack_compute_instance_v2.host["zk2"].flavor_name == "dedicated-4c-8g"
    error_message = "a host's own flavor wins"
  }
  assert {
    condition     = openstack_compute_instance_v2.host["zk1"].user_data == "#cloud-config\nhostname: zk1\n" && openstack_compute_instance_v2.host["zk1"].config_drive
    error_message = "zk1 has not got its own user-data on a drive"
  }
  assert {
    condition     = openstack_compute_instance_v2.host["zk1"].network[0].port == openstack_networking_port_v2.host["zk1"].id
    error_message = "zk1 is not at its port"
  }
}

run "members_keep_apart" {
  assert {
    condition     = openstack_compute_servergroup_v2.members.policies == tolist(["anti-affinity"])
    error_message = "policies: ${jsonencode(openstack_compute_servergroup_v2.members.policies)}"
  }
  assert {
    condition     = alltrue([for n in ["zk1", "zk2", "zk3"] : one(openstack_compute_instance_v2.host[n].scheduler_hints).group == openstack_compute_servergroup_v2.members.id])
    error_message = "every member is in the server group"
  }
  assert {
    condition     = length(openstack_compute_instance_v2.host["app1"].scheduler_hints) == 0
    error_message = "application hosts take no room from the members: ${jsonencode(openstack_compute_instance_v2.host["app1"].scheduler_hints)}"
  }
}

run "data_is_on_a_volume_of_its_own" {
  assert {
    condition     = openstack_blockstorage_volume_v3.data["zk1"].size == 10 && openstack_blockstorage_volume_v3.data["zk2"].size == 40 && openstack_blockstorage_volume_v3.data["zk1"].availability_zone == "a"
    error_message = "volumes: ${jsonencode(openstack_blockstorage_volume_v3.data)}"
  }
  assert {
    condition     = openstack_compute_instance_v2.host["zk1"].block_device[1].uuid == openstack_blockstorage_volume_v3.data["zk1"].id && !openstack_compute_instance_v2.host["zk1"].block_device[1].delete_on_termination
    error_message = "the volume is there at the first boot, and outlives the server: ${jsonencode(openstack_compute_instance_v2.host["zk1"].block_device)}"
  }
  assert {
    condition     = length(openstack_compute_instance_v2.host["app1"].block_device) == 1 && output.hosts["app1"].data_disk == null
    error_message = "app1 has no data volume: ${jsonencode(openstack_compute_instance_v2.host["app1"].block_device)}"
  }
  assert {
    condition     = output.hosts["zk1"].data_disk == "/dev/disk/by-id/virtio-2d3ad0b4-6c1f-4b3e-9"
    error_message = "zk1: ${output.hosts["zk1"].data_disk}"
  }
}

run "a_scsi_disk_has_its_whole_serial" {
  variables {
    disk_bus = "scsi"
  }
  assert {
    condition     = output.data_disks["zk1"] == "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_2d3ad0b4-6c1f-4b3e-9d57-1d3c1f5f0a11"
    error_message = "zk1: ${output.data_disks["zk1"]}"
  }
}

run "the_root_is_on_the_flavor_or_on_a_volume" {
  variables {
    hosts = {
      zk1 = { kind = "member", address = "10.20.0.11" }
      zk2 = { kind = "member", address = "10.20.0.12", root_gib = 20 }
    }
  }
  assert {
    condition     = openstack_compute_instance_v2.host["zk1"].block_device[0].destination_type == "local" && openstack_compute_instance_v2.host["zk1"].image_id == "11111111-1111-1111-1111-111111111111"
    error_message = "zk1: ${jsonencode(openstack_compute_instance_v2.host["zk1"].block_device)}"
  }
  assert {
    condition     = openstack_compute_instance_v2.host["zk2"].block_device[0].destination_type == "volume" && openstack_compute_instance_v2.host["zk2"].block_device[0].volume_size == 20
    error_message = "zk2: ${jsonencode(openstack_compute_instance_v2.host["zk2"].block_device)}"
  }
}

run "who_may_talk_to_whom" {
  assert {
    condition     = tolist(keys(openstack_networking_secgroup_rule_v2.member)) == tolist(["from-apps", "from-members", "ping", "probe", "quorum-2888", "quorum-3888"])
    error_message = "rules of members: ${jsonencode(keys(openstack_networking_secgroup_rule_v2.member))}"
  }
  assert {
    condition     = openstack_networking_secgroup_rule_v2.member["from-apps"].remote_group_id == openstack_networking_secgroup_v2.app.id && openstack_networking_secgroup_rule_v2.member["from-apps"].port_range_min == 2181
    error_message = "sidecars reach ZooKeeper"
  }
  assert {
    condition     = alltrue([for n in ["quorum-2888", "quorum-3888"] : openstack_networking_secgroup_rule_v2.member[n].remote_group_id == openstack_networking_secgroup_v2.member.id])
    error_message = "members alone reach the ports of the quorum"
  }
  assert {
    condition     = tolist(keys(openstack_networking_secgroup_rule_v2.ssh)) == tolist(["198.51.100.0/24"])
    error_message = "SSH: ${jsonencode(keys(openstack_networking_secgroup_rule_v2.ssh))}"
  }
  assert {
    condition     = openstack_networking_secgroup_rule_v2.app["8080"].remote_group_id == openstack_networking_secgroup_v2.app.id
    error_message = "sidecars reach instances of services on other application hosts"
  }
  assert {
    condition     = openstack_networking_port_v2.host["zk1"].security_group_ids == toset([openstack_networking_secgroup_v2.ssh.id, openstack_networking_secgroup_v2.member.id])
    error_message = "zk1: ${jsonencode(openstack_networking_port_v2.host["zk1"].security_group_ids)}"
  }
  assert {
    condition     = openstack_networking_port_v2.host["app1"].security_group_ids == toset([openstack_networking_secgroup_v2.ssh.id, openstack_networking_secgroup_v2.app.id])
    error_message = "app1: ${jsonencode(openstack_networking_port_v2.host["app1"].security_group_ids)}"
  }
}

run "clients_from_elsewhere" {
  variables {
    client_cidrs             = ["10.30.0.0/16"]
    extra_security_group_ids = ["monitoring"]
  }
  assert {
    condition     = openstack_networking_secgroup_rule_v2.member["from-10.30.0.0/16"].remote_ip_prefix == "10.30.0.0/16" && openstack_networking_secgroup_rule_v2.member["from-10.30.0.0/16"].port_range_max == 2181
    error_message = "rules: ${jsonencode(openstack_networking_secgroup_rule_v2.member)}"
  }
  assert {
    condition     = contains(openstack_networking_port_v2.host["zk1"].security_group_ids, "monitoring")
    error_message = "zk1: ${jsonencode(openstack_networking_port_v2.host["zk1"].security_group_ids)}"
  }
}

run "addresses" {
  assert {
    condition     = openstack_networking_port_v2.host["zk1"].fixed_ip[0].ip_address == "10.20.0.11" && openstack_networking_port_v2.host["zk1"].fixed_ip[0].subnet_id == one(openstack_networking_subnet_v2.this).id
    error_message = "zk1: ${jsonencode(openstack_networking_port_v2.host["zk1"].fixed_ip)}"
  }
  assert {
    condition     = output.hosts["zk1"].address == "10.20.0.11" && output.hosts["zk1"].ssh == null
    error_message = "zk1: ${jsonencode(output.hosts["zk1"])}"
  }
  assert {
    condition     = output.hosts["app1"].ssh.address == "203.0.113.21"
    error_message = "app1: ${jsonencode(output.hosts["app1"])}"
  }
  assert {
    condition     = one(openstack_networking_router_v2.this).external_network_id == "99999999-9999-9999-9999-999999999999"
    error_message = "router: ${jsonencode(openstack_networking_router_v2.this)}"
  }
}

run "a_network_that_is_there" {
  variables {
    network = { id = "net-1", subnet_id = "subnet-1" }
  }
  assert {
    condition     = length(openstack_networking_network_v2.this) == 0 && length(openstack_networking_router_v2.this) == 0
    error_message = "no network is made beside one that is there"
  }
  assert {
    condition     = openstack_networking_port_v2.host["zk1"].network_id == "net-1" && openstack_networking_port_v2.host["zk1"].fixed_ip[0].subnet_id == "subnet-1"
    error_message = "zk1: ${jsonencode(openstack_networking_port_v2.host["zk1"])}"
  }
}

run "a_network_without_a_way_out" {
  variables {
    network = { cidr = "10.20.0.0/24" }
  }
  assert {
    condition     = one(openstack_networking_subnet_v2.this).no_gateway && length(openstack_networking_router_v2.this) == 0
    error_message = "subnet: ${jsonencode(openstack_networking_subnet_v2.this)}"
  }
}

# New user-data, or a new image, must not replace three members at once.
run "members_that_serve" {
  variables {
    user_data = { zk1 = "#cloud-config\n# other\n", zk2 = "#cloud-config\n# other\n", zk3 = "#cloud-config\n# other\n", app1 = "#cloud-config\n# other\n" }
    image_id  = "22222222-2222-2222-2222-222222222222"
  }
  assert {
    condition     = openstack_compute_instance_v2.host["zk1"].user_data == "#cloud-config\nhostname: zk1\n"
    error_message = "zk1 would be replaced for other user-data"
  }
  assert {
    condition     = openstack_compute_instance_v2.host["zk1"].image_id == "11111111-1111-1111-1111-111111111111" && openstack_compute_instance_v2.host["zk1"].block_device[0].uuid == "11111111-1111-1111-1111-111111111111"
    error_message = "zk1 would be replaced for another image"
  }
}

run "a_volume_type_is_for_new_volumes" {
  variables {
    volume_type = "nvme"
    hosts = {
      zk1 = { kind = "member", address = "10.20.0.11", availability_zone = "a" }
      zk4 = { kind = "member", address = "10.20.0.14" }
    }
    user_data = { zk1 = "#cloud-config\n", zk4 = "#cloud-config\n" }
  }
  assert {
    condition     = openstack_blockstorage_volume_v3.data["zk4"].volume_type == "nvme" && openstack_blockstorage_volume_v3.data["zk1"].volume_type != "nvme"
    error_message = "volumes: ${jsonencode(openstack_blockstorage_volume_v3.data)}"
  }
}
