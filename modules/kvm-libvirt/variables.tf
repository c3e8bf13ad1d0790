variable "name" {
  description = "What all that is made on the hypervisor starts with: domains, volumes, the network."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "name: want 1 to 40 lower-case letters, digits and inner hyphens, such as \"main\"."
  }
}

variable "hosts" {
  description = "Virtual machines by a name that stays. What is not given here is taken from `image`, `memory_mib`, `vcpus`, `root_gib` and `data_gib`. `data_gib = 0` for no data volume, as application hosts want it."
  type = map(object({
    address    = string
    image      = optional(string)
    memory_mib = optional(number)
    vcpus      = optional(number)
    root_gib   = optional(number)
    data_gib   = optional(number)
  }))
  nullable = false

  validation {
    condition     = length(var.hosts) > 0
    error_message = "hosts: want at least one virtual machine."
  }
  validation {
    condition     = alltrue([for name in keys(var.hosts) : can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", name))])
    error_message = "hosts: want names of 1 to 40 lower-case letters, digits and inner hyphens: they become host names."
  }
  validation {
    condition     = alltrue([for h in var.hosts : can(cidrhost("${h.address}/32", 0))])
    error_message = "hosts: want an IPv4 address as address, such as \"10.17.3.11\"."
  }
  validation {
    condition     = length(distinct([for h in var.hosts : h.address])) == length(var.hosts)
    error_message = "hosts: two hosts have the same address."
  }
  validation {
    condition     = alltrue([for h in var.hosts : h.memory_mib == null ? true : h.memory_mib >= 256])
    error_message = "hosts: want at least 256 as memory_mib (MiB)."
  }
  validation {
    condition     = alltrue([for h in var.hosts : h.data_gib == null ? true : h.data_gib >= 0])
    error_message = "hosts: want the size of the data volume in GiB as data_gib, or 0 for none."
  }
}

variable "user_data" {
  description = "What cloud-init does at the first boot of each host, by host name, starting with `#cloud-config`, such as `zkboot render user-data` writes it. Sensitive: it may hold the host's private SSH key."
  type        = map(string)
  sensitive   = true
  nullable    = false

  validation {
    condition     = alltrue([for text in var.user_data : startswith(text, "#cloud-config\n") || startswith(text, "#!") || startswith(text, "Content-Type: multipart/")])
    error_message = "user_data: cloud-init ignores a text that does not start with \"#cloud-config\" and a new line."
  }
}

variable "network_config" {
  description = "cloud-init's network-config of each host, by host name. Hosts without one take their address by DHCP, which reserves it for them."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "image" {
  description = "Path on the machine that runs Terraform, or http(s) URL, of the qcow2 image that root volumes are based on. It needs cloud-init."
  type        = string

  validation {
    condition     = length(var.image) > 0
    error_message = "image: want a path or an http(s) URL of a qcow2 image with cloud-init."
  }
}

variable "memory_mib" {
  description = "Memory of a host in MiB."
  type        = number
  default     = 2048
  nullable    = false
}

variable "vcpus" {
  description = "Virtual processors of a host."
  type        = number
  default     = 2
  nullable    = false
}

variable "root_gib" {
  description = "Size of a root volume in GiB; not less than that of the image."
  type        = number
  default     = 10
  nullable    = false
}

variable "data_gib" {
  description = "Size of a data volume in GiB, 0 for none. It outlives its virtual machine."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.data_gib >= 0
    error_message = "data_gib: want a size in GiB, or 0 for no data volume."
  }
}

variable "disk_cache" {
  description = "How the hypervisor caches disks: `writeback` (what QEMU does unless told otherwise), `none`, `writethrough` or `directsync`. All of them honour flushes: what the guest has synced is on the hypervisor's disk. All but `writeback` need xsltproc where Terraform runs; `none` also needs a file system with O_DIRECT."
  type        = string
  default     = "writeback"
  nullable    = false

  validation {
    # libvirt knows "unsafe" as well, which drops flushes: after a power cut ZooKeeper has
    # forgotten what it had promised to keep. https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms
    condition     = contains(["writeback", "none", "writethrough", "directsync"], var.disk_cache)
    error_message = "disk_cache: want \"writeback\", \"none\", \"writethrough\" or \"directsync\", which honour flushes; \"unsafe\" does not, and loses acknowledged writes."
  }
}

variable "domain_type" {
  description = "`kvm`, or `qemu` for a hypervisor without hardware virtualization, which is 10 to 20 times slower and for tests only."
  type        = string
  default     = "kvm"
  nullable    = false

  validation {
    condition     = contains(["kvm", "qemu"], var.domain_type)
    error_message = "domain_type: want \"kvm\" or \"qemu\"."
  }
}

variable "pool" {
  description = "Storage pool for volumes. With `path`, a directory on the hypervisor, it is made; without, it must be there."
  type = object({
    name = optional(string, "default")
    path = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.pool.path == null ? true : startswith(var.pool.path, "/")
    error_message = "pool: want an absolute directory of the hypervisor as path."
  }
}

variable "network" {
  description = "Either `cidr` (and `mode`: `nat`, `route`, `open` or `none`) of a network that is made, or the `name` of one that is there and reserves `address` of each host."
  type = object({
    cidr   = optional(string)
    mode   = optional(string, "nat")
    bridge = optional(string)
    name   = optional(string)
  })
  nullable = false

  validation {
    condition     = (var.network.cidr == null) != (var.network.name == null)
    error_message = "network: want either cidr or name."
  }
  validation {
    condition     = var.network.cidr == null ? true : can(cidrhost(var.network.cidr, 1))
    error_message = "network: want an IPv4 network as cidr, such as \"10.17.3.0/24\"."
  }
  validation {
    condition     = contains(["nat", "route", "open", "none"], var.network.mode)
    error_message = "network: want \"nat\", \"route\", \"open\" or \"none\" as mode."
  }
}

variable "boot" {
  description = "Boot this `kernel` and `initrd` (paths on the hypervisor) with these kernel parameters, each once, for images without a boot loader."
  type = object({
    kernel  = string
    initrd  = optional(string)
    cmdline = optional(string, "root=/dev/vda rw console=ttyS0")
  })
  default = null

  validation {
    # The provider sorts parameters, so that the last of two, which is the one that counts, may come first.
    condition     = var.boot == null ? true : length(distinct([for p in compact(split(" ", var.boot.cmdline)) : split("=", p)[0]])) == length(compact(split(" ", var.boot.cmdline)))
    error_message = "boot: want each kernel parameter once in cmdline: the provider keeps no order."
  }
}
