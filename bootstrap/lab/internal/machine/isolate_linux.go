package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// RunIsolated runs argv as PID 1 of its own PID and mount namespaces: it, all it started
// and all it mounted end when ctx does and when this program dies in any way. Output goes
// to the log file; the error quotes its end.
func RunIsolated(ctx context.Context, logFile string, argv ...string) error {
	out, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "unshare", append(unshareArgs, argv...)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// The kernel sends Pdeathsig when the starting thread ends (golang/go#27505).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w; %s ends:\n%s", err, logFile, Tail(logFile, 15))
	}
	return nil
}

// UnmountBelow detaches whatever is mounted under dir in this mount namespace. Hosts mount
// in namespaces of their own; this is for a tree that a person mounted by hand.
func UnmountBelow(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	for i := len(mounts) - 1; i >= 0; i-- { // children come after their parents
		if err := unix.Unmount(mounts[i].Mountpoint, unix.MNT_DETACH); err != nil {
			return &os.PathError{Op: "unmount", Path: mounts[i].Mountpoint, Err: err}
		}
	}
	return nil
}
