// Package oss is where Terraform looks for its oss backend.
package oss

import (
	"github.com/hashicorp/terraform/internal/backend"
	"github.com/hashicorp/terraform/internal/backend/remote-state/absent"
)

// New is the backend as this build has it: not at all.
func New() backend.Backend { return absent.New("oss") }
