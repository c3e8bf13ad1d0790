package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

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
