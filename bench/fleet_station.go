package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pkg/sftp"
	xssh "golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/agent"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
)

// station is one host of a fleet.
type station struct {
	fleet   *fleet
	ln      net.Listener
	key     xssh.PublicKey
	config  xssh.ServerConfig
	machine *bootstraptest.Machine
	has     atomic.Bool // the agent; asked for only where the fleet is bare
}

// newIdentity makes an ed25519 key, and writes it to file unless that is empty.
func newIdentity(file string) (xssh.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if file != "" {
		block, err := xssh.MarshalPrivateKey(key, "")
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
	}
	return xssh.NewSignerFromSigner(key)
}

func (s *station) port() int { return s.ln.Addr().(*net.TCPAddr).Port }

// serve takes connections until the listener is closed.
func (s *station) serve() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.fleet.wg.Go(func() { s.connection(c) })
	}
}

func (s *station) connection(c net.Conn) {
	defer s.fleet.conns.enter()()
	greeted := s.fleet.logins.enter()
	defer greeted()
	stop := context.AfterFunc(s.fleet.ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	_, chans, reqs, err := xssh.NewServerConn(c, &s.config)
	if err != nil {
		return // the operator says why
	}
	s.fleet.wg.Go(func() { xssh.DiscardRequests(reqs) }) // answers keepalives, as OpenSSH does
	for nc := range chans {
		if nc.ChannelType() != "session" {
			_ = nc.Reject(xssh.Prohibited, "administratively prohibited")
			continue
		}
		s.fleet.wg.Go(func() { s.session(nc, greeted) })
	}
}

// session carries out the one command of a channel.
func (s *station) session(nc xssh.NewChannel, greeted func()) {
	ch, reqs, err := nc.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	var work sync.WaitGroup
	defer work.Wait()
	begun := false
	for r := range reqs {
		var arg struct{ Value string }
		_ = xssh.Unmarshal(r.Payload, &arg) // of another shape: no command of ours
		var run func() int
		switch {
		case begun:
		case r.Type == "exec":
			run = func() int { return s.exec(ch, arg.Value, greeted) }
		case r.Type == "subsystem" && arg.Value == "sftp":
			run = func() int { return s.receive(ch) }
		}
		if r.WantReply {
			_ = r.Reply(run != nil, nil)
		}
		if run == nil {
			continue
		}
		begun = true
		work.Go(func() {
			status := run()
			_, _ = ch.SendRequest("exit-status", false, xssh.Marshal(struct{ Status uint32 }{uint32(status)}))
			ch.Close()
		})
	}
}

// exec is the shell of a station: it knows the agent, and what brings it there.
func (s *station) exec(ch xssh.Channel, line string, greeted func()) int {
	words := strings.Fields(line)
	for _, prefix := range []string{"env", "LC_ALL=C", "sudo", "-n", "--"} {
		if len(words) > 0 && words[0] == prefix {
			words = words[1:]
		}
	}
	if len(words) == 0 {
		return 0
	}
	last := words[len(words)-1]
	switch words[0] {
	case "uname":
		fmt.Fprintln(ch, "x86_64")
	case "sha256sum":
		fmt.Fprintln(ch, s.sum(last), last)
	case "install", "sync": // both names of the file stand for one here
	case "mv":
		s.has.Store(path.Base(last) == "zkagent-"+s.sum(words[len(words)-2]))
		_ = os.Remove(s.local(words[len(words)-2]))
	case "rm":
		_ = os.Remove(s.local(last)) // -f
	default:
		sum, is := strings.CutPrefix(path.Base(words[0]), "zkagent-")
		if !is || s.fleet.bare && !s.has.Load() {
			fmt.Fprintf(ch.Stderr(), "sudo: %s: command not found\n", words[0])
			return 1
		}
		return s.agent(ch, sum, greeted)
	}
	return 0
}

// agent is the agent's own serving end.
func (s *station) agent(ch xssh.Channel, sum string, greeted func()) int {
	greeted()
	h := looked{Host: s.machine.Open(), looks: &s.fleet.looks}
	if err := agent.Serve(s.fleet.ctx, ch, h, agent.ServeOptions{SHA256: sum}); err != nil {
		fmt.Fprintln(ch.Stderr(), err)
		return 1
	}
	return 0
}

// looked counts calls of Look.
type looked struct {
	bootstrap.Host
	looks *gauge
}

// Look implements bootstrap.Host.
func (l looked) Look(ctx context.Context, ids ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	defer l.looks.enter()()
	return l.Host.Look(ctx, ids...)
}

// receive takes files by sftp, of which only the hash is kept.
func (s *station) receive(ch xssh.Channel) int {
	server := sftp.NewRequestServer(ch, sftp.Handlers{FilePut: s, FileCmd: s, FileList: s})
	err := server.Serve()
	server.Close()
	if err != nil && !errors.Is(err, io.EOF) {
		return 1
	}
	return 0
}

// local is where the station keeps a file: nothing outside the fleet's directory is touched.
func (s *station) local(name string) string {
	return filepath.Join(s.fleet.dir, s.machine.Facts.Hostname+path.Base(name))
}

// sum is the hash of a file, "" where there is none.
func (s *station) sum(name string) string {
	b, err := os.ReadFile(s.local(name))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Filewrite implements sftp.FileWriter.
func (s *station) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	return os.OpenFile(s.local(r.Filepath), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// Filecmd implements sftp.FileCmder.
func (s *station) Filecmd(r *sftp.Request) error {
	if r.Method != "Setstat" {
		return sftp.ErrSSHFxOpUnsupported
	}
	return nil // the file is ours alone already
}

// Filelist implements sftp.FileLister.
func (s *station) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := os.Stat(s.local(r.Filepath))
	return oneFile{info}, err
}

type oneFile struct{ os.FileInfo }

// ListAt implements sftp.ListerAt.
func (o oneFile) ListAt(to []os.FileInfo, _ int64) (int, error) {
	return copy(to, []os.FileInfo{o.FileInfo}), io.EOF
}

// dialWatch connects to the zkwatch of a machine, which answers while its unit is there.
func dialWatch(m *bootstraptest.Machine, network, addr string) (net.Conn, error) {
	if network != "tcp" || addr != "127.0.0.1:9180" || m.Thing(bootstrap.NewID(bootstrap.KindUnit, "zkwatch.service")) == nil {
		return nil, fmt.Errorf("dial %s %s: connection refused", network, addr)
	}
	const body = `{"version":"0","services":[{"service":"inventory","truth":"known","revision":1,"instances":[{}]}],` +
		`"registrations":[{"name":"inventory","healthy":true,"announced":true}]}`
	near, far := net.Pipe()
	go func() { // ends with the connection, which the agent closes
		defer far.Close()
		if _, err := http.ReadRequest(bufio.NewReader(far)); err != nil {
			return
		}
		answer := http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Close: true,
			ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader([]byte(body)))}
		_ = answer.Write(far) // the asker sees what is missing
	}()
	return near, nil
}
