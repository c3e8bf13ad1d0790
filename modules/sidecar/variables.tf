variable "name" {
  description = "Whose sidecars these are, as the hosts know it. A host has one sidecar."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "name: want 1 to 40 lower-case letters, digits and inner hyphens, such as \"apps\"."
  }
}

variable "hosts" {
  description = "Application hosts by a name that stays. `register` adds what one host alone announces to what all announce."
  type = map(object({
    address  = string
    zone     = optional(string)
    country  = optional(string)
    host_key = optional(string)
    register = optional(map(object({
      service = string
      port    = number
      address = optional(string)
      weight  = optional(number)
      zone    = optional(string)
      labels  = optional(map(string))
      check = object({
        http     = optional(string)
        tcp      = optional(string)
        exec     = optional(list(string))
        interval = optional(string)
        timeout  = optional(string)
        rise     = optional(number)
        fall     = optional(number)
        status   = optional(list(number))
        body     = optional(string)
        headers  = optional(map(string))
        insecure = optional(bool)
      })
    })), {})
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
    condition     = length(var.hosts) > 0
    error_message = "hosts: want at least one application host."
  }
  validation {
    condition     = alltrue([for h in var.hosts : can(cidrhost("${h.address}/${strcontains(h.address, ":") ? 128 : 32}", 0))])
    error_message = "hosts: want a private IP address as address, such as \"10.0.0.21\": it is what other hosts are told to connect to."
  }
}

variable "servers" {
  description = "`host:port` of the ZooKeeper servers, such as output `servers` of module ensemble."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.servers) > 0 && alltrue([for s in var.servers : can(regex(":[0-9]{1,5}$", s))])
    error_message = "servers: want host:port of at least one ZooKeeper server, such as \"10.0.0.11:2181\"."
  }
}

variable "services" {
  description = "Services by name: the znode whose children are the instances, and their format, `plain` or `nerve`."
  type = map(object({
    path   = string
    format = optional(string)
  }))
  nullable = false

  validation {
    condition     = alltrue([for s in var.services : can(regex("^(/[^/]+)+$", s.path))])
    error_message = "services: want an absolute path without a slash at its end as path, such as \"/services/inventory\"."
  }
  validation {
    condition     = alltrue([for s in var.services : s.format == null ? true : contains(["plain", "nerve"], s.format)])
    error_message = "services: want \"plain\" or \"nerve\" as format."
  }
}

variable "routes" {
  description = "Services behind local addresses of every host, by name: applications connect to `bind`."
  type = map(object({
    service  = string
    bind     = string
    mode     = optional(string)
    balance  = optional(string)
    retries  = optional(number)
    maxconn  = optional(number)
    cookie   = optional(string)
    labels   = optional(map(string))
    frontend = optional(list(string))
    backend  = optional(list(string))
    check = optional(object({
      http   = optional(string)
      expect = optional(string)
      inter  = optional(string)
      rise   = optional(number)
      fall   = optional(number)
    }))
    breaker = optional(object({
      errors = optional(number)
      eject  = optional(string)
      off    = optional(bool)
    }))
    tiers = optional(object({
      order = optional(list(string))
      min   = optional(number)
    }))
    timeouts = optional(object({
      client  = optional(string)
      connect = optional(string)
      queue   = optional(string)
      server  = optional(string)
      tunnel  = optional(string)
    }))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for r in var.routes : can(regex(":[0-9]{1,5}$", r.bind))])
    error_message = "routes: want host:port as bind, such as \"127.0.0.1:3000\"."
  }
  validation {
    condition     = length(distinct([for r in var.routes : r.bind])) == length(var.routes)
    error_message = "routes: two routes have the same bind."
  }
}

variable "register" {
  description = "Local services that every host announces while their checks pass, by name. A check is exactly one of `http`, `tcp` and `exec`."
  type = map(object({
    service = string
    port    = number
    address = optional(string)
    weight  = optional(number)
    zone    = optional(string)
    labels  = optional(map(string))
    check = object({
      http     = optional(string)
      tcp      = optional(string)
      exec     = optional(list(string))
      interval = optional(string)
      timeout  = optional(string)
      rise     = optional(number)
      fall     = optional(number)
      status   = optional(list(number))
      body     = optional(string)
      headers  = optional(map(string))
      insecure = optional(bool)
    })
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for r in var.register : length([for c in [r.check.http, r.check.tcp, r.check.exec] : true if c != null]) == 1])
    error_message = "register: want exactly one of http, tcp and exec as check."
  }
  validation {
    condition     = alltrue([for r in var.register : r.port >= 1 && r.port <= 65535])
    error_message = "register: want a port from 1 to 65535."
  }
}

variable "auth_file" {
  description = "A file on the hosts with `user:password` for ZooKeeper's digest scheme. The secret itself never comes through here."
  type        = string
  default     = null
}

variable "guard" {
  description = "Keeps a service from being emptied by mistake: a loss of more than `threshold` of it is held for `hold`; up to `min` instances may go freely."
  type = object({
    threshold = optional(string)
    hold      = optional(string)
    min       = optional(number)
  })
  default = null
}

variable "drain" {
  description = "How an instance leaves, such as `{ on_term = \"drain\", timeout = \"60s\" }`."
  type = object({
    grace   = optional(string)
    on_term = optional(string)
    spool   = optional(string)
    timeout = optional(string)
  })
  default = null
}

variable "stats" {
  description = "`host:port` of HAProxy's own statistics page. Without it there is none."
  type        = string
  default     = null
}

variable "countries" {
  description = "ISO 3166-1 alpha-2 codes, `EU` or `EEA`, in which hosts may stand; every host then needs its `country`. Empty for anywhere."
  type        = list(string)
  default     = []
  nullable    = false
}
