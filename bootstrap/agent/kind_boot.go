package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// bootIDPath is another word at every boot; https://docs.kernel.org/admin-guide/sysctl/kernel.html#random
const bootIDPath = "/proc/sys/kernel/random/boot_id"

// lookBoot tells the boot of a machine that is up or comes up. On its way down it gives no
// answer, because that could be wrong: a container has a boot id of its own, bound over the
// kernel's, which goes with its other mounts.
func (m *machine) lookBoot(ctx context.Context, g glance, s *sighting) {
	for _, name := range g.names {
		boot, err := m.boot(ctx)
		s.one(bootstrap.NewID(bootstrap.KindBoot, name), boot, err)
	}
}

func (m *machine) boot(ctx context.Context) (bootstrap.Resource, error) {
	id, err := m.read(bootIDPath, 128)
	if err != nil {
		return nil, err
	}
	// Asked after the id was read; its status is not 0 for every state but one.
	out, err := m.run(ctx, "systemctl", "is-system-running")
	switch state := strings.TrimSpace(out); state {
	case "initializing", "starting", "running", "degraded", "maintenance":
		up := state != "initializing" && state != "starting"
		return bootstrap.Boot{BootID: strings.TrimSpace(string(id)), Up: up}, nil
	case "":
		return nil, fmt.Errorf("systemctl is-system-running: %w", cmp.Or(err, errors.New("no answer")))
	default:
		return nil, fmt.Errorf("the machine is %s", state)
	}
}

// reboot boots the machine anew, in order: every service is stopped first. It returns as
// soon as systemd has taken the job, and the connection dies a moment later. A dpkg that
// works for somebody is waited for.
func (m *machine) reboot(ctx context.Context, note func(string)) error {
	if err := m.awaitAptLock(ctx, note); err != nil {
		return err
	}
	if err := m.repairDpkg(ctx, note); err != nil {
		return err
	}
	note("rebooting")
	return m.systemctl(ctx, "--no-block", "--no-wall", "reboot")
}
