package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/renameio/v2"

	"github.com/zkboot/zkboot/bootstrap"
)

// writePlan stores a plan for `apply PLAN`. It holds no secret, but it describes a site: only
// its owner may read it.
func writePlan(path string, p *bootstrap.Plan) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the plan: %w", err)
	}
	if err := renameio.WriteFile(path, append(b, '\n'), 0o600, renameio.WithStaticPermissions(0o600)); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	return nil
}

// readPlan reads a stored plan. Whether the hosts are still as it saw them is for Apply to
// find out, under their locks.
func readPlan(path string) (*bootstrap.Plan, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	var p bootstrap.Plan
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%s is not a plan that `zkboot plan -o` wrote: %w", path, err)
	}
	if p.Format != bootstrap.PlanFormat {
		return nil, fmt.Errorf("%s has plan format %d, this zkboot reads %d: plan again", path, p.Format, bootstrap.PlanFormat)
	}
	if p.Spec == nil {
		return nil, fmt.Errorf("%s has no spec: plan again", path)
	}
	return &p, nil
}
