# Five members in three places, so that any place may be lost: with two, two and one of them, three are
# left. Hosts may stand in the EEA only, transaction logs have disks of their own, and two observers
# serve readers without a vote.
#
#   terraform init
#   terraform apply -var zookeeper_sha512=...

terraform {
  required_version = ">= 1.5"
  required_providers {
    zkboot = {
      source = "registry.terraform.io/zkboot/zkboot"
    }
  }
}

provider "zkboot" {
  ssh = {
    user             = "debian"
    known_hosts_file = "known_hosts"
    jump             = { address = "bastion.example.net" }
  }
}

locals {
  # country, and id for life: ids are never used again for another host.
  members = {
    oslo1      = { id = 1, address = "10.1.0.11", country = "NO" }
    oslo2      = { id = 2, address = "10.1.0.12", country = "NO" }
    stockholm1 = { id = 3, address = "10.2.0.11", country = "SE" }
    stockholm2 = { id = 4, address = "10.2.0.12", country = "SE" }
    helsinki1  = { id = 5, address = "10.3.0.11", country = "FI" }
  }
  observers = {
    helsinki2 = { id = 6, address = "10.3.0.12", country = "FI" }
    helsinki3 = { id = 7, address = "10.3.0.13", country = "FI" }
  }
}

module "zookeeper" {
  source = "../../modules/ensemble"

  name      = "main"
  countries = ["EEA"]

  hosts = merge(
    { for name, h in local.members : name => merge(h, { role = "voter", data_disk = "/dev/vdb", log_disk = "/dev/vdc" }) },
    { for name, h in local.observers : name => merge(h, { role = "observer", data_disk = "/dev/vdb", log_disk = "/dev/vdc" }) },
  )

  zookeeper_source = {
    tarball = {
      url    = "https://archive.apache.org/dist/zookeeper/zookeeper-3.8.6/apache-zookeeper-3.8.6-bin.tar.gz"
      sha512 = var.zookeeper_sha512
    }
  }
  heap = "2GiB"

  # The places are some milliseconds apart: members get more time to catch up and to answer, in ticks.
  config = { tickTime = "2000", initLimit = "20", syncLimit = "10" }
}
