check "zookeeper" {
  data "zkboot_verify" "main" {
    name    = zkboot_ensemble.main.name
    hosts   = zkboot_ensemble.main.hosts
    members = zkboot_ensemble.main.members
    source  = zkboot_ensemble.main.source
  }

  assert {
    condition     = data.zkboot_verify.main.ok
    error_message = join("\n", [for f in data.zkboot_verify.main.findings : "${f.at}: ${f.check}: ${f.why}" if f.verdict == "fail"])
  }
}
