# The provider is mocked: the example hangs together, with the values that it takes.

mock_provider "zkboot" {
  mock_resource "zkboot_ensemble" {
    defaults = { connect_string = "10.0.0.11:2181,10.0.0.12:2181,10.0.0.13:2181" }
  }
}

variables {
  ssh = { user = "debian", known_hosts_file = "known_hosts" }
  members = {
    zk1 = { address = "10.0.0.11", id = 1, ssh = { address = "203.0.113.11" } }
    zk2 = { address = "10.0.0.12", id = 2 }
    zk3 = { address = "10.0.0.13", id = 3 }
  }
  apps = {
    app1 = { address = "10.0.0.21" }
    app2 = { address = "10.0.0.22" }
  }
  zookeeper_source    = { apt = {} }
  accept_known_issues = ["ZOOKEEPER-4785"]
}

run "sidecars_know_the_ensemble" {
  assert {
    condition     = output.connect_string == "10.0.0.11:2181,10.0.0.12:2181,10.0.0.13:2181"
    error_message = "connect string: ${output.connect_string}"
  }
  assert {
    condition     = module.sidecars.routes == { inventory = "127.0.0.1:3000" }
    error_message = "routes: ${jsonencode(module.sidecars.routes)}"
  }
}
