variable "name" {
  description = "Name of the ensemble on its hosts: units, files and directories carry it. Another name is another ensemble."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "name: want 1 to 40 lower-case letters, digits and inner hyphens, such as \"main\"."
  }
}

variable "hosts" {
  description = "Machines by a name that stays. `id` (1 to 254, for life) makes a host a member; a host that leaves first loses its `id`, then its entry, and is `lost` meanwhile when its machine is gone. `data_disk` is a blank device for everything that the member keeps, `log_disk` another for its transaction log."
  type = map(object({
    address   = string
    id        = optional(number)
    role      = optional(string, "voter")
    data_disk = optional(string)
    log_disk  = optional(string)
    country   = optional(string)
    lost      = optional(bool)
    host_key  = optional(string)
    ssh = optional(object({
      address          = optional(string)
      port             = optional(number)
      user             = optional(string)
      identity_files   = optional(list(string))
      known_hosts_file = optional(string)
      accept_new_file  = optional(string)
      config_file      = optional(string)
      patience         = optional(string)
      jump = optional(object({
        address        = string
        port           = optional(number)
        user           = optional(string)
        identity_files = optional(list(string))
        host_key       = optional(string)
      }))
    }))
  }))
  nullable = false

  validation {
    condition     = contains([1, 3, 5, 7], length([for h in var.hosts : h if h.id != null && h.role == "voter"]))
    error_message = "hosts: want 1, 3, 5 or 7 hosts with an id and the role \"voter\": an even number bears no more failures than one less."
  }
  validation {
    condition     = length(distinct([for h in var.hosts : h.id if h.id != null])) == length([for h in var.hosts : h.id if h.id != null])
    error_message = "hosts: two hosts have the same id. Each member has an id of its own, for life."
  }
  validation {
    condition     = alltrue([for h in var.hosts : h.id == null ? true : h.id >= 1 && h.id <= 254 && floor(h.id) == h.id])
    error_message = "hosts: want whole numbers from 1 to 254 as id: ZooKeeper keeps 255 for \"no leader known\"."
  }
  validation {
    condition     = alltrue([for h in var.hosts : contains(["voter", "observer"], h.role)])
    error_message = "hosts: want the role \"voter\" or \"observer\"."
  }
  validation {
    condition     = alltrue([for h in var.hosts : can(cidrhost("${h.address}/${strcontains(h.address, ":") ? 128 : 32}", 0))])
    error_message = "hosts: want a private IP address as address, such as \"10.0.0.11\": services bind to it, and members talk through it."
  }
  validation {
    condition     = alltrue(flatten([for h in var.hosts : [for d in compact([h.data_disk, h.log_disk]) : startswith(d, "/dev/")]]))
    error_message = "hosts: want a device such as \"/dev/disk/by-id/...\" as data_disk and log_disk."
  }
  validation {
    condition     = length(distinct([for h in var.hosts : [h.data_disk != null, h.log_disk != null] if h.id != null])) <= 1
    error_message = "hosts: all members have a data_disk or none has, and the same for log_disk: the directories are those of the whole ensemble."
  }
}

variable "zookeeper_source" {
  description = "Where ZooKeeper comes from: an Apache release (`tarball`, with the 128 hex digits of its .sha512 file), or the packages of the distribution (`apt = {}`)."
  type = object({
    tarball = optional(object({
      url     = string
      sha512  = string
      version = optional(string)
    }))
    apt = optional(object({
      version = optional(string)
    }))
  })
  nullable = false

  validation {
    condition     = (var.zookeeper_source.tarball == null) != (var.zookeeper_source.apt == null)
    error_message = "zookeeper_source: want either tarball or apt."
  }
  validation {
    condition     = var.zookeeper_source.tarball == null ? true : can(regex("^[0-9a-fA-F]{128}$", var.zookeeper_source.tarball.sha512))
    error_message = "zookeeper_source: want the 128 hex digits of the .sha512 file beside the release as tarball.sha512."
  }
}

variable "accept_known_issues" {
  description = "Ids of known issues of ZooKeeper that are accepted although zkboot refuses the version for them, such as `ZOOKEEPER-4785`."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "heap" {
  description = "Java heap of each member, with its unit."
  type        = string
  default     = "1GiB"

  validation {
    condition     = can(regex("^[1-9][0-9]*(MiB|GiB)$", var.heap))
    error_message = "heap: want a size in MiB or GiB, such as \"1GiB\"."
  }
}

variable "config" {
  description = "Settings of zoo.cfg by their own names, such as `tickTime` (milliseconds). A key that zkboot does not know is an error."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "hardware_profile" {
  description = "What the hardware gate asks of every host before anything is changed there: `ssd-kvm`, `hdd-kvm` or `lab`."
  type        = string
  default     = "ssd-kvm"

  validation {
    condition     = contains(["ssd-kvm", "hdd-kvm", "lab"], var.hardware_profile)
    error_message = "hardware_profile: want \"ssd-kvm\", \"hdd-kvm\" or \"lab\"."
  }
}

variable "countries" {
  description = "ISO 3166-1 alpha-2 codes, `EU` or `EEA`, in which hosts may stand; every host then needs its `country`. Empty for anywhere."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "deletion_protection" {
  description = "Refuse to destroy the ensemble until this has been set to false by an apply of its own."
  type        = bool
  default     = true
  nullable    = false
}

variable "wipe_data_on_destroy" {
  description = "Take the data as well when the ensemble is destroyed. By default it stays on the hosts."
  type        = bool
  default     = false
  nullable    = false
}
