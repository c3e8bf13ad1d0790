package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab/vm"
	"github.com/zkboot/zkboot/cloudinit"
)

func TestDomainXML(t *testing.T) {
	img := vm.Image{Disk: "/c/disk.qcow2", Kernel: "/c/vmlinuz", Initrd: "/c/initrd.img", Cmdline: "root=/dev/vda"}
	for file, tt := range map[string]struct{ host, domainType string }{
		"member.xml": {"zk1", "qemu"}, // a data disk, and the processor that emulation has
		"app.xml":    {"app1", "kvm"}, // none, and the processor of the machine
	} {
		got, err := domainXML("main", tt.host, "/l/"+tt.host, "/l/console.log", img, tt.domainType)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, file, []byte(got+"\n"))
	}
}

// What a lab owns outside of its directory carries its name, within the kernel's limits, and
// is never taken for another lab's.
func TestNamesOfVirtualMachines(t *testing.T) {
	for _, lab := range []string{"a", "a-zk1", "ci", "a-name-that-is-long"} {
		if tap := tapName(lab, "app150"); len(tap) > 15 {
			t.Errorf("lab %s: interface %s has %d bytes, the kernel takes 15", lab, tap, len(tap))
		}
	}
	for _, tt := range []struct {
		domain, lab string
		want        bool
	}{
		{"zkboot-a-zk1", "a", true},
		{"zkboot-a-app12", "a", true},
		{"zkboot-a-zk1-zk1", "a", false}, // of lab a-zk1
		{"zkboot-a-zk1-zk1", "a-zk1", true},
		{"zkboot-ab-zk1", "a", false},
		{"zkboot-a-", "a", false},
		{"a-zk1", "a", false},
	} {
		if got := isDomainOf(tt.domain, tt.lab); got != tt.want {
			t.Errorf("domain %s of lab %s: %v, want %v", tt.domain, tt.lab, got, tt.want)
		}
	}
	if a, b := macAddress("main", "zk1"), macAddress("main", "zk2"); a == b || !strings.HasPrefix(a, "52:54:00:") {
		t.Errorf("addresses %s and %s", a, b)
	}
}

func TestEmulatorsAreKnownByTheirCommandLine(t *testing.T) {
	for _, tt := range []struct {
		name, line, domain string
	}{
		{"as libvirt starts it", "/usr/bin/qemu-system-x86_64\x00-name\x00guest=zkboot-a-zk1,debug-threads=on\x00-S\x00", "zkboot-a-zk1"},
		{"somebody's own", "qemu-system-x86_64\x00-name\x00mine\x00", ""},
		{"another option first", "qemu-system-x86_64\x00-S\x00-name\x00guest=zkboot-a-zk1,x\x00", ""},
		{"a grep for it", "grep\x00guest=zkboot-a-zk1,\x00", ""},
		{"a zombie", "", ""},
	} {
		if domain, _ := parseEmulator(tt.line); domain != tt.domain {
			t.Errorf("%s: domain %q, want %q", tt.name, domain, tt.domain)
		}
	}
}

func TestCableRules(t *testing.T) {
	two := []netip.Addr{netip.MustParseAddr("10.231.7.12"), netip.MustParseAddr("10.231.7.13")}
	golden(t, "cable-all.nft", []byte(cableCut("main", "zk1", partition{in: true, out: true})))
	golden(t, "cable-peers.nft", []byte(cableCut("main", "zk1", partition{peers: two, in: true, out: true})))
	golden(t, "cable-in.nft", []byte(cableCut("main", "zk1", partition{in: true})))
	golden(t, "cable-out-peers.nft", []byte(cableCut("main", "zk1", partition{peers: two, out: true})))
	golden(t, "cable-healed.nft", []byte(cableHealed("main", "zk1")))
}

// testHostKey is no secret: it was made for this test.
func testHostKey(t *testing.T) cloudinit.HostKey {
	t.Helper()
	private, public, err := newKeyPair("root@zk1")
	if err != nil {
		t.Fatal(err)
	}
	return cloudinit.HostKey{Type: "ed25519", Private: string(private), Public: string(bytes.TrimSpace(public))}
}

func TestSeed(t *testing.T) {
	_, client, err := newKeyPair("client")
	if err != nil {
		t.Fatal(err)
	}
	desired := []bootstrap.Desired{{Resources: []bootstrap.Resource{bootstrap.Package{Name: "haproxy"}, bootstrap.Package{Name: "fio"}}}}
	key := testHostKey(t)
	for host, want := range map[string][]string{
		"zk1":  {"user-data", "meta-data", "network-config"},
		"app1": {"user-data", "meta-data", "network-config", "vendor-data"}, // which turns its service on
	} {
		files, err := seedFiles(mainRecord(), host, desired, client, key, "nameserver 9.9.9.9\nsearch x\nnameserver 1.1.1.1\n")
		if err != nil {
			t.Fatal(err)
		}
		content := map[string]string{}
		for i, f := range files {
			if i >= len(want) || f.Name != want[i] {
				t.Errorf("%s: file %d is %s, want %q in all", host, i, f.Name, want)
			}
			content[f.Name] = string(f.Content)
		}
		for file, parts := range map[string][]string{
			"user-data":      {`hostname: "` + host + `"`, strings.TrimSpace(string(client)), key.Public, `- "fio"`, "dpkg-query -s fio haproxy", `name: "debian"`},
			"meta-data":      {"zkboot-main-" + host},
			"network-config": {macAddress("main", host), "9.9.9.9", "1.1.1.1"},
		} {
			for _, part := range parts {
				if !strings.Contains(content[file], part) {
					t.Errorf("%s: no %q in %s:\n%s", host, part, file, content[file])
				}
			}
		}
		if strings.Contains(content["user-data"], `- "haproxy"`) {
			t.Errorf("%s: apt is asked for what the image has:\n%s", host, content["user-data"])
		}
		golden(t, host+".network-config", []byte(content["network-config"]))
	}
	golden(t, "app.vendor-data", []byte(serviceHook))
	bad := []bootstrap.Desired{{Resources: []bootstrap.Resource{bootstrap.Secret{Path: "/etc/s"}}}}
	if _, err := seedFiles(mainRecord(), "zk1", bad, client, key, ""); err == nil || !strings.Contains(err.Error(), "/etc/s") {
		t.Errorf("a secret in user-data: %v, want an error that names it", err)
	}
}

// An emulated sshd takes seconds to greet. Asked again before it could, it has one process more to
// start: a machine on a busy host was kept from ever answering.
func TestPaceOfVirtualMachines(t *testing.T) {
	s := testStore(t)
	if p := (qemu{s}).guest(mainRecord(), "zk1").pace(); p.greeting < 30*time.Second || p.look < time.Second || p.start < 10*p.greeting {
		t.Errorf("virtual machines: %+v", p)
	}
	if p := (nspawn{s}).guest(mainRecord(), "zk1").pace(); p.greeting > time.Second || p.look > 100*time.Millisecond {
		t.Errorf("containers, which are there in a second: %+v", p)
	}
}

// A record of virtual machines is refused by a program that knows only containers.
func TestRecordOfVirtualMachines(t *testing.T) {
	s := testStore(t)
	if err := os.MkdirAll(s.labDir("main"), 0o755); err != nil {
		t.Fatal(err)
	}
	rec, err := s.claim(t.Context(), Options{Name: "main", Dir: "/d", ZooKeeper: 1, Driver: DriverQEMU})
	if err != nil {
		t.Fatal(err)
	}
	if rec.Version != driverRecordVersion || rec.Driver != DriverQEMU || rec.Base != "" {
		t.Errorf("claimed %+v, want version %d, driver %s and no tree", rec, driverRecordVersion, DriverQEMU)
	}
	if loaded, err := s.load("main"); err != nil || loaded.Driver != DriverQEMU {
		t.Errorf("loaded %+v, %v", loaded, err)
	}
	if d, err := s.driverOf("main"); err != nil || d != (qemu{s}) {
		t.Errorf("driver %T, %v", d, err)
	}
	if d, err := s.driverOf("never"); err != nil || d != (nspawn{s}) {
		t.Errorf("driver of a lab without a record %T, %v", d, err)
	}
}

func TestWhatAVirtualMachineCannotDo(t *testing.T) {
	s, rec := testStore(t), mainRecord()
	rec.Driver = DriverQEMU
	h := &Host{Name: "zk1", lab: "main", driver: DriverQEMU, guest: qemu{s}.guest(rec, "zk1")}
	_, leader := h.Leader()
	_, root := h.Root()
	for what, err := range map[string]error{"a process id": leader, "its root directory": root} {
		var unsupported *UnsupportedError
		if !errors.As(err, &unsupported) || !errors.Is(err, errors.ErrUnsupported) {
			t.Fatalf("%s: %v, want an UnsupportedError", what, err)
		}
		if text := err.Error(); !strings.Contains(text, "lab main: host zk1: "+what) || !strings.Contains(text, "with driver qemu: use Exec") {
			t.Errorf("%s: %q, want lab, host, driver and what to do", what, text)
		}
	}
	if err := h.PowerCut(t.Context()); !errors.Is(err, ErrOff) {
		t.Errorf("power cut of a machine that is off: %v, want %v", err, ErrOff)
	}
	if err := h.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "run up again") {
		t.Errorf("start before there is a libvirtd: %v, want what to do", err)
	}
}

// agent answers as QEMU's guest agent does: a program runs for a few questions, then has ended
// with the given words.
func agent(t *testing.T, ended string) (ask, *[]string) {
	t.Helper()
	var argv []string
	questions := 0
	return func(_ context.Context, command string) (string, error) {
		var c struct {
			Execute   string
			Arguments struct {
				Path string
				Arg  []string
				PID  int
			}
		}
		if err := json.Unmarshal([]byte(command), &c); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.Execute == "guest-exec":
			argv = append([]string{c.Arguments.Path}, c.Arguments.Arg...)
			return `{"return":{"pid":7}}`, nil
		case c.Execute != "guest-exec-status" || c.Arguments.PID != 7:
			return "", fmt.Errorf("unexpected %s", command)
		}
		if questions++; questions < 3 {
			return `{"return":{"exited":false}}`, nil
		}
		return `{"return":{"exited":true,` + ended + `}}`, nil
	}, &argv
}

func TestGuestAgentRunsPrograms(t *testing.T) {
	for _, tt := range []struct {
		name, ended, out string
		err              error
	}{
		{"output", `"exitcode":0,"out-data":"aGkK"`, "hi\n", nil},
		{"silence", `"exitcode":0`, "", nil},
		{"failure", `"exitcode":3,"out-data":"aGkK","err-data":"d2h5Cg=="`, "hi\n", &ExitError{Code: 3, Stderr: "why"}},
		{"signal", `"signal":9`, "", &ExitError{Code: -1, Signal: 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, argv := agent(t, tt.ended)
			out, err := a.exec(t.Context(), []string{"/bin/echo", "a b"})
			if string(out) != tt.out || fmt.Sprint(err) != fmt.Sprint(tt.err) {
				t.Errorf("%q, %v; want %q, %v", out, err, tt.out, tt.err)
			}
			if got := strings.Join(*argv, "|"); got != "/bin/echo|a b" {
				t.Errorf("ran %s", got)
			}
		})
	}
	t.Run("words of the error", func(t *testing.T) {
		for want, err := range map[string]error{
			"exit status 3: why": &ExitError{Code: 3, Stderr: "why"},
			"signal 9":           &ExitError{Code: -1, Signal: 9},
		} {
			if err.Error() != want {
				t.Errorf("%q, want %q", err, want)
			}
		}
	})
	t.Run("more than it keeps", func(t *testing.T) {
		a, _ := agent(t, `"exitcode":0,"out-truncated":true`)
		if _, err := a.exec(t.Context(), []string{"/bin/cat"}); err == nil {
			t.Error("output that was cut is taken for all of it")
		}
	})
	t.Run("an agent that refuses", func(t *testing.T) {
		refused := errors.New("command guest-exec has been disabled")
		a := ask(func(context.Context, string) (string, error) { return "", refused })
		if _, err := a.exec(t.Context(), []string{"/bin/true"}); !errors.Is(err, refused) || !strings.Contains(err.Error(), "guest-exec") {
			t.Errorf("got %v, want what the agent said to which command", err)
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		a := ask(func(context.Context, string) (string, error) { return "{", nil })
		if _, err := a.exec(t.Context(), []string{"/bin/true"}); err == nil || !strings.Contains(err.Error(), `"{"`) {
			t.Errorf("got %v, want the answer quoted", err)
		}
	})
}
