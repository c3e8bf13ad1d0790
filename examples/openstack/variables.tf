variable "name" {
  description = "Name of the ensemble, and what all that is made in the cloud starts with."
  type        = string
  default     = "main"
}

variable "image_id" {
  description = "Image of Debian 12 with cloud-init."
  type        = string
}

variable "flavor_name" {
  description = "Flavor of the servers."
  type        = string
}

variable "volume_type" {
  description = "Type of the data volumes; one on SSDs."
  type        = string
  default     = null
}

variable "ssh_key_file" {
  description = "Private key with which servers are reached; the public one lies beside it with .pub."
  type        = string

  validation {
    condition     = fileexists("${pathexpand(var.ssh_key_file)}.pub")
    error_message = "ssh_key_file: there is no such file with .pub at its end; make a pair with: ssh-keygen -t ed25519"
  }
}

variable "ssh_cidrs" {
  description = "Networks that operators come from, and Terraform."
  type        = list(string)
}

variable "network_cidr" {
  description = "Private network that is made for the servers."
  type        = string
  default     = "10.20.0.0/24"
}

variable "external_network_id" {
  description = "Id of the cloud's external network."
  type        = string
}

variable "external_network_name" {
  description = "Name of the same, from which the address of app1 is taken."
  type        = string
}

variable "dns_nameservers" {
  description = "Name servers for the private network."
  type        = list(string)
  default     = []
}

variable "zookeeper_sha512" {
  description = "The 128 hex digits of the .sha512 file beside the release."
  type        = string
}
