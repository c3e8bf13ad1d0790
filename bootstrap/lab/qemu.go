package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
	"github.com/zkboot/zkboot/bootstrap/lab/vm"
	"github.com/zkboot/zkboot/cloudinit"
)

// qemu makes hosts of virtual machines over one cached image.
type qemu struct{ store }

// check asks for what the driver itself runs; package vm asks for what it runs.
func (q qemu) check() error {
	return checkPrograms("scripts/vm-deps.sh", []tool{
		{"nft", "nftables"}, {"qemu-img", "qemu-utils"}, {"genisoimage", "genisoimage"},
	})
}

// claim: the image is made after the record, which must not wait for it.
func (q qemu) claim(*record) error { return nil }

// hypervisorDir is where package vm keeps a libvirtd of the lab's own, in libvirt.
func (q qemu) hypervisorDir(lab string) string { return q.labDir(lab) }

// ready notes the image: hosts keep theirs when the recipe changes, for their disks are written
// over it and hold the modules of its kernel.
func (q qemu) ready(ctx context.Context, rec *record, log *slog.Logger) error {
	if rec.Image == nil {
		img, err := vm.EnsureImage(ctx, log)
		if err != nil {
			return err
		}
		rec.Image = &img
		if err := q.save(rec); err != nil {
			return err
		}
	} else if ok, err := machine.Exists(rec.Image.Disk); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("image %s is gone: take the lab down and up again", rec.Image.Disk)
	}
	domainType, err := vm.Probe(ctx, *rec.Image, log)
	if err != nil {
		return err
	}
	h, err := vm.Start(ctx, q.hypervisorDir(rec.Name), domainType, log)
	if err != nil {
		return err
	}
	rec.Hypervisor = &h
	return q.save(rec)
}

// prepare makes disks, host key and seed. The key is made here and not by the host, so that it
// is known before the first connection.
func (q qemu) prepare(ctx context.Context, rec *record, host string, b firstBoot) error {
	dir := q.hostDir(rec.Name, host)
	if ok, err := machine.Exists(dir); ok || err != nil {
		return err
	}
	tmp := filepath.Join(q.labDir(rec.Name), ".new-"+host)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	if _, err := machine.Run(ctx, nil, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", rec.Image.Disk,
		filepath.Join(tmp, rootDisk)); err != nil {
		return err
	}
	if !isApp(host) {
		if err := makeSparse(filepath.Join(tmp, dataDisk), dataBytes); err != nil {
			return err
		}
	}
	if err := q.prepareSeed(ctx, tmp, rec, host, b); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// prepareSeed asks what is wanted at first boot of the spec that the lab will write.
func (q qemu) prepareSeed(ctx context.Context, dir string, rec *record, host string, b firstBoot) error {
	private, public, err := newKeyPair("root@" + host)
	if err != nil {
		return err
	}
	var desired []bootstrap.Desired
	if b.desired != nil {
		spec, err := renderSpec(rec)
		if err != nil {
			return err
		}
		if desired, err = b.desired(spec, host); err != nil {
			return fmt.Errorf("first boot: %w", err)
		}
	}
	dns, err := machine.ResolvConf()
	if err != nil {
		return err
	}
	key := cloudinit.HostKey{Type: "ed25519", Private: string(private), Public: string(bytes.TrimSpace(public))}
	files, err := seedFiles(rec, host, desired, b.clientKey, key, string(dns))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, hostKeyFile), public, 0o644); err != nil {
		return err
	}
	return writeSeed(ctx, filepath.Join(dir, seedDisk), files)
}

// hostKeyFile holds the public half of a virtual machine's host key; the private one lies in
// its seed alone.
const hostKeyFile = "ssh_host_ed25519_key.pub"

func (q qemu) hostKey(lab, host string) string {
	return filepath.Join(q.hostDir(lab, host), hostKeyFile)
}

func (q qemu) guest(rec *record, host string) guest { return &domain{q.store, rec, host} }

// boots: under emulation each host takes a processor for itself.
func (q qemu) boots() int { return 2 }

// makeSparse makes a file of zeros that takes no room.
func makeSparse(file string, size int64) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// hostName is what hostNames makes.
var hostName = regexp.MustCompile(`^(zk|app)[0-9]+$`)

// stop destroys the lab's machines through libvirtd where it answers, kills what is left of
// them, and ends a libvirtd of the lab's own. A record is not needed but to find libvirtd.
func (q qemu) stop(ctx context.Context, lab string) error {
	rec, err := q.load(lab)
	if err != nil && !errors.Is(err, ErrNoLab) {
		return err
	}
	var refused error
	if rec != nil && rec.Hypervisor != nil {
		refused = destroyDomains(ctx, rec.Hypervisor.Socket, lab)
	}
	// What libvirtd could not or would not end is ended here, so what it said matters no more.
	if err := killEmulators(ctx, func(domain string) bool { return isDomainOf(domain, lab) }); err != nil {
		return errors.Join(refused, err)
	}
	entries, err := os.ReadDir(q.labDir(lab))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if hostName.MatchString(e.Name()) {
			if err := loadRules(ctx, cableHealed(lab, e.Name())); err != nil {
				return err
			}
		}
	}
	return vm.Stop(ctx, q.hypervisorDir(lab))
}

// destroyDomains is the orderly way: a libvirtd that is not the lab's own forgets the machines.
func destroyDomains(ctx context.Context, socket, lab string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return withLibvirt(ctx, socket, func(l *libvirt.Libvirt) error {
		all, _, err := l.ConnectListAllDomains(1, libvirt.ConnectListDomainsActive)
		if err != nil {
			return err
		}
		for _, d := range all {
			if !isDomainOf(d.Name, lab) {
				continue
			}
			if err := l.DomainDestroy(d); err != nil && !libvirt.IsNotFound(err) {
				return fmt.Errorf("domain %s: %w", d.Name, err)
			}
		}
		return nil
	})
}

// isDomainOf reports whether a domain is a host of the lab, and not of one whose name begins alike.
func isDomainOf(domain, lab string) bool {
	host, ok := strings.CutPrefix(domain, domainName(lab, ""))
	return ok && hostName.MatchString(host)
}
