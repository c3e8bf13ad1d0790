//go:build !lab

package provider

import "go.uber.org/goleak"

func goleakOptions() []goleak.Option { return nil }
