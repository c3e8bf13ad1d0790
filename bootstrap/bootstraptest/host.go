// Package bootstraptest is an in-memory bootstrap.Host for tests of the engine and of
// roles. It follows the rules of a real one: premises are checked, manifests are kept, the
// lock is needed. It refuses whatever it was not told: a probe, a dial, a secret, a kind
// that can only be observed.
package bootstraptest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"path"
	"reflect"
	"slices"
	"sync"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// ErrCut is what a call returns when its connection was told to break.
var ErrCut = errors.New("connection cut")

// Machine is one host's memory: it outlives the connections to it, as a disk outlives SSH.
type Machine struct {
	Facts  bootstrap.Facts
	Probes func(verify.Query) (verify.Result, error)                         // nil: probing is an error
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error) // nil: dialling is an error
	Secret map[string]string                                                 // what Reveal knows
	// Data are files in directories of data, by path; ListData and ReadData know no others.
	Data map[string][]byte
	// Reading wraps each file that ReadData opens; nil: as it is.
	Reading func(path string, r io.ReadCloser) io.ReadCloser
	// Lingers and Boots say how a reboot goes: how many more connections the old boot takes
	// before it is gone, and how many are refused then until the new one answers.
	Lingers, Boots int
	// RebootErr is what a Change that reboots returns, as an agent does that ends with its
	// session; nil for nothing.
	RebootErr error
	// Observe adds what Look sees besides the things in memory, such as a ZooKeeper server.
	Observe func(things map[bootstrap.ID]bootstrap.Resource) []bootstrap.Resource

	mu        sync.Mutex
	things    map[bootstrap.ID]bootstrap.Resource
	manifests map[string]bootstrap.Manifest
	lockedBy  *conn
	who       string
	cutAfter  int // steps until the connection breaks; below 0: never
	applied   []bootstrap.Step
	looks     int
	boot      int  // counts the boots
	down      *way // nil: up
}

// New returns a machine that has the given things.
func New(facts bootstrap.Facts, things ...bootstrap.Resource) *Machine {
	m := &Machine{Facts: facts, things: map[bootstrap.ID]bootstrap.Resource{},
		manifests: map[string]bootstrap.Manifest{}, cutAfter: -1}
	for _, r := range things {
		m.things[r.ID()] = seen(r)
	}
	return m
}

// CutAfter breaks the connection once n more steps are done.
func (m *Machine) CutAfter(n int) { m.mu.Lock(); defer m.mu.Unlock(); m.cutAfter = n }

// Boot ends the machine's first boot.
func (m *Machine) Boot() { m.mu.Lock(); defer m.mu.Unlock(); m.Facts.CloudInit = "done" }

// Applied returns the steps that were carried out, in order.
func (m *Machine) Applied() []bootstrap.Step {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.applied)
}

// Looks returns how often the machine was looked at.
func (m *Machine) Looks() int { m.mu.Lock(); defer m.mu.Unlock(); return m.looks }

// Thing returns what the machine has under that ID, or nil.
func (m *Machine) Thing(id bootstrap.ID) bootstrap.Resource {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.things[id]
}

// Set puts a thing on the machine behind zkboot's back.
func (m *Machine) Set(r bootstrap.Resource) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.things[r.ID()] = seen(r)
}

// Remove takes a thing from the machine behind zkboot's back.
func (m *Machine) Remove(id bootstrap.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.things, id)
}

// Open returns a connection to the machine.
func (m *Machine) Open() bootstrap.Host {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &conn{m: m, boot: m.boot, ctx: context.Background()}
}

// Site opens machines by host name, for Engine.Open. A name without a machine cannot be
// reached.
func Site(machines map[string]*Machine) func(context.Context, *bootstrap.Spec, string) (bootstrap.Host, error) {
	return func(ctx context.Context, _ *bootstrap.Spec, host string) (bootstrap.Host, error) {
		m, ok := machines[host]
		if !ok {
			return nil, fmt.Errorf("%w: no machine %s in this test", bootstrap.ErrUnreachable, host)
		}
		return m.connect(ctx)
	}
}

type conn struct {
	m      *Machine
	closed bool
	boot   int // in which it was opened, and ends
	ctx    context.Context
}

func (c *conn) Look(_ context.Context, ids ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.closed || c.ctx.Err() != nil || c.boot != m.boot || m.cutAfter == 0 {
		return bootstrap.Facts{}, bootstrap.State{}, ErrCut
	}
	m.looks++
	asked := map[bootstrap.ID]bool{}
	for _, id := range ids {
		asked[id] = true
	}
	observed := bootstrap.Observed(ids)
	m.things[bootstrap.Boot{}.ID()] = bootstrap.Boot{BootID: m.Facts.BootID}
	for _, man := range m.manifests {
		for _, e := range man.Entries {
			asked[e.ID] = asked[e.ID] || !observed
		}
	}
	var things []bootstrap.Resource
	for id, is := range asked {
		r, ok := m.things[id]
		if boot, is := r.(bootstrap.Boot); is {
			boot.Up = true // which is no premise of a step
			r = boot
		}
		if ok && is {
			things = append(things, r)
		}
	}
	if m.Observe != nil {
		things = append(things, m.Observe(m.things)...)
	}
	state := bootstrap.NewState(things...)
	if observed {
		return bootstrap.Facts{}, state, nil
	}
	state.Manifests = maps.Clone(m.manifests)
	return m.Facts, state, nil
}

func (c *conn) Change(_ context.Context, steps ...bootstrap.Step) error {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.closed || c.ctx.Err() != nil || c.boot != m.boot {
		return ErrCut
	}
	if m.lockedBy != c {
		return fmt.Errorf("%w: Change without the lock", bootstrap.ErrLocked)
	}
	for i, st := range steps {
		if have := m.things[st.Target]; st.Owner != "" && !reflect.DeepEqual(have, st.Was.Resource) {
			return &bootstrap.StepError{Index: i, Step: st, Err: fmt.Errorf("%w: seen %v, planned on %v", bootstrap.ErrStale, have, st.Was.Resource)}
		}
	}
	for i, st := range steps {
		if m.cutAfter == 0 {
			return &bootstrap.StepError{Index: i, Step: st, Err: ErrCut}
		}
		if m.cutAfter > 0 {
			m.cutAfter--
		}
		if err := m.apply(st); err != nil {
			return &bootstrap.StepError{Index: i, Step: st, Err: err}
		}
		m.applied = append(m.applied, st)
		if st.Action == bootstrap.ActionReboot {
			c.closed, m.lockedBy = true, nil
			m.down = &way{m.Lingers, m.Boots}
			if m.RebootErr != nil {
				return &bootstrap.StepError{Index: i, Step: st, Err: m.RebootErr}
			}
			return nil
		}
	}
	return nil
}

func (m *Machine) apply(st bootstrap.Step) error {
	switch st.Action {
	case bootstrap.ActionCreate, bootstrap.ActionUpdate:
		if st.Want.Resource == nil || st.Want.ID() != st.Target {
			return fmt.Errorf("step %s wants nothing, or not its target", st)
		}
		m.own(st)
		m.things[st.Target] = seen(st.Want.Resource)
		if k, ok := st.Want.Resource.(bootstrap.HostKey); ok {
			m.things[st.Target] = remade(k, st.Was.Resource)
		}
	case bootstrap.ActionAdopt:
		m.own(st)
	case bootstrap.ActionKill: // a new process shows in Applied alone
		if u, ok := m.things[st.Target].(bootstrap.Unit); !ok || !u.Running {
			return fmt.Errorf("step %s is about a unit that does not run", st)
		}
	case bootstrap.ActionRestart, bootstrap.ActionStop:
		u, ok := m.things[st.Target].(bootstrap.Unit)
		if !ok {
			return fmt.Errorf("step %s is about a unit that is not there", st)
		}
		want, _ := st.Want.Resource.(bootstrap.Unit)
		if u.Running, u.Rev = st.Action == bootstrap.ActionRestart, ""; u.Running {
			u.Rev = want.Rev
		}
		m.things[st.Target] = u
	case bootstrap.ActionFetch:
	case bootstrap.ActionUpgrade:
		m.things[st.Target] = seen(st.Want.Resource)
	case bootstrap.ActionReboot:
	case bootstrap.ActionDelete, bootstrap.ActionRelease:
		e, _ := m.manifests[string(st.Owner)].Find(st.Target)
		if st.Action == bootstrap.ActionDelete {
			m.remove(st.Target, e)
		}
		m.disown(st)
	default:
		return fmt.Errorf("unknown action %q", st.Action)
	}
	return nil
}

// remove puts kernel settings back and leaves what was there before the owner came.
func (m *Machine) remove(id bootstrap.ID, e bootstrap.Entry) {
	switch before := e.Before.Resource; id.Kind() {
	case bootstrap.KindSysctl, bootstrap.KindKernel:
		if before != nil {
			m.things[id] = before
		}
	case bootstrap.KindHostKey:
	case bootstrap.KindPackage, bootstrap.KindUser, bootstrap.KindDir:
		if before == nil {
			delete(m.things, id)
		}
	default:
		delete(m.things, id)
	}
}

func (m *Machine) own(st bootstrap.Step) {
	if st.Owner == "" {
		return
	}
	man := m.manifests[string(st.Owner)]
	man.Format, man.Owner = bootstrap.ManifestFormat, st.Owner
	if st.Cluster != "" {
		man.Cluster = st.Cluster
	}
	e := bootstrap.Entry{ID: st.Target, Hash: bootstrap.Hash(st.Want.Resource), Before: st.Was}
	if d, ok := st.Want.Resource.(bootstrap.Dir); ok {
		e.Data, e.Contents = d.Data, d.Contents
	}
	entries := slices.Clone(man.Entries)
	if i := slices.IndexFunc(entries, func(x bootstrap.Entry) bool { return x.ID == st.Target }); i >= 0 {
		e.Before = entries[i].Before
		entries[i] = e
	} else {
		entries = append(entries, e)
	}
	man.Entries = entries
	m.manifests[string(st.Owner)] = man
}

func (m *Machine) disown(st bootstrap.Step) {
	man, ok := m.manifests[string(st.Owner)]
	if !ok {
		return
	}
	man.Entries = slices.DeleteFunc(slices.Clone(man.Entries), func(e bootstrap.Entry) bool { return e.ID == st.Target })
	m.manifests[string(st.Owner)] = man
	if len(man.Entries) == 0 {
		delete(m.manifests, string(st.Owner))
	}
}

// seen is how a wanted resource looks once it is there.
func seen(r bootstrap.Resource) bootstrap.Resource {
	switch v := r.(type) {
	case bootstrap.File:
		return bootstrap.File{Path: v.Path, Content: v.Content, Sum: v.ContentSum(), Mode: v.Mode, Owner: v.Owner, Group: v.Group}
	case bootstrap.Dir:
		return bootstrap.Dir{Path: v.Path, Mode: v.Mode, Owner: v.Owner, Group: v.Group}
	case bootstrap.Unit:
		v.RestartOn, v.Turn = nil, false
		if !v.Running {
			v.Rev = ""
		}
		return v
	case bootstrap.Sysctl:
		v.Setting.Value = v.Setting.Target(v.Setting.Value)
		v.Setting.Why, v.Setting.Source, v.Setting.Rule, v.Setting.Level, v.Setting.Namespaced = "", "", 0, 0, false
		return v
	}
	return r
}

// remade is the host key that is there after a step that wants k: what was there where that
// had only to be announced, or else the public half of a new pair, in the wire format of
// RFC 8709 section 4.
func remade(k bootstrap.HostKey, was bootstrap.Resource) bootstrap.HostKey {
	if old, ok := was.(bootstrap.HostKey); ok && !slices.Contains(k.Replaces, old.Public) {
		return bootstrap.HostKey{Path: k.Path, Public: old.Public}
	}
	var blob []byte
	key := make([]byte, ed25519.PublicKeySize)
	_, _ = rand.Read(key) // never fails: https://pkg.go.dev/crypto/rand#Read
	for _, field := range [][]byte{[]byte("ssh-ed25519"), key} {
		blob = append(binary.BigEndian.AppendUint32(blob, uint32(len(field))), field...)
	}
	return bootstrap.HostKey{Path: k.Path, Public: "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob)}
}

func (c *conn) Probe(_ context.Context, q verify.Query) (verify.Result, error) {
	if c.m.Probes == nil {
		return verify.Result{}, errors.New("this test machine was not told what a probe finds")
	}
	return c.m.Probes(q)
}

func (c *conn) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.m.Dial == nil {
		return nil, fmt.Errorf("this test machine was not told how to dial %s", addr)
	}
	return c.m.Dial(ctx, network, addr)
}

func (c *conn) Lock(_ context.Context, who string) error {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lockedBy != nil && m.lockedBy != c {
		return fmt.Errorf("%w: held by %s", bootstrap.ErrLocked, m.who)
	}
	m.lockedBy, m.who = c, who
	return nil
}

func (c *conn) Reveal(_ context.Context, path string) (string, error) {
	s, ok := c.m.Secret[path]
	if !ok {
		return "", fmt.Errorf("this test machine has no secret %s", path)
	}
	return s, nil
}

func (c *conn) ListData(_ context.Context, dir string) ([]bootstrap.DataFile, error) {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.closed || m.cutAfter == 0 {
		return nil, ErrCut
	}
	var files []bootstrap.DataFile
	for _, p := range slices.Sorted(maps.Keys(m.Data)) {
		if path.Dir(p) != dir {
			continue
		}
		size := int64(len(m.Data[p]))
		files = append(files, bootstrap.DataFile{Name: path.Base(p), Size: size, Used: size})
	}
	if files == nil {
		return nil, fmt.Errorf("%w: this test machine has no data in %s", bootstrap.ErrRefused, dir)
	}
	return files, nil
}

func (c *conn) ReadData(_ context.Context, p string, size int64) (io.ReadCloser, error) {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.closed || m.cutAfter == 0 {
		return nil, ErrCut
	}
	content, ok := m.Data[p]
	if !ok || size < 0 || size > int64(len(content)) {
		return nil, fmt.Errorf("this test machine has no %d bytes of %s: %w", size, p, fs.ErrNotExist)
	}
	r := io.NopCloser(bytes.NewReader(content[:size]))
	if m.Reading != nil {
		return m.Reading(p, r), nil
	}
	return r, nil
}

func (c *conn) Close() error {
	m := c.m
	m.mu.Lock()
	defer m.mu.Unlock()
	c.closed = true
	if m.lockedBy == c {
		m.lockedBy = nil
	}
	return nil
}
