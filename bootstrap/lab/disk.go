package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// diskImage is a file with an ext4 file system that supervise.sh mounts, through a loop device, on
// what a container has as one of its data directories. It comes with every start of the host from
// the next on: a disk that came and went while the host runs would take it back in time.
type diskImage struct {
	host string // directory of the host
	name string // of the data directory in it
}

// disk names the disk of a data directory, which need not be there.
func (c *container) disk(dir string) diskImage { return diskImage{c.dir, filepath.Base(dir)} }

func (d diskImage) dir() string   { return filepath.Join(d.host, d.name) }
func (d diskImage) image() string { return filepath.Join(d.host, "disks", d.name+".img") }

// diskRoom is what a disk has beyond what is put on it: enough for a member's logs of many
// drills, which are sparse.
const diskRoom = 128 << 20

// make makes the disk of what the directory holds, while the host is off. The image appears by
// rename: whole, or not at all. mke2fs copies owners, modes and holes of all but the top.
func (d diskImage) make(ctx context.Context) error {
	// By an older program the host may have a script that knows no disks.
	if err := renameio.WriteFile(filepath.Join(d.host, "supervise"), superviseScript, 0o644); err != nil {
		return err
	}
	used, err := usedBytes(d.dir())
	if err != nil {
		return err
	}
	if err := mkdirs(d.host, "disks"); err != nil {
		return err
	}
	tmp := filepath.Join(d.host, "disks", ".new")
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := makeSparse(tmp, used+used/8+diskRoom); err != nil {
		return err
	}
	// No blocks are kept for root, so that the disk is full for all at once.
	if _, err := machine.Run(ctx, nil, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-d", d.dir(), tmp); err != nil {
		return fmt.Errorf("%w (mke2fs is of package e2fsprogs: scripts/lab-deps.sh installs it)", err)
	}
	top, err := topAttributes(d.dir())
	if err != nil {
		return err
	}
	if _, err := machine.Run(ctx, []byte(top), "debugfs", "-w", "-f", "-", tmp); err != nil {
		return err
	}
	return os.Rename(tmp, d.image())
}

// topAttributes renders commands of debugfs(8) that give the top directory of an image the owner
// and mode of dir, and take away lost+found, which no data directory had.
func topAttributes(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("%s: its owner is not known: %w", dir, errors.ErrUnsupported)
	}
	return fmt.Sprintf("rmdir lost+found\nset_inode_field / uid %d\nset_inode_field / gid %d\nset_inode_field / mode 0%o\n", st.Uid, st.Gid, st.Mode), nil
}

// usedBytes is what the files below dir take on their disk.
func usedBytes(dir string) (int64, error) {
	var used int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			used += st.Blocks * 512 // stat(2): of 512 bytes, whatever the file system's are
		}
		return nil
	})
	return used, err
}
