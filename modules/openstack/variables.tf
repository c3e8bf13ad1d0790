variable "name" {
  description = "What all that is made in the cloud starts with: servers, ports, volumes, security groups."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "name: want 1 to 40 lower-case letters, digits and inner hyphens, such as \"main\"."
  }
}

variable "hosts" {
  description = "Servers by a name that stays. `kind` is `member` (of the ensemble) or `app`. `address` is in the private network. What is not given here is taken from `image_id`, `flavor_name`, `root_gib` and, for members, `data_gib`."
  type = map(object({
    kind              = string
    address           = string
    image_id          = optional(string)
    flavor_name       = optional(string)
    availability_zone = optional(string)
    root_gib          = optional(number)
    data_gib          = optional(number)
    floating_ip       = optional(bool)
  }))
  nullable = false

  validation {
    condition     = length(var.hosts) > 0
    error_message = "hosts: want at least one server."
  }
  validation {
    condition     = alltrue([for name in keys(var.hosts) : can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", name))])
    error_message = "hosts: want names of 1 to 40 lower-case letters, digits and inner hyphens: they become host names."
  }
  validation {
    condition     = alltrue([for h in var.hosts : contains(["member", "app"], h.kind)])
    error_message = "hosts: want \"member\" or \"app\" as kind."
  }
  validation {
    condition     = alltrue([for h in var.hosts : can(cidrhost("${h.address}/32", 0))])
    error_message = "hosts: want an IPv4 address of the private network as address, such as \"10.20.0.11\"."
  }
  validation {
    condition     = length(distinct([for h in var.hosts : h.address])) == length(var.hosts)
    error_message = "hosts: two hosts have the same address."
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
  validation {
    condition     = alltrue([for text in var.user_data : length(base64encode(text)) <= 65535])
    error_message = "user_data: Nova takes at most 65535 bytes of base64, which are 49149 bytes of text."
  }
}

variable "image_id" {
  description = "Image that servers start from. It needs cloud-init. A server that is there keeps its own until it is replaced."
  type        = string
}

variable "flavor_name" {
  description = "Flavor of a server; of one with dedicated processors, if the cloud has that."
  type        = string
}

variable "root_gib" {
  description = "Size in GiB of a root volume to boot from, null for the flavor's own disk."
  type        = number
  default     = null
}

variable "data_gib" {
  description = "Size in GiB of a member's data volume, 0 for none. It outlives its server."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.data_gib >= 0
    error_message = "data_gib: want a size in GiB, or 0 for no data volume."
  }
}

variable "volume_type" {
  description = "Type of the volumes, null for the cloud's default. Take one on local SSDs or with guaranteed latency: each write of ZooKeeper waits for it. Only new volumes follow a change."
  type        = string
  default     = null
}

variable "disk_bus" {
  description = "How the image's servers see volumes: `virtio`, or `scsi` for images with `hw_disk_bus=scsi`. It decides the name of the data device."
  type        = string
  default     = "virtio"
  nullable    = false

  validation {
    condition     = contains(["virtio", "scsi"], var.disk_bus)
    error_message = "disk_bus: want \"virtio\" or \"scsi\"."
  }
}

variable "placement_policy" {
  description = "How members keep apart: `anti-affinity` (no two on one hypervisor, or the server is refused) or `soft-anti-affinity` (as far as there is room)."
  type        = string
  default     = "anti-affinity"
  nullable    = false

  validation {
    condition     = contains(["anti-affinity", "soft-anti-affinity"], var.placement_policy)
    error_message = "placement_policy: want \"anti-affinity\" or \"soft-anti-affinity\": members on one hypervisor fail together."
  }
}

variable "network" {
  description = "Either `cidr` of a private network that is made, with a router to the network `external_id` when that is given; or `id` and `subnet_id` of one that is there."
  type = object({
    cidr            = optional(string)
    external_id     = optional(string)
    dns_nameservers = optional(list(string), [])
    id              = optional(string)
    subnet_id       = optional(string)
  })
  nullable = false

  validation {
    condition     = (var.network.cidr == null) != (var.network.id == null) && (var.network.id == null) == (var.network.subnet_id == null)
    error_message = "network: want either cidr, or id and subnet_id."
  }
  validation {
    condition     = var.network.cidr == null ? true : can(cidrhost(var.network.cidr, 1))
    error_message = "network: want an IPv4 network as cidr, such as \"10.20.0.0/24\"."
  }
}

variable "floating_ip_pool" {
  description = "External network of which servers with `floating_ip = true` get an address, null for none. Hosts without one are reached through a jump host."
  type        = string
  default     = null
}

variable "ssh_cidrs" {
  description = "Networks from which SSH may come."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.ssh_cidrs) > 0 && alltrue([for c in var.ssh_cidrs : can(cidrhost(c, 0))])
    error_message = "ssh_cidrs: want at least one network, such as \"203.0.113.0/24\": everything goes through SSH."
  }
  validation {
    condition     = length(setintersection(var.ssh_cidrs, ["0.0.0.0/0", "::/0"])) == 0
    error_message = "ssh_cidrs: 0.0.0.0/0 and ::/0 are everybody. Name the networks that operators come from."
  }
}

variable "client_cidrs" {
  description = "Networks, besides the application hosts, from which ZooKeeper clients may come."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for c in var.client_cidrs : can(cidrhost(c, 0)) && !contains(["0.0.0.0/0", "::/0"], c)])
    error_message = "client_cidrs: want networks such as \"10.30.0.0/16\", and not everybody: ZooKeeper's own port has no encryption."
  }
}

variable "service_ports" {
  description = "TCP ports on which instances of services listen on application hosts, for the sidecars of the others."
  type        = list(number)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for p in var.service_ports : p >= 1 && p <= 65535 && floor(p) == p])
    error_message = "service_ports: want ports from 1 to 65535."
  }
}

variable "extra_security_group_ids" {
  description = "Security groups that every port has besides those of the module, such as one for monitoring."
  type        = list(string)
  default     = []
  nullable    = false
}
