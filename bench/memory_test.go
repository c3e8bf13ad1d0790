package main

import (
	"net"
	"os/exec"
	"runtime"
	"testing"
)

// A small program is small, however large the one is that starts it.
func TestPeakIsThatOfTheProgramAlone(t *testing.T) {
	ballast := make([]byte, 64<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	path, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it runs cat by now
		t.Fatal(err)
	}
	if got := watchMost(func() float64 { return peakOf(cmd.Process.Pid) })(); got <= 0 || got > 30 {
		t.Errorf("cat had %.1f MB, want those of cat", got)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(ballast)
}

func TestConnectedCountsWhatIsDialled(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ports := map[int]bool{ln.Addr().(*net.TCPAddr).Port: true}
	var open []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	if got := connected(ports); got != 3 {
		t.Errorf("%v connections, want 3", got)
	}
	open[0].Close()
	if got := connected(ports); got != 2 {
		t.Errorf("%v connections after a close, want 2", got)
	}
}
