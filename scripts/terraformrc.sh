#!/bin/sh
# terraformrc.sh MIRROR: a Terraform CLI configuration that knows this mirror and nothing else.
set -eu
cat <<EOF
provider_installation {
  filesystem_mirror {
    path = "$(cd "$1" && pwd)"
  }
}
disable_checkpoint = true
EOF
