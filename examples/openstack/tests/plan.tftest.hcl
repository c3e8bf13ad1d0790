# Both providers are mocked: the example hangs together. No cloud is asked.

mock_provider "openstack" {
  mock_resource "openstack_networking_floatingip_v2" {
    defaults = { address = "203.0.113.21" }
  }
}
mock_provider "zkboot" {
  mock_resource "zkboot_ensemble" {
    defaults = { connect_string = "10.20.0.11:2181,10.20.0.12:2181,10.20.0.13:2181" }
  }
}

variables {
  image_id              = "11111111-1111-1111-1111-111111111111"
  flavor_name           = "dedicated-2c-4g"
  ssh_key_file          = "tests/key"
  ssh_cidrs             = ["198.51.100.0/24"]
  external_network_id   = "99999999-9999-9999-9999-999999999999"
  external_network_name = "public"
  zookeeper_sha512      = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "members_are_reached_through_app1" {
  assert {
    condition     = output.app1 == "203.0.113.21" && local.jump.jump.address == "203.0.113.21"
    error_message = "the way in: ${output.app1}"
  }
  assert {
    condition     = module.servers.hosts["zk1"].ssh == null && module.servers.hosts["zk1"].address == "10.20.0.11"
    error_message = "zk1 has no public address: ${jsonencode(module.servers.hosts["zk1"])}"
  }
  assert {
    condition     = startswith(local.user_data["zk1"], "#cloud-config\n")
    error_message = "user-data: ${local.user_data["zk1"]}"
  }
}
