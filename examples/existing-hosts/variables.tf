variable "name" {
  description = "Name of the ensemble, and of the sidecars."
  type        = string
  default     = "main"
}

variable "ssh" {
  description = "How hosts are reached, as in the provider's `ssh`."
  type = object({
    user             = optional(string)
    port             = optional(number)
    identity_files   = optional(list(string))
    known_hosts_file = optional(string)
    config_file      = optional(string)
    jump             = optional(object({ address = string, user = optional(string) }))
  })
  default = {}
}

variable "members" {
  description = "Members of the ensemble, by host name."
  type = map(object({
    address   = string
    id        = number
    data_disk = optional(string)
    host_key  = optional(string)
    ssh       = optional(object({ address = optional(string), port = optional(number), user = optional(string) }))
  }))
}

variable "apps" {
  description = "Application hosts, by host name."
  type = map(object({
    address  = string
    zone     = optional(string)
    host_key = optional(string)
    ssh      = optional(object({ address = optional(string), port = optional(number), user = optional(string) }))
  }))
}

variable "zookeeper_source" {
  description = "Where ZooKeeper comes from, as module ensemble takes it."
  type = object({
    tarball = optional(object({ url = string, sha512 = string }))
    apt     = optional(object({ version = optional(string) }))
  })
}

variable "accept_known_issues" {
  description = "Ids of known issues of ZooKeeper that are accepted."
  type        = list(string)
  default     = []
}

variable "hardware_profile" {
  description = "What the hardware gate asks of every host."
  type        = string
  default     = "ssd-kvm"
}

variable "heap" {
  description = "Java heap of each member."
  type        = string
  default     = "1GiB"
}

variable "deletion_protection" {
  description = "Refuse to destroy the ensemble."
  type        = bool
  default     = true
}
