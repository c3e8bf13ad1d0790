# terraform apply -invoke=action.zkboot_rolling_restart.main
action "zkboot_rolling_restart" "main" {
  config {
    name    = zkboot_ensemble.main.name
    hosts   = zkboot_ensemble.main.hosts
    members = zkboot_ensemble.main.members
    source  = zkboot_ensemble.main.source
    heap    = zkboot_ensemble.main.heap
    config  = zkboot_ensemble.main.config
    # All that the resource says of the ensemble belongs here: what is missing is a difference,
    # and a restart is refused while there is one.
  }
}
