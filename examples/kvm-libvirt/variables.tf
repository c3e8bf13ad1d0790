variable "name" {
  description = "Name of the ensemble, and what all that is made on the hypervisor starts with."
  type        = string
  default     = "demo"
}

variable "libvirt_uri" {
  description = "The hypervisor, such as `qemu:///system` or `qemu+ssh://root@kvm1.example.net/system`."
  type        = string
  default     = "qemu:///system"
}

variable "image" {
  description = "Path or http(s) URL of a qcow2 image of Debian 12 with cloud-init."
  type        = string
}

variable "ssh_key_file" {
  description = "Private key with which hosts are reached; the public one lies beside it with .pub."
  type        = string

  validation {
    condition     = fileexists("${pathexpand(var.ssh_key_file)}.pub")
    error_message = "ssh_key_file: there is no such file with .pub at its end; make a pair with: ssh-keygen -t ed25519"
  }
}

variable "network_cidr" {
  description = "Network that is made for the machines."
  type        = string
  default     = "10.17.3.0/24"
}

variable "network_mode" {
  description = "`nat`, so that machines reach package mirrors, or another mode of module kvm-libvirt."
  type        = string
  default     = "nat"
}

variable "pool" {
  description = "Storage pool: of that name, or made in the directory `path` of the hypervisor."
  type        = object({ name = optional(string, "default"), path = optional(string) })
  default     = {}
}

variable "domain_type" {
  description = "`kvm`, or `qemu` where there is no hardware virtualization."
  type        = string
  default     = "kvm"
}

variable "boot" {
  description = "Kernel, initrd and kernel parameters for an image without a boot loader."
  type        = object({ kernel = string, initrd = optional(string), cmdline = optional(string, "root=/dev/vda rw console=ttyS0") })
  default     = null
}

variable "memory_mib" {
  description = "Memory of a machine in MiB."
  type        = number
  default     = 2048
}

variable "vcpus" {
  description = "Virtual processors of a machine."
  type        = number
  default     = 2
}

variable "root_gib" {
  description = "Size of a root volume in GiB."
  type        = number
  default     = 10
}

variable "data_gib" {
  description = "Size of a member's data volume in GiB."
  type        = number
  default     = 10
}

variable "heap" {
  description = "Java heap of each member."
  type        = string
  default     = "1GiB"
}

variable "config" {
  description = "Settings of zoo.cfg by their own names, as module ensemble takes them. Emulated machines want a longer `initLimit`."
  type        = map(string)
  default     = {}
}

variable "hardware_profile" {
  description = "What the hardware gate asks of every machine."
  type        = string
  default     = "ssd-kvm"
}

variable "zookeeper_source" {
  description = "Where ZooKeeper comes from, as module ensemble takes it."
  type = object({
    tarball = optional(object({ url = string, sha512 = string }))
    apt     = optional(object({ version = optional(string) }))
  })
  default = { apt = {} }
}

variable "accept_known_issues" {
  description = "Ids of known issues of ZooKeeper that are accepted."
  type        = list(string)
  default     = ["ZOOKEEPER-4785"]
}

variable "patience" {
  description = "How long to wait for a machine that has just been made."
  type        = string
  default     = "5m"
}
