package bootstraptest

import (
	"context"
	"fmt"

	"github.com/zkboot/zkboot/bootstrap"
)

// way is how far a reboot has come: connections that are still to be taken and refused.
type way struct{ lingers, boots int }

// Booted returns how often the machine was rebooted.
func (m *Machine) Booted() int { m.mu.Lock(); defer m.mu.Unlock(); return m.boot }

// connect is Open for a machine that may be in the middle of a reboot. As over SSH, the
// connection lives no longer than ctx.
func (m *Machine) connect(ctx context.Context) (bootstrap.Host, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		switch {
		case m.down.lingers > 0:
			m.down.lingers--
			return &conn{m: m, boot: m.boot, ctx: ctx}, nil
		case m.down.boots > 0:
			m.down.boots--
			return nil, fmt.Errorf("%w: connection refused", bootstrap.ErrUnreachable)
		}
		m.down = nil
		m.boot++
		m.Facts.BootID = fmt.Sprintf("%s-boot-%d", m.Facts.Hostname, m.boot)
		m.Facts.RebootRequired = nil
	}
	return &conn{m: m, boot: m.boot, ctx: ctx}, nil
}
