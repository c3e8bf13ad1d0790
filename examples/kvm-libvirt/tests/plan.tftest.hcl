# Both providers are mocked: the example hangs together. `make demo-vm` is where it is applied for real.

mock_provider "libvirt" {}
mock_provider "zkboot" {
  mock_resource "zkboot_ensemble" {
    defaults = { connect_string = "10.17.3.11:2181,10.17.3.12:2181,10.17.3.13:2181" }
  }
}

variables {
  image        = "/images/debian-12.qcow2"
  ssh_key_file = "tests/key"
}

run "three_members_and_an_application_host" {
  assert {
    condition     = output.addresses == { zk1 = "10.17.3.11", zk2 = "10.17.3.12", zk3 = "10.17.3.13", app1 = "10.17.3.21" }
    error_message = "addresses: ${jsonencode(output.addresses)}"
  }
  assert {
    condition     = module.machines.hosts["app1"].data_disk == null && module.machines.hosts["zk1"].data_disk != null
    error_message = "members alone have a data volume: ${jsonencode(module.machines.hosts)}"
  }
  assert {
    condition     = module.zookeeper.members == { zk1 = 1, zk2 = 2, zk3 = 3 }
    error_message = "members: ${jsonencode(module.zookeeper.members)}"
  }
}

run "nobody_logs_in_with_a_password" {
  command = plan
  assert {
    condition     = startswith(local.user_data["zk1"], "#cloud-config\n") && yamldecode(local.user_data["zk1"]).ssh_pwauth == false
    error_message = "user-data: ${local.user_data["zk1"]}"
  }
  assert {
    condition     = yamldecode(local.user_data["zk1"]).users[0].ssh_authorized_keys == [trimspace(file("tests/key.pub"))]
    error_message = "user-data: ${local.user_data["zk1"]}"
  }
}

run "a_key_that_is_not_there_is_refused" {
  command = plan
  variables {
    ssh_key_file = "tests/plan.tftest.hcl"
  }
  expect_failures = [var.ssh_key_file]
}
