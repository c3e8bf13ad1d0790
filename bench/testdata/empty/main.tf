# Nothing: what Terraform itself takes.
terraform {}
