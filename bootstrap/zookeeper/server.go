package zookeeper

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// The modes of a server, as srvr prints them.
const (
	modeLeader   = "leader"
	modeFollower = "follower"
	modeObserver = "observer"
	modeDown     = "down" // ours, for a server that does not serve
)

// view is one member as it was seen, with the answers of its server taken apart. A server
// that did not answer has the mode "down".
type view struct {
	member
	z       bootstrap.ZooKeeper
	data    bootstrap.DataState
	running bool  // systemd has its process
	foreign bool  // still to be taken over from somebody else's unit
	err     error // the host did not answer

	mode    string
	version string
	zxid    uint64
	nodes   int // znodes
	zab     zabState
	digests map[uint64]int64 // of the data tree, by zxid
	method  int              // version of the way the digests are made
	config  []Server         // voting view
}

// zabState is the answer of the AdminServer's command of that name. Only its "voting"
// tells a voter from a joiner: srvr calls both a follower.
type zabState struct {
	answered bool
	Voting   bool   `json:"voting"`
	State    string `json:"zabstate"`
}

// seen returns the server as it was seen on a host.
func (m member) seen(have bootstrap.State) (bootstrap.ZooKeeper, bool) {
	if z, ok := have.Find(m.observed()).(bootstrap.ZooKeeper); ok {
		return z, true
	}
	return m.foreign(have) // to be taken over
}

// dataOn tells what lies in the member's data directories. Without a zoo.cfg nobody could
// look into them: then it counts whether they are there, and whether a run of ours that
// was cut short made them.
func (m member) dataOn(have bootstrap.State) bootstrap.DataState {
	if z, ok := m.seen(have); ok {
		return z.Data
	}
	manifest := have.Manifests[string(bootstrap.OwnerOf(m.spec.Name, roleName))]
	config, _ := manifest.Find(bootstrap.NewID(bootstrap.KindFile, m.zooCfg))
	there, foreign := false, config.Hash != ""
	for _, dir := range distinct(versionDir(m.data), versionDir(m.dataLog)) {
		id := bootstrap.NewID(bootstrap.KindDir, dir)
		if have.Find(id) == nil {
			continue
		}
		there = true
		made, ours := manifest.Find(id)
		foreign = foreign || !ours || made.Before.Resource != nil
	}
	if !there || !foreign {
		return bootstrap.DataEmpty
	}
	if _, marked := m.readMark(have); marked {
		return bootstrap.DataPresent
	}
	return bootstrap.DataUnknown
}

// look takes the answers of a member apart.
func (m member) look(seen bootstrap.Seen, reached bool) view {
	v := view{member: m, mode: modeDown}
	switch {
	case !reached:
		v.err = bootstrap.ErrUnreachable
		return v
	case seen.Err != nil:
		v.err = seen.Err
		return v
	}
	v.z, _ = m.seen(seen.State)
	v.data = m.dataOn(seen.State)
	unit, _ := seen.State.Find(bootstrap.NewID(bootstrap.KindUnit, m.unit)).(bootstrap.Unit)
	before, _ := m.foreignUnit(seen.State)
	v.running, v.foreign = unit.Running || before.Running, m.pending(seen.State)
	v.readSrvr()
	v.readAdmin()
	return v
}

// views looks at every member of the spec in a site.
func views(s *bootstrap.Spec, now bootstrap.Site) []view {
	var out []view
	for _, m := range members(s) {
		seen, ok := now.Hosts[m.host]
		out = append(out, m.look(seen, ok))
	}
	return out
}

// readSrvr reads the lines of the four letter word: version, zxid, mode and node count. A
// server without a quorum answers with one sentence instead.
func (v *view) readSrvr() {
	for line := range strings.Lines(v.z.Srvr) {
		k, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch k {
		case "Zookeeper version":
			v.version, _, _ = strings.Cut(value, ",")
			if n, err := ParseVersion(value); err == nil {
				v.version = n.String()
			}
		case "Zxid":
			v.zxid = parseZxid(value)
		case "Mode":
			v.mode = value
		case "Node count":
			v.nodes, _ = strconv.Atoi(value) // 0 compares like any other count
		}
	}
}

// parseZxid reads "0x1000000ca"; 0 stands for what cannot be read, which equals no zxid of
// a server that has seen a quorum.
func parseZxid(text string) uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(text), "0x"), 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// readAdmin reads the AdminServer's answers. Commands that a server refuses carry an error
// and are as good as no answer.
func (v *view) readAdmin() {
	var state struct {
		zabState
		Error *string `json:"error"`
	}
	if v.admin("zabstate", &state) && state.Error == nil && state.State != "" {
		v.zab = state.zabState
		v.zab.answered = true
	}
	var hash struct {
		Digests []struct {
			Zxid   uint64 `json:"zxid"`
			Digest int64  `json:"digest"`
			Method int    `json:"digest_version"`
		} `json:"digests"`
	}
	if v.admin("hash", &hash) {
		v.digests = map[uint64]int64{}
		for _, d := range hash.Digests {
			v.digests[d.Zxid], v.method = d.Digest, d.Method
		}
	}
	var voting struct {
		Servers map[string]struct {
			Quorum   []string `json:"server_addresses"`
			Election []string `json:"election_addresses"`
			Client   string   `json:"client_address"`
			Type     string   `json:"learner_type"`
		} `json:"current_config"`
	}
	if !v.admin("voting_view", &voting) {
		return
	}
	var d Dynamic
	for id, srv := range voting.Servers {
		line := fmt.Sprintf("%s:%s", strings.Join(srv.Quorum, "|"), strings.Join(ports(srv.Election), "|"))
		parsed, err := parseServer(id, fmt.Sprintf("%s:%s;%s", line, srv.Type, srv.Client))
		if err == nil {
			d.Servers = append(d.Servers, parsed)
		}
	}
	d.sort()
	v.config = d.Servers
}

// ports cuts the hosts off "host:port" texts.
func ports(addrs []string) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a[strings.LastIndexByte(a, ':')+1:])
	}
	return out
}

// admin decodes one answer of the AdminServer; false where there is none or another form.
func (v *view) admin(command string, into any) bool {
	raw, ok := v.z.Admin[command]
	return ok && json.Unmarshal(raw, into) == nil
}

// serving reports whether the server takes part in a quorum.
func (v view) serving() bool { return v.err == nil && v.mode != modeDown }

// votes reports whether the server votes and follows the leader's broadcast. Where the
// AdminServer is silent, the mode has to do.
func (v view) votes() bool {
	if !v.serving() || !v.voter {
		return false
	}
	return !v.zab.answered || v.zab.Voting && strings.EqualFold(v.zab.State, "broadcast")
}

// mntr returns a figure of the server, false where it has none.
func (v view) mntr(key string) (float64, bool) {
	n, err := strconv.ParseFloat(v.z.Mntr[key], 64)
	return n, err == nil
}

// epoch and counter are the halves of a zxid.
func epoch(zxid uint64) uint64   { return zxid >> 32 }
func counter(zxid uint64) uint64 { return zxid & 0xffffffff }

// leaders returns the members that lead; more than one is the worst there is.
func leaders(vs []view) []view {
	var out []view
	for _, v := range vs {
		if v.serving() && v.mode == modeLeader {
			out = append(out, v)
		}
	}
	return out
}

// quorate reports whether a leader and enough voters serve.
func quorate(vs []view) bool {
	serving := 0
	for _, v := range vs {
		if v.votes() {
			serving++
		}
	}
	_, quorum := voters(membersOf(vs))
	return len(leaders(vs)) == 1 && serving >= quorum
}

func membersOf(vs []view) []member {
	var out []member
	for _, v := range vs {
		out = append(out, v.member)
	}
	return out
}
