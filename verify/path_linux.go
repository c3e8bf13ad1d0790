package verify

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// burstBytes is several full segments on every link there is.
	burstBytes = 64 << 10
	// burstEnough must be acknowledged. The peer's kernel does that, whether or not the
	// server reads; but it offers a little less than 64 KiB of window at first (tcp(7)).
	burstEnough = burstBytes / 2
	// burstTime has room for three retransmissions (200, 400, 800 ms) on a bad link. A
	// kernel with tcp_mtu_probing begins to look for a smaller MTU only after them.
	burstTime = 3 * time.Second
	burstPoll = 5 * time.Millisecond

	datagramTime  = 500 * time.Millisecond
	datagramTries = 4
)

// probePath tells whether packets of full size pass on the way to a target that
// has answered a handshake.
func probePath(ctx context.Context, t NetTarget) *PathResult {
	var r PathResult
	var err error
	if t.Burst {
		r, err = burst(ctx, t.Addr, burstTime)
	} else {
		r, err = datagrams(ctx, t.Addr)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return &r
}

// burst sends more than any MTU in one write and waits until the peer's kernel
// has acknowledged it. It begins as no election message does: ZooKeeper takes
// -1 for an unknown protocol version and closes the connection
// (QuorumCnxManager.InitialMessage.parse, 3.5 to 3.9), which is an answer too:
// the reset comes only when the first segment, a full one, was read.
func burst(ctx context.Context, addr string, patience time.Duration) (PathResult, error) {
	var r PathResult
	var d net.Dialer
	dialing, cancel := context.WithTimeout(ctx, netTimeout)
	defer cancel()
	conn, err := d.DialContext(dialing, "tcp", addr)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	tcp := conn.(*net.TCPConn)
	raw, err := tcp.SyscallConn()
	if err != nil {
		return r, err
	}
	over := time.Now().Add(patience)
	err = errors.Join(tcp.SetLinger(0), tcp.SetWriteBuffer(2*burstBytes), tcp.SetWriteDeadline(over))
	if err != nil {
		return r, err
	}
	r.LinkMTU = linkMTU(conn.LocalAddr())
	message := make([]byte, burstBytes)
	copy(message, "\xff\xff\xff\xff\xff\xff\xff\xff")
	_, _ = tcp.Write(message) // the kernel knows better what became of it
	ticker := time.NewTicker(burstPoll)
	defer ticker.Stop()
	for {
		info, err := tcpInfo(raw)
		if err != nil {
			return r, err
		}
		r.MTU = int(info.Pmtu)
		r.Passed = info.Bytes_acked >= burstEnough || info.State == unix.BPF_TCP_CLOSE
		if r.Passed || time.Now().After(over) {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-ticker.C:
		}
	}
}

func tcpInfo(raw syscall.RawConn) (info *unix.TCPInfo, err error) {
	outer := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	return info, errors.Join(outer, err)
}

// errSilent is why the way to a host without a member may stay unmeasured.
var errSilent = errors.New("no member listens there yet, and a datagram to the closed port gets no answer: a firewall may swallow it")

// datagrams needs nobody who listens: a closed UDP port answers with an ICMP
// error, and the one of full size must be answered as the small one was. Both
// carry "don't fragment", so that a router says what it cannot pass on.
func datagrams(ctx context.Context, addr string) (PathResult, error) {
	var r PathResult
	d := net.Dialer{Control: func(network, _ string, raw syscall.RawConn) (err error) {
		outer := raw.Control(func(fd uintptr) {
			if network == "udp6" {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
				return
			}
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		})
		return errors.Join(outer, err)
	}}
	dialing, cancel := context.WithTimeout(ctx, netTimeout) // addr may be a name
	defer cancel()
	conn, err := d.DialContext(dialing, "udp", addr)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	udp := conn.(*net.UDPConn)
	if answered, err := echoed(udp, 1); err != nil || !answered {
		return r, errors.Join(err, errSilent)
	}
	r.LinkMTU = linkMTU(conn.LocalAddr())
	for range datagramTries {
		if r.MTU, err = pathMTU(udp); err != nil || ctx.Err() != nil {
			return r, errors.Join(err, ctx.Err())
		}
		if r.Passed, err = echoed(udp, min(r.MTU, 1<<16-1)-headers(udp)); err != nil || r.Passed {
			return r, err
		}
	}
	// Hosts ration their ICMP errors (icmp_ratelimit): only while small ones are answered
	// does silence say anything about big ones.
	if answered, err := echoed(udp, 1); err != nil || !answered {
		return r, errors.Join(err, errSilent)
	}
	return r, nil
}

// echoed sends so many bytes and reports whether anything came back. A router's
// "too big" is no answer: the kernel has noted the MTU, and the caller tries again.
func echoed(conn *net.UDPConn, bytes int) (bool, error) {
	if err := conn.SetDeadline(time.Now().Add(datagramTime)); err != nil {
		return false, err
	}
	_, err := conn.Write(make([]byte, bytes))
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	var late net.Error
	switch {
	case err == nil, errors.Is(err, unix.ECONNREFUSED):
		return true, nil
	case errors.Is(err, unix.EMSGSIZE), errors.As(err, &late) && late.Timeout():
		return false, nil
	}
	return false, err
}

// headers is the size of an IP and a UDP header.
func headers(conn *net.UDPConn) int {
	if overIPv6(conn.LocalAddr()) {
		return 40 + 8
	}
	return 20 + 8
}

// pathMTU asks the kernel for the MTU that it knows of the way to the peer: ip(7), IP_MTU.
func pathMTU(conn *net.UDPConn) (mtu int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	outer := raw.Control(func(fd uintptr) {
		if overIPv6(conn.LocalAddr()) {
			mtu, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU)
			return
		}
		mtu, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU)
	})
	return mtu, errors.Join(outer, err)
}

func overIPv6(a net.Addr) bool {
	ip, err := netip.ParseAddrPort(a.String())
	return err == nil && ip.Addr().Is6() && !ip.Addr().Is4In6()
}

// linkMTU returns the MTU of the interface that has the address; 0 where none has it.
func linkMTU(local net.Addr) int {
	at, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return 0
	}
	var all []Address
	if err := readAddresses(&all); err != nil {
		return 0
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.Prefix); err == nil && p.Addr().Unmap() == at.Addr().Unmap().WithZone("") {
			return min(a.MTU, 1<<16-1) // no IPv4 path has more, though loopback says so
		}
	}
	return 0
}
