terraform {
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

# On these hosts applications reach all instances of inventory at 127.0.0.1:3000, and the
# instance beside each is announced while its check passes.
resource "zkboot_sidecar" "apps" {
  name = "apps"

  hosts = {
    app1 = { address = "10.0.0.21" }
    app2 = { address = "10.0.0.22" }
  }

  registries = { main = { zookeeper = { servers = ["10.0.0.11:2181", "10.0.0.12:2181", "10.0.0.13:2181"] } } }
  services   = { inventory = { registry = "main", path = "/services/inventory" } }

  routes = {
    inventory = {
      service = "inventory"
      bind    = "127.0.0.1:3000"
      check   = { http = "GET /health" }
    }
  }
  register = {
    inventory = {
      service = "inventory"
      port    = 8080
      check   = { http = "http://127.0.0.1:8080/health" }
    }
  }
}
