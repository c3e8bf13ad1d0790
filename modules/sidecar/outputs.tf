output "hosts_state" {
  description = "What stands on each host: `in sync`, or what the next apply changes there."
  value       = merge({}, [for s in zkboot_sidecar.host : s.hosts_state]...)
}

output "routes" {
  description = "Where applications on every host reach each route: its name and `host:port`."
  value       = { for name, r in var.routes : name => r.bind }
}
