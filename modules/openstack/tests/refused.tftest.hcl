# What cannot work is refused while planning, by the variable or the host that is wrong.

mock_provider "openstack" {}

variables {
  name        = "main"
  image_id    = "11111111-1111-1111-1111-111111111111"
  flavor_name = "dedicated-2c-4g"
  ssh_cidrs   = ["198.51.100.0/24"]
  network     = { cidr = "10.20.0.0/24" }
  hosts       = { zk1 = { kind = "member", address = "10.20.0.11" } }
  user_data   = { zk1 = "#cloud-config\n" }
}

run "a_host_without_user_data" {
  command = plan
  variables {
    user_data = {}
  }
  expect_failures = [openstack_compute_instance_v2.host["zk1"]]
}

run "a_text_that_cloud_init_ignores" {
  command = plan
  variables {
    user_data = { zk1 = "hostname: zk1\n" }
  }
  expect_failures = [var.user_data]
}

run "more_user_data_than_nova_takes" {
  command = plan
  variables {
    user_data = { zk1 = "#cloud-config\n${join("", [for i in range(1000) : "# fifty characters that nobody needs, for the size.\n"])}" }
  }
  expect_failures = [var.user_data]
}

run "an_address_outside_the_network" {
  command = plan
  variables {
    hosts = { zk1 = { kind = "member", address = "10.21.0.11" } }
  }
  expect_failures = [openstack_networking_port_v2.host["zk1"]]
}

run "a_floating_address_from_nowhere" {
  command = plan
  variables {
    hosts = { zk1 = { kind = "member", address = "10.20.0.11", floating_ip = true } }
  }
  expect_failures = [openstack_networking_floatingip_v2.host["zk1"]]
}

run "no_hosts" {
  command = plan
  variables {
    hosts = {}
  }
  expect_failures = [var.hosts]
}

run "an_unknown_kind" {
  command = plan
  variables {
    hosts = { zk1 = { kind = "zookeeper", address = "10.20.0.11" } }
  }
  expect_failures = [var.hosts]
}

run "one_address_twice" {
  command = plan
  variables {
    hosts = {
      zk1 = { kind = "member", address = "10.20.0.11" }
      zk2 = { kind = "member", address = "10.20.0.11" }
    }
    user_data = { zk1 = "#cloud-config\n", zk2 = "#cloud-config\n" }
  }
  expect_failures = [var.hosts]
}

run "no_address" {
  command = plan
  variables {
    hosts   = { zk1 = { kind = "member", address = "dhcp" } }
    network = { id = "net-1", subnet_id = "subnet-1" }
  }
  expect_failures = [var.hosts]
}

run "a_name_that_is_no_host_name" {
  command = plan
  variables {
    hosts     = { zk_1 = { kind = "member", address = "10.20.0.11" } }
    user_data = { zk_1 = "#cloud-config\n" }
  }
  expect_failures = [var.hosts]
}

run "a_negative_data_volume_of_a_host" {
  command = plan
  variables {
    hosts = { zk1 = { kind = "member", address = "10.20.0.11", data_gib = -1 } }
  }
  expect_failures = [var.hosts]
}

run "a_negative_data_volume" {
  command = plan
  variables {
    data_gib = -1
  }
  expect_failures = [var.data_gib]
}

run "an_unknown_disk_bus" {
  command = plan
  variables {
    disk_bus = "ide"
  }
  expect_failures = [var.disk_bus]
}

run "members_on_one_hypervisor" {
  command = plan
  variables {
    placement_policy = "affinity"
  }
  expect_failures = [var.placement_policy]
}

run "two_networks" {
  command = plan
  variables {
    network = { cidr = "10.20.0.0/24", id = "net-1", subnet_id = "subnet-1" }
  }
  expect_failures = [var.network]
}

run "a_network_without_its_subnet" {
  command = plan
  variables {
    network = { id = "net-1" }
  }
  expect_failures = [var.network]
}

run "a_network_that_is_none" {
  command = plan
  variables {
    network = { cidr = "10.20.0.0" }
  }
  expect_failures = [var.network]
}

run "ssh_from_nowhere" {
  command = plan
  variables {
    ssh_cidrs = []
  }
  expect_failures = [var.ssh_cidrs]
}

run "ssh_from_everywhere" {
  command = plan
  variables {
    ssh_cidrs = ["198.51.100.0/24", "0.0.0.0/0"]
  }
  expect_failures = [var.ssh_cidrs]
}

run "clients_from_everywhere" {
  command = plan
  variables {
    client_cidrs = ["::/0"]
  }
  expect_failures = [var.client_cidrs]
}

run "port_0" {
  command = plan
  variables {
    service_ports = [0]
  }
  expect_failures = [var.service_ports]
}

run "a_name_with_blanks" {
  command = plan
  variables {
    name = "my hosts"
  }
  expect_failures = [var.name]
}
