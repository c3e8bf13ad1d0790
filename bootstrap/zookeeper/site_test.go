package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// scene is a site by hand: what each member shows. Its zero members are empty hosts.
type scene struct {
	spec    *bootstrap.Spec
	servers map[string]*actor
}

// actor is one member of a scene.
type actor struct {
	member
	data    bootstrap.DataState
	absent  bool // no zoo.cfg yet
	running bool
	away    bool // unreachable
	mode    string
	zxid    uint64
	nodes   int
	voting  bool
	state   string
	mntr    map[string]string
	digests map[uint64]int64
	things  []bootstrap.Resource
	owns    []bootstrap.ID // in its manifest
	facts   bootstrap.Facts
	cluster string
	list    *Dynamic // the live configuration; nil for the spec's
	steps   []bootstrap.Step
}

// emptyScene is a site on which nothing was ever done.
func emptyScene(s *bootstrap.Spec) *scene {
	sc := &scene{spec: s, servers: map[string]*actor{}}
	for _, m := range members(s) {
		sc.servers[m.host] = &actor{member: m, data: bootstrap.DataEmpty, absent: true, facts: debian12()}
	}
	return sc
}

// healthyScene is a formed ensemble whose last member leads.
func healthyScene(s *bootstrap.Spec) *scene {
	sc := emptyScene(s)
	ms := members(s)
	all, _ := voters(ms)
	for i, m := range ms {
		a := sc.servers[m.host]
		a.absent, a.running, a.data, a.cluster = false, true, bootstrap.DataPresent, "c0ffee"
		a.mode, a.voting, a.state, a.zxid, a.nodes = modeFollower, m.voter, "broadcast", 0x1000000ca, 205
		if !m.voter {
			a.mode = modeObserver
		}
		a.digests = map[uint64]int64{0x100000080: 288110546299}
		a.mntr = map[string]string{"zk_digest_mismatches_count": "0", "zk_unrecoverable_error_count": "0",
			"zk_open_file_descriptor_count": "60", "zk_max_file_descriptor_count": "65536",
			"zk_p99_sync_processor_queue_flush_time_ms": "4", "zk_cnt_sync_processor_queue_flush_time_ms": "900"}
		if i == len(ms)-1 {
			sc.lead(m.host, all-1, len(ms)-all)
		}
	}
	return sc
}

func (sc *scene) lead(host string, followers, observers int) {
	a := sc.servers[host]
	a.mode = modeLeader
	a.mntr["zk_synced_followers"], a.mntr["zk_synced_observers"] = fmt.Sprint(followers), fmt.Sprint(observers)
	a.mntr["zk_pending_syncs"] = "0"
}

// stop takes servers down; their data stays.
func (sc *scene) stop(hosts ...string) *scene {
	for _, h := range hosts {
		a := sc.servers[h]
		a.running, a.mode, a.state, a.mntr = false, "", "", nil
	}
	return sc
}

func (sc *scene) site() bootstrap.Site {
	now := bootstrap.Site{Hosts: map[string]bootstrap.Seen{}}
	for host, a := range sc.servers {
		facts, state, err := a.Look(context.Background())
		now.Hosts[host] = bootstrap.Seen{Facts: facts, State: state, Err: err}
	}
	return now
}

func (sc *scene) hosts() bootstrap.Hosts {
	h := bootstrap.Hosts{}
	for host, a := range sc.servers {
		if !a.away {
			h[host] = a
		}
	}
	return h
}

func (sc *scene) views() []view { return views(sc.spec, sc.site()) }

// server is what the agent would say of the actor's server.
func (a *actor) server() bootstrap.ZooKeeper {
	z := bootstrap.ZooKeeper{Config: a.zooCfg, Data: a.data, MyID: fmt.Sprint(a.id), Mntr: a.mntr,
		Properties: map[string]string{"dynamicConfigFile": a.dynamic}}
	if a.data == bootstrap.DataPresent {
		z.Dynamic = a.live().String()
		z.Properties["dynamicConfigFile"] = a.dynamic + ".100000000"
	}
	if a.mode == "" {
		z.Err = "srvr: connection refused"
		return z
	}
	z.Srvr = fmt.Sprintf("Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC\nLatency min/avg/max: 0/0.0/0\nReceived: 1\nSent: 0\nConnections: 1\nOutstanding: 0\nZxid: 0x%x\nMode: %s\nNode count: %d\n", a.zxid, a.mode, a.nodes)
	if a.state == "" {
		return z
	}
	digests := []string{}
	for zxid, d := range a.digests {
		digests = append(digests, fmt.Sprintf(`{"zxid":%d,"digest":%d,"digest_version":2}`, zxid, d))
	}
	z.Admin = map[string]json.RawMessage{
		"zabstate":    json.RawMessage(fmt.Sprintf(`{"myid":%d,"voting":%t,"zabstate":%q,"command":"zabstate","error":null}`, a.id, a.voting, a.state)),
		"hash":        json.RawMessage(`{"digests":[` + strings.Join(digests, ",") + `],"command":"hash","error":null}`),
		"voting_view": json.RawMessage(`{"current_config":{` + strings.Join(votingView(a.live()), ",") + `},"command":"voting_view","error":null}`),
	}
	return z
}

// live is what the actor's server lives by.
func (a *actor) live() Dynamic {
	if a.list != nil {
		return *a.list
	}
	return Founding(a.spec)
}

// settled makes the ensemble keep its members whatever becomes of the spec.
func (sc *scene) settled() *scene {
	d := Founding(sc.spec)
	for _, a := range sc.servers {
		a.list = &d
	}
	return sc
}

func votingView(d Dynamic) []string {
	var out []string
	for _, s := range d.Servers {
		if s.Role == Participant {
			addr := s.Addresses[0].Host
			out = append(out, fmt.Sprintf(`"%d":{"server_addresses":["%s:2888"],"election_addresses":["%s:3888"],"client_address":"%s:2181","learner_type":"participant"}`,
				s.ID, addr, addr, addr))
		}
	}
	return out
}

// Look implements bootstrap.Host.
func (a *actor) Look(context.Context, ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	if a.away {
		return bootstrap.Facts{}, bootstrap.State{}, fmt.Errorf("%w: no route to host", bootstrap.ErrUnreachable)
	}
	things := append([]bootstrap.Resource{}, a.things...)
	state := bootstrap.State{}
	if !a.absent {
		things = append(things, a.server(), bootstrap.Unit{Name: a.unit, Enabled: true, Running: a.running})
	}
	if a.cluster != "" {
		things = append(things, bootstrap.File{Path: a.marker,
			Content: mark{Format: 1, Name: a.spec.Name, Cluster: a.cluster, Server: a.id}.String() + "\n"})
		m := bootstrap.Manifest{Format: 1, Cluster: a.cluster}
		for _, id := range a.owns {
			m.Entries = append(m.Entries, bootstrap.Entry{ID: id, Hash: "1"})
		}
		state.Manifests = map[string]bootstrap.Manifest{a.spec.Name + ".zookeeper": m}
	}
	manifests := maps.Clone(state.Manifests)
	state = bootstrap.NewState(things...)
	state.Manifests = manifests
	return a.facts, state, nil
}

func (a *actor) Change(_ context.Context, steps ...bootstrap.Step) error {
	for _, st := range steps {
		a.steps = append(a.steps, st)
		if st.Owner != "" {
			return fmt.Errorf("formation sent a step with an owner: %s", st)
		}
		if r := st.Want.Resource; r != nil {
			a.things = append(a.things, r)
		}
	}
	return nil
}

func (a *actor) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("this actor takes no connections")
}

func (a *actor) Probe(context.Context, verify.Query) (verify.Result, error) {
	return verify.Result{}, errors.New("this actor has no probes")
}
func (a *actor) Lock(context.Context, string) error { return errors.New("a role takes no locks") }
func (a *actor) Reveal(context.Context, string) (string, error) {
	return "", errors.New("this actor has no secrets")
}
func (a *actor) ListData(context.Context, string) ([]bootstrap.DataFile, error) {
	return nil, errors.New("this actor has no files")
}
func (a *actor) ReadData(context.Context, string, int64) (io.ReadCloser, error) {
	return nil, errors.New("this actor has no files")
}
func (a *actor) Close() error { return nil }

// refused checks that err is a refusal whose text holds every part.
func refused(t *testing.T, err error, parts ...string) {
	t.Helper()
	if !errors.Is(err, bootstrap.ErrRefused) {
		t.Fatalf("got %v, want a refusal", err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q does not say %q", err, p)
		}
	}
}
