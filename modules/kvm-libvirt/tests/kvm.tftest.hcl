# The provider is mocked: what is tested is what the module asks it for.

mock_provider "libvirt" {}

variables {
  name    = "main"
  image   = "/images/debian-12.qcow2"
  network = { cidr = "10.17.3.0/24" }
  hosts = {
    zk1  = { address = "10.17.3.11" }
    zk2  = { address = "10.17.3.12", memory_mib = 4096, vcpus = 4, data_gib = 20 }
    app1 = { address = "10.17.3.21", data_gib = 0 }
  }
  user_data = {
    zk1  = "#cloud-config\nhostname: zk1\n"
    zk2  = "#cloud-config\nhostname: zk2\n"
    app1 = "#cloud-config\nhostname: app1\n"
  }
}

run "machines" {
  assert {
    condition     = [for d in libvirt_domain.host : d.name] == ["main-app1", "main-zk1", "main-zk2"]
    error_message = "domains: ${jsonencode([for d in libvirt_domain.host : d.name])}"
  }
  assert {
    condition     = alltrue([for d in libvirt_domain.host : d.type == "kvm" && d.cpu[0].mode == "host-passthrough" && d.autostart])
    error_message = "want KVM with the processor of the hypervisor, started with it"
  }
  assert {
    condition     = libvirt_domain.host["zk1"].memory == 2048 && libvirt_domain.host["zk2"].memory == 4096 && libvirt_domain.host["zk2"].vcpu == 4
    error_message = "a host's own sizes win"
  }
  assert {
    condition     = output.hosts["zk2"].address == "10.17.3.12"
    error_message = "zk2: ${jsonencode(output.hosts["zk2"])}"
  }
}

run "data_is_on_a_volume_of_its_own" {
  assert {
    condition     = libvirt_volume.data["zk2"].size == 20 * 1024 * 1024 * 1024 && libvirt_volume.data["zk2"].format == "raw"
    error_message = "zk2: ${jsonencode(libvirt_volume.data["zk2"])}"
  }
  assert {
    condition     = libvirt_domain.host["zk2"].disk[1].volume_id == libvirt_volume.data["zk2"].id && libvirt_domain.host["zk2"].disk[1].scsi
    error_message = "zk2: ${jsonencode(libvirt_domain.host["zk2"].disk)}"
  }
  assert {
    condition     = length(libvirt_domain.host["app1"].disk) == 1 && output.hosts["app1"].data_disk == null
    error_message = "app1 asked for no data volume: ${jsonencode(libvirt_domain.host["app1"].disk)}"
  }
  # NAA 5 and 16 digits, or udev makes no link of that name.
  assert {
    condition     = can(regex("^/dev/disk/by-id/wwn-0x5[0-9a-f]{15}$", output.hosts["zk1"].data_disk)) && "/dev/disk/by-id/wwn-0x${libvirt_domain.host["zk1"].disk[1].wwn}" == output.hosts["zk1"].data_disk
    error_message = "zk1: ${output.hosts["zk1"].data_disk}"
  }
  assert {
    condition     = output.hosts["zk1"].data_disk != output.hosts["zk2"].data_disk
    error_message = "two data volumes have one name: ${output.hosts["zk1"].data_disk}"
  }
}

run "seed" {
  assert {
    condition     = libvirt_cloudinit_disk.seed["zk1"].user_data == "#cloud-config\nhostname: zk1\n"
    error_message = "zk1 has not got its own user-data"
  }
  assert {
    condition     = jsondecode(libvirt_cloudinit_disk.seed["zk1"].meta_data) == { instance-id = "main-zk1", local-hostname = "zk1" }
    error_message = "meta-data: ${libvirt_cloudinit_disk.seed["zk1"].meta_data}"
  }
  assert {
    condition     = libvirt_domain.host["zk1"].cloudinit == libvirt_cloudinit_disk.seed["zk1"].id
    error_message = "zk1 does not see its seed"
  }
}

run "addresses_are_reserved_in_a_network_that_is_made" {
  assert {
    condition     = one(libvirt_network.this).addresses == tolist(["10.17.3.0/24"]) && one(libvirt_network.this).mode == "nat"
    error_message = "network: ${jsonencode(libvirt_network.this)}"
  }
  assert {
    condition     = libvirt_domain.host["zk1"].network_interface[0].addresses == tolist(["10.17.3.11"]) && libvirt_domain.host["zk1"].network_interface[0].network_id == one(libvirt_network.this).id
    error_message = "zk1: ${jsonencode(libvirt_domain.host["zk1"].network_interface)}"
  }
}

run "a_network_and_a_pool_that_are_there" {
  variables {
    network = { name = "lan" }
    pool    = { name = "ssd" }
  }
  assert {
    condition     = length(libvirt_network.this) == 0 && libvirt_domain.host["zk1"].network_interface[0].network_name == "lan"
    error_message = "zk1: ${jsonencode(libvirt_domain.host["zk1"].network_interface)}"
  }
  assert {
    condition     = length(libvirt_pool.this) == 0 && libvirt_volume.data["zk1"].pool == "ssd"
    error_message = "zk1: ${libvirt_volume.data["zk1"].pool}"
  }
}

run "a_pool_that_is_made" {
  variables {
    pool = { name = "main", path = "/srv/libvirt/main" }
  }
  assert {
    condition     = one(libvirt_pool.this).target[0].path == "/srv/libvirt/main" && libvirt_volume.root["zk1"].pool == "main"
    error_message = "pool: ${jsonencode(libvirt_pool.this)}"
  }
}

# The image below the root volume of zk1 must stay when zk2 moves to another.
run "an_image_for_one_host" {
  variables {
    hosts = {
      zk1 = { address = "10.17.3.11" }
      zk2 = { address = "10.17.3.12", image = "/images/debian-13.qcow2" }
    }
  }
  assert {
    condition     = tolist(keys(libvirt_volume.image)) == tolist(["/images/debian-12.qcow2", "/images/debian-13.qcow2"])
    error_message = "images: ${jsonencode(keys(libvirt_volume.image))}"
  }
  assert {
    condition     = libvirt_volume.root["zk1"].base_volume_id == libvirt_volume.image["/images/debian-12.qcow2"].id
    error_message = "zk1 is not based on the image it was made from"
  }
  assert {
    condition     = libvirt_volume.root["zk2"].base_volume_id == libvirt_volume.image["/images/debian-13.qcow2"].id
    error_message = "zk2 is not based on its own image"
  }
}

run "without_hardware_virtualization" {
  variables {
    domain_type = "qemu"
    boot        = { kernel = "/images/vmlinuz", initrd = "/images/initrd.img" }
  }
  assert {
    condition     = libvirt_domain.host["zk1"].type == "qemu" && length(libvirt_domain.host["zk1"].cpu) == 0
    error_message = "there is no processor to pass through: ${jsonencode(libvirt_domain.host["zk1"].cpu)}"
  }
  assert {
    condition     = libvirt_domain.host["zk1"].kernel == "/images/vmlinuz"
    error_message = "zk1: ${libvirt_domain.host["zk1"].kernel}"
  }
  # As the provider reads it back from libvirt: another form is another machine at the next plan.
  assert {
    condition     = libvirt_domain.host["zk1"].cmdline == tolist([tomap({ console = "ttyS0", root = "/dev/vda" }), tomap({ "_" = "rw" })])
    error_message = "zk1: ${jsonencode(libvirt_domain.host["zk1"].cmdline)}"
  }
}

run "kernel_parameters_of_ones_own" {
  variables {
    boot = { kernel = "/images/vmlinuz", cmdline = "root=UUID=1-2  ro quiet" }
  }
  assert {
    condition     = libvirt_domain.host["zk1"].cmdline == tolist([tomap({ root = "UUID=1-2" }), tomap({ "_" = "ro quiet" })])
    error_message = "zk1: ${jsonencode(libvirt_domain.host["zk1"].cmdline)}"
  }
}

run "a_kernel_parameter_that_comes_twice_is_refused" {
  command = plan
  variables {
    boot = { kernel = "/images/vmlinuz", cmdline = "root=/dev/vda console=tty0 console=ttyS0" }
  }
  expect_failures = [var.boot]
}

run "the_default_cache_mode_needs_no_stylesheet" {
  assert {
    condition     = length(libvirt_domain.host["zk1"].xml) == 0
    error_message = "zk1: ${jsonencode(libvirt_domain.host["zk1"].xml)}"
  }
}

run "another_cache_mode" {
  variables {
    disk_cache = "none"
  }
  assert {
    condition     = strcontains(libvirt_domain.host["zk1"].xml[0].xslt, "<xsl:attribute name=\"cache\">none</xsl:attribute>")
    error_message = "zk1: ${libvirt_domain.host["zk1"].xml[0].xslt}"
  }
}

run "a_cache_mode_that_drops_flushes_is_refused" {
  command = plan
  variables {
    disk_cache = "unsafe"
  }
  expect_failures = [var.disk_cache]
}

run "a_host_without_user_data_is_refused" {
  command = plan
  variables {
    user_data = { zk1 = "#cloud-config\n", zk2 = "#cloud-config\n" }
  }
  expect_failures = [libvirt_cloudinit_disk.seed["app1"]]
}

run "a_text_that_cloud_init_ignores_is_refused" {
  command = plan
  variables {
    user_data = { zk1 = "hostname: zk1\n", zk2 = "#cloud-config\n", app1 = "#cloud-config\n" }
  }
  expect_failures = [var.user_data]
}

run "an_address_outside_the_network_is_refused" {
  command = plan
  variables {
    hosts = {
      zk1 = { address = "10.17.3.11" }
      zk2 = { address = "10.17.4.12" }
    }
  }
  expect_failures = [libvirt_domain.host["zk2"]]
}

run "one_address_twice_is_refused" {
  command = plan
  variables {
    hosts = {
      zk1 = { address = "10.17.3.11" }
      zk2 = { address = "10.17.3.11" }
    }
  }
  expect_failures = [var.hosts]
}

run "no_address_is_refused" {
  command = plan
  variables {
    hosts = { zk1 = { address = "dhcp" } }
  }
  expect_failures = [var.hosts]
}

run "no_hosts_are_refused" {
  command = plan
  variables {
    hosts = {}
  }
  expect_failures = [var.hosts]
}

run "a_name_that_is_no_host_name_is_refused" {
  command = plan
  variables {
    hosts = { "zk_1" = { address = "10.17.3.11" } }
  }
  expect_failures = [var.hosts]
}

run "too_little_memory_is_refused" {
  command = plan
  variables {
    hosts = { zk1 = { address = "10.17.3.11", memory_mib = 2 } }
  }
  expect_failures = [var.hosts]
}

run "a_negative_data_volume_of_a_host_is_refused" {
  command = plan
  variables {
    hosts = { zk1 = { address = "10.17.3.11", data_gib = -1 } }
  }
  expect_failures = [var.hosts]
}

run "a_negative_data_volume_is_refused" {
  command = plan
  variables {
    data_gib = -1
  }
  expect_failures = [var.data_gib]
}

run "an_unknown_domain_type_is_refused" {
  command = plan
  variables {
    domain_type = "xen"
  }
  expect_failures = [var.domain_type]
}

run "two_networks_are_refused" {
  command = plan
  variables {
    network = { cidr = "10.17.3.0/24", name = "lan" }
  }
  expect_failures = [var.network]
}

run "a_network_that_is_none_is_refused" {
  command = plan
  variables {
    network = { cidr = "10.17.3.0" }
  }
  expect_failures = [var.network]
}

run "an_unknown_network_mode_is_refused" {
  command = plan
  variables {
    network = { cidr = "10.17.3.0/24", mode = "bridged" }
  }
  expect_failures = [var.network]
}

run "a_relative_pool_is_refused" {
  command = plan
  variables {
    pool = { path = "pool" }
  }
  expect_failures = [var.pool]
}

run "no_image_is_refused" {
  command = plan
  variables {
    image = ""
  }
  expect_failures = [var.image]
}

run "a_name_with_blanks_is_refused" {
  command = plan
  variables {
    name = "my hosts"
  }
  expect_failures = [var.name]
}
