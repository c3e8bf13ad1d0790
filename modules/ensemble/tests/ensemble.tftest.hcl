# The provider is mocked: what is tested is what the module asks it for.

mock_provider "zkboot" {
  mock_resource "zkboot_ensemble" {
    defaults = {
      connect_string = "10.0.0.11:2181,10.0.0.12:2181,10.0.0.13:2181"
      hosts_state    = { zk1 = "in sync", zk2 = "in sync", zk3 = "in sync" }
      id             = "0123456789abcdef"
    }
  }
}

variables {
  name = "main"
  hosts = {
    zk1 = { address = "10.0.0.11", id = 1 }
    zk2 = { address = "10.0.0.12", id = 2 }
    zk3 = { address = "10.0.0.13", id = 3, ssh = { address = "203.0.113.13", port = 2222 } }
  }
  zookeeper_source = { apt = {} }
}

run "three_members" {
  assert {
    condition     = zkboot_ensemble.this.members == tomap({ zk1 = { id = 1, role = "voter" }, zk2 = { id = 2, role = "voter" }, zk3 = { id = 3, role = "voter" } })
    error_message = "members: ${jsonencode(zkboot_ensemble.this.members)}"
  }
  assert {
    condition     = zkboot_ensemble.this.hosts["zk3"].ssh.address == "203.0.113.13" && zkboot_ensemble.this.hosts["zk3"].ssh.port == 2222
    error_message = "zk3 is not reached where the caller said: ${jsonencode(zkboot_ensemble.this.hosts["zk3"])}"
  }
  assert {
    condition     = zkboot_ensemble.this.hosts["zk1"].mounts == null && zkboot_ensemble.this.data_dir == null && zkboot_ensemble.this.data_log_dir == null
    error_message = "without disks of their own, members keep what they have where the provider puts it"
  }
  assert {
    condition     = zkboot_ensemble.this.deletion_protection && !zkboot_ensemble.this.on_destroy.wipe_data
    error_message = "an ensemble is protected, and its data stays, unless somebody says otherwise"
  }
  assert {
    condition     = output.servers == tolist(["10.0.0.11:2181", "10.0.0.12:2181", "10.0.0.13:2181"])
    error_message = "servers: ${jsonencode(output.servers)}"
  }
  assert {
    condition     = output.members == { zk1 = 1, zk2 = 2, zk3 = 3 }
    error_message = "members: ${jsonencode(output.members)}"
  }
}

run "everything_on_a_data_disk" {
  command = plan
  variables {
    hosts = { zk1 = { address = "10.0.0.11", id = 1, data_disk = "/dev/disk/by-id/a" } }
  }
  assert {
    condition     = zkboot_ensemble.this.hosts["zk1"].mounts["/srv/zookeeper"].device == "/dev/disk/by-id/a"
    error_message = "mounts: ${jsonencode(zkboot_ensemble.this.hosts["zk1"].mounts)}"
  }
  assert {
    condition     = zkboot_ensemble.this.data_dir == "/srv/zookeeper/main/data" && zkboot_ensemble.this.data_log_dir == "/srv/zookeeper/main/log"
    error_message = "both directories are on the disk: ${zkboot_ensemble.this.data_dir}, ${zkboot_ensemble.this.data_log_dir}"
  }
}

run "log_on_a_disk_of_its_own" {
  command = plan
  variables {
    hosts = { zk1 = { address = "2001:db8::11", id = 1, data_disk = "/dev/vdb", log_disk = "/dev/vdc" } }
  }
  assert {
    condition     = zkboot_ensemble.this.hosts["zk1"].mounts["/srv/zookeeper-log"].device == "/dev/vdc"
    error_message = "mounts: ${jsonencode(zkboot_ensemble.this.hosts["zk1"].mounts)}"
  }
  assert {
    condition     = zkboot_ensemble.this.data_dir == "/srv/zookeeper/main/data" && zkboot_ensemble.this.data_log_dir == "/srv/zookeeper-log/main"
    error_message = "the log is on its own disk: ${zkboot_ensemble.this.data_dir}, ${zkboot_ensemble.this.data_log_dir}"
  }
}

run "a_host_that_leaves_is_no_member" {
  command = plan
  variables {
    hosts = {
      zk1 = { address = "10.0.0.11", id = 1 }
      old = { address = "10.0.0.12" }
    }
  }
  assert {
    condition     = keys(zkboot_ensemble.this.members) == tolist(["zk1"]) && contains(keys(zkboot_ensemble.this.hosts), "old")
    error_message = "a host without an id stays known and is no member"
  }
}

run "an_observer_does_not_count" {
  command = plan
  variables {
    hosts = {
      zk1 = { address = "10.0.0.11", id = 1 }
      zk2 = { address = "10.0.0.12", id = 2, role = "observer" }
    }
  }
  assert {
    condition     = zkboot_ensemble.this.members["zk2"].role == "observer"
    error_message = "zk2: ${jsonencode(zkboot_ensemble.this.members["zk2"])}"
  }
}

run "placement" {
  command = plan
  variables {
    hosts     = { zk1 = { address = "10.0.0.11", id = 1, country = "NO" } }
    countries = ["EEA"]
  }
  assert {
    condition     = zkboot_ensemble.this.placement.countries == tolist(["EEA"]) && zkboot_ensemble.this.hosts["zk1"].country == "NO"
    error_message = "placement: ${jsonencode(zkboot_ensemble.this.placement)}"
  }
}

run "even_voters_are_refused" {
  command = plan
  variables {
    hosts = {
      zk1 = { address = "10.0.0.11", id = 1 }
      zk2 = { address = "10.0.0.12", id = 2 }
    }
  }
  expect_failures = [var.hosts]
}

run "one_id_twice_is_refused" {
  command = plan
  variables {
    hosts = {
      zk1 = { address = "10.0.0.11", id = 1 }
      zk2 = { address = "10.0.0.12", id = 2 }
      zk3 = { address = "10.0.0.13", id = 2 }
    }
  }
  expect_failures = [var.hosts]
}

run "id_255_is_refused" {
  command = plan
  variables {
    hosts = { zk1 = { address = "10.0.0.11", id = 255 } }
  }
  expect_failures = [var.hosts]
}

run "a_name_as_address_is_refused" {
  command = plan
  variables {
    hosts = { zk1 = { address = "zk1.example.net", id = 1 } }
  }
  expect_failures = [var.hosts]
}

run "an_unknown_role_is_refused" {
  command = plan
  variables {
    hosts = {
      zk1 = { address = "10.0.0.11", id = 1 }
      zk2 = { address = "10.0.0.12", id = 2, role = "leader" }
    }
  }
  expect_failures = [var.hosts]
}

run "a_disk_for_some_members_only_is_refused" {
  command = plan
  variables {
    hosts = {
      zk1 = { address = "10.0.0.11", id = 1, data_disk = "/dev/vdb" }
      zk2 = { address = "10.0.0.12", id = 2, data_disk = "/dev/vdb" }
      zk3 = { address = "10.0.0.13", id = 3 }
    }
  }
  expect_failures = [var.hosts]
}

run "a_directory_as_disk_is_refused" {
  command = plan
  variables {
    hosts = { zk1 = { address = "10.0.0.11", id = 1, data_disk = "/srv" } }
  }
  expect_failures = [var.hosts]
}

run "two_sources_are_refused" {
  command = plan
  variables {
    zookeeper_source = { apt = {}, tarball = { url = "https://archive.apache.org/x.tar.gz", sha512 = join("", [for i in range(128) : "a"]) } }
  }
  expect_failures = [var.zookeeper_source]
}

run "a_short_checksum_is_refused" {
  command = plan
  variables {
    zookeeper_source = { tarball = { url = "https://archive.apache.org/x.tar.gz", sha512 = "abc" } }
  }
  expect_failures = [var.zookeeper_source]
}

run "a_heap_without_a_unit_is_refused" {
  command = plan
  variables {
    heap = "1024"
  }
  expect_failures = [var.heap]
}

run "an_unknown_profile_is_refused" {
  command = plan
  variables {
    hardware_profile = "fast"
  }
  expect_failures = [var.hardware_profile]
}

run "a_name_with_blanks_is_refused" {
  command = plan
  variables {
    name = "my ensemble"
  }
  expect_failures = [var.name]
}
