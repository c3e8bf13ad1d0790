variable "lab_dir" {
  description = "Absolute path of the directory that `zkboot lab up --dir` wrote."
  type        = string

  validation {
    condition     = startswith(var.lab_dir, "/") && fileexists("${var.lab_dir}/zkboot.yaml")
    error_message = "lab_dir must be the absolute path of a directory with a zkboot.yaml: run `zkboot lab up --dir` first."
  }
}
