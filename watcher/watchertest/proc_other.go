//go:build !linux

package watchertest

import "syscall"

func tied() *syscall.SysProcAttr { return nil }
