# The provider is mocked: what is tested is what the module asks it for.

mock_provider "zkboot" {
  mock_resource "zkboot_sidecar" {
    defaults = { hosts_state = { host = "in sync" } }
  }
}

variables {
  name = "apps"
  hosts = {
    app1 = { address = "10.0.0.21", zone = "a" }
    app2 = {
      address  = "10.0.0.22"
      register = { search = { service = "search", port = 9000, check = { tcp = "127.0.0.1:9000" } } }
    }
  }
  servers = ["10.0.0.11:2181", "10.0.0.12:2181"]
  services = {
    inventory = { path = "/services/inventory" }
    search    = { path = "/services/search", format = "nerve" }
  }
  routes = { inventory = { service = "inventory", bind = "127.0.0.1:3000", check = { http = "GET /health" } } }
  register = {
    inventory = { service = "inventory", port = 8080, check = { http = "http://127.0.0.1:8080/health" } }
  }
}

run "one_resource_per_host" {
  assert {
    condition     = tolist(keys(zkboot_sidecar.host)) == tolist(["app1", "app2"])
    error_message = "hosts: ${jsonencode(keys(zkboot_sidecar.host))}"
  }
  assert {
    condition     = zkboot_sidecar.host["app1"].hosts["app1"].address == "10.0.0.21" && zkboot_sidecar.host["app1"].zone == "a"
    error_message = "app1: ${jsonencode(zkboot_sidecar.host["app1"].hosts)}"
  }
  assert {
    condition     = zkboot_sidecar.host["app2"].registries["main"].zookeeper.servers == tolist(["10.0.0.11:2181", "10.0.0.12:2181"])
    error_message = "app2: ${jsonencode(zkboot_sidecar.host["app2"].registries)}"
  }
  assert {
    condition     = zkboot_sidecar.host["app2"].services["search"].registry == "main" && zkboot_sidecar.host["app2"].services["search"].format == "nerve"
    error_message = "app2: ${jsonencode(zkboot_sidecar.host["app2"].services)}"
  }
  assert {
    condition     = zkboot_sidecar.host["app1"].routes["inventory"].bind == "127.0.0.1:3000"
    error_message = "app1: ${jsonencode(zkboot_sidecar.host["app1"].routes)}"
  }
  assert {
    condition     = output.routes == { inventory = "127.0.0.1:3000" }
    error_message = "routes: ${jsonencode(output.routes)}"
  }
}

run "a_host_announces_more_than_the_others" {
  command = plan
  assert {
    condition     = keys(zkboot_sidecar.host["app1"].register) == tolist(["inventory"])
    error_message = "app1: ${jsonencode(keys(zkboot_sidecar.host["app1"].register))}"
  }
  assert {
    condition     = keys(zkboot_sidecar.host["app2"].register) == tolist(["inventory", "search"])
    error_message = "app2: ${jsonencode(keys(zkboot_sidecar.host["app2"].register))}"
  }
}

run "a_host_may_only_announce" {
  command = plan
  variables {
    routes = {}
  }
  assert {
    condition     = zkboot_sidecar.host["app1"].routes == null
    error_message = "app1: ${jsonencode(zkboot_sidecar.host["app1"].routes)}"
  }
}

run "a_route_to_a_service_that_is_not_there_is_refused" {
  command = plan
  variables {
    routes = { billing = { service = "billing", bind = "127.0.0.1:3001" } }
  }
  expect_failures = [zkboot_sidecar.host]
}

run "no_hosts_are_refused" {
  command = plan
  variables {
    hosts = {}
  }
  expect_failures = [var.hosts]
}

run "a_name_as_address_is_refused" {
  command = plan
  variables {
    hosts = { app1 = { address = "app1.example.net" } }
  }
  expect_failures = [var.hosts]
}

run "a_server_without_a_port_is_refused" {
  command = plan
  variables {
    servers = ["10.0.0.11"]
  }
  expect_failures = [var.servers]
}

run "no_servers_are_refused" {
  command = plan
  variables {
    servers = []
  }
  expect_failures = [var.servers]
}

run "a_relative_path_is_refused" {
  command = plan
  variables {
    services = { inventory = { path = "services/inventory" }, search = { path = "/services/search" } }
  }
  expect_failures = [var.services]
}

run "an_unknown_format_is_refused" {
  command = plan
  variables {
    services = { inventory = { path = "/services/inventory", format = "json" }, search = { path = "/services/search" } }
  }
  expect_failures = [var.services]
}

run "a_bind_without_a_port_is_refused" {
  command = plan
  variables {
    routes = { inventory = { service = "inventory", bind = "127.0.0.1" } }
  }
  expect_failures = [var.routes]
}

run "two_routes_with_one_bind_are_refused" {
  command = plan
  variables {
    routes = {
      inventory = { service = "inventory", bind = "127.0.0.1:3000" }
      search    = { service = "search", bind = "127.0.0.1:3000" }
    }
  }
  expect_failures = [var.routes]
}

run "a_check_of_two_kinds_is_refused" {
  command = plan
  variables {
    register = { inventory = { service = "inventory", port = 8080, check = { http = "http://127.0.0.1:8080/", tcp = "127.0.0.1:8080" } } }
  }
  expect_failures = [var.register]
}

run "port_0_is_refused" {
  command = plan
  variables {
    register = { inventory = { service = "inventory", port = 0, check = { tcp = "127.0.0.1:8080" } } }
  }
  expect_failures = [var.register]
}

run "a_name_with_blanks_is_refused" {
  command = plan
  variables {
    name = "my apps"
  }
  expect_failures = [var.name]
}
