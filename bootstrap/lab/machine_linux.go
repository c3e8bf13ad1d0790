package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// runIsolated runs argv as PID 1 of its own PID and mount namespaces: it, all it started
// and all it mounted end when ctx does and when this program dies in any way. Output goes
// to the log file; the error quotes its end.
func runIsolated(ctx context.Context, logFile string, argv ...string) error {
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
		return fmt.Errorf("%w; %s ends:\n%s", err, logFile, tail(logFile, 15))
	}
	return nil
}

// unmountBelow detaches whatever is mounted under dir in this mount namespace. Hosts mount
// in namespaces of their own; this is for a tree that a person mounted by hand.
func unmountBelow(dir string) error {
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

// dialFrom connects from the network namespace of a process. A socket belongs to the
// namespace of the thread that makes it, and the addresses are literal, so that no resolver
// of another thread is asked.
func dialFrom(ctx context.Context, pid int, network, addr string) (net.Conn, error) {
	type dialed struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialed, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and its namespace with it.
		runtime.LockOSThread()
		conn, err := func() (net.Conn, error) {
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
			if err != nil {
				return nil, err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return nil, os.NewSyscallError("setns", err)
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}()
		done <- dialed{conn, err}
	}()
	d := <-done
	return d.conn, d.err
}
