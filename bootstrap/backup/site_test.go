package backup_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/adler32"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/backup"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
)

// The files of a member: a real snapshot at zxid 0xa and a real log of 0x1 to 0xa.
const (
	snapshots = "/var/lib/zookeeper/main/version-2/"
	logs      = "/var/lib/zookeeper-log/main/version-2/"
)

func real(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "zookeeper", "txnlog", "testdata", name+".base64"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(string(bytes.ReplaceAll(text, []byte("\n"), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func files(t testing.TB) map[string][]byte {
	return map[string][]byte{
		snapshots + "snapshot.a":      real(t, "3.9.snapshot"),
		snapshots + "currentEpoch":    []byte("0"),
		logs + "log.1":                padded(real(t, "3.9.log")),
		logs + "log.100000001":        padded(logOf(0x100000001, 0x100000002)),
		logs + "acceptedEpoch.ignore": nil,
	}
}

// padded is a log with the zeros that ZooKeeper puts behind it.
func padded(log []byte) []byte { return append(bytes.Clone(log), make([]byte, 5000)...) }

// logOf is a log of deletes with these zxids, which carry them as their digests.
func logOf(zxids ...uint64) []byte {
	b := append([]byte("ZKLG"), 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, z := range zxids {
		txn := make([]byte, 12)                             // session, cxid
		txn = binary.BigEndian.AppendUint64(txn, z)         //
		txn = append(txn, make([]byte, 8)...)               // time
		txn = append(txn, 0, 0, 0, 2, 0, 0, 0, 2, '/', 'x') // delete of /x
		txn = append(txn, 0, 0, 0, 2)                       // version of the digest
		txn = binary.BigEndian.AppendUint64(txn, z)         //
		b = binary.BigEndian.AppendUint64(b, uint64(adler32.Checksum(txn)))
		b = binary.BigEndian.AppendUint32(b, uint32(len(txn)))
		b = append(append(b, txn...), 'B')
	}
	return b
}

// member is one server of a site.
type member struct {
	machine *bootstraptest.Machine
	mode    string // "" where it does not serve
	zxid    uint64
	uptime  int
	mntr    map[string]string
	data    bootstrap.DataState
}

type site map[string]*member

// newSite is three members that serve, zk2 leading, with the same files.
func newSite(t testing.TB) site {
	s := site{}
	for _, name := range []string{"zk1", "zk2", "zk3"} {
		m := &member{mode: "follower", zxid: 0x100000002, uptime: 60_000, data: bootstrap.DataPresent, mntr: map[string]string{}}
		m.machine = bootstraptest.New(bootstrap.Facts{})
		m.machine.Data = files(t)
		m.machine.Observe = func(map[bootstrap.ID]bootstrap.Resource) []bootstrap.Resource {
			m.uptime += 1000
			return []bootstrap.Resource{m.server(name)}
		}
		s[name] = m
	}
	s["zk2"].mode = "leader"
	return s
}

// dynamic is the configuration that the members live by.
const dynamic = `server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181
server.2=10.0.0.2:2888:3888:participant;10.0.0.2:2181
server.3=10.0.0.3:2888:3888:participant;10.0.0.3:2181
`

func (m *member) server(name string) bootstrap.ZooKeeper {
	z := bootstrap.ZooKeeper{Config: "/etc/zookeeper/main/zoo.cfg", Data: m.data, MyID: name[2:], Dynamic: dynamic,
		Properties: map[string]string{"dataDir": "/var/lib/zookeeper/main", "tickTime": "2000"}}
	if m.mode == "" {
		z.Err = "connection refused"
		return z
	}
	z.Srvr = fmt.Sprintf("Zookeeper version: 3.9.6-x, built on y\nZxid: 0x%x\nMode: %s\nNode count: 7\n", m.zxid, m.mode)
	z.Mntr = map[string]string{"zk_uptime": fmt.Sprint(m.uptime), "zk_ephemerals_count": "1"}
	maps.Copy(z.Mntr, m.mntr)
	z.Admin = map[string]json.RawMessage{"zabstate": json.RawMessage(`{"voting":true,"zabstate":"broadcast","error":null}`)}
	return z
}

func spec(t testing.TB) *bootstrap.Spec {
	s, r := bootstrap.Load("main.yaml", []byte(`name: main
hosts: {zk1: {address: 10.0.0.1}, zk2: {address: 10.0.0.2}, zk3: {address: 10.0.0.3}}
ensemble: {members: {zk1: {id: 1}, zk2: {id: 2}, zk3: {id: 3}}, source: {apt: {}}}
`))
	if r.Failed() {
		t.Fatal(r.Err())
	}
	return s
}

// look is what the engine would see, and the open hosts.
func (s site) look(t testing.TB) (bootstrap.Site, bootstrap.Hosts) {
	now, hosts := bootstrap.Site{Hosts: map[string]bootstrap.Seen{}}, bootstrap.Hosts{}
	for name, m := range s {
		hosts[name] = m.machine.Open()
		_, state, err := hosts[name].Look(t.Context(), bootstrap.NewID(bootstrap.KindZooKeeper, "/etc/zookeeper/main/zoo.cfg"))
		now.Hosts[name] = bootstrap.Seen{State: state, Err: err}
	}
	return now, hosts
}

// buffer is an archive in memory.
type buffer struct {
	bytes.Buffer
	rewinds int
}

func (b *buffer) Rewind() error {
	b.Reset()
	b.rewinds++
	return nil
}

var taken = time.Date(2026, 12, 1, 17, 30, 0, 0, time.UTC)

// take takes a backup of a site.
func (s site) take(t testing.TB, o backup.Options) (backup.Manifest, *buffer, string, error) {
	t.Helper()
	now, hosts := s.look(t)
	var b buffer
	var notes strings.Builder
	o.Now = func() time.Time { return taken }
	o.Note = func(text string) { notes.WriteString(text + "\n") }
	o.Patience = 10 * time.Millisecond
	m, err := backup.Take(context.Background(), spec(t), now, hosts, &b, o)
	return m, &b, notes.String(), err
}
