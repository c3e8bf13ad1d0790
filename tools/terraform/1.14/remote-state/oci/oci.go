// Package oci is where Terraform looks for its oci backend.
package oci

import (
	"github.com/hashicorp/terraform/internal/backend"
	"github.com/hashicorp/terraform/internal/backend/remote-state/absent"
)

// New is the backend as this build has it: not at all.
func New() backend.Backend { return absent.New("oci") }
