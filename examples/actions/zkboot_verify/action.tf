# terraform apply -invoke=action.zkboot_verify.main
action "zkboot_verify" "main" {
  config {
    name    = zkboot_ensemble.main.name
    hosts   = zkboot_ensemble.main.hosts
    members = zkboot_ensemble.main.members
    source  = zkboot_ensemble.main.source
  }
}
