package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/bootstrap/zookeeper/txnlog"
)

// attempts bounds how often a backup is begun again because its member restarted or its
// files changed.
const attempts = 4

// logHeader is the size of a log without transactions, in bytes.
const logHeader = 16

// lookEvery is how often a member that is coming back is looked at.
const lookEvery = 500 * time.Millisecond

// Options say which backup is wanted.
type Options struct {
	Member  string // the host to take it of; "": the best one
	Offline bool   // take what lies on Member although there is no quorum
	// Patience bounds the wait for a member that was restarted to serve again; 0 means 30 s.
	Patience time.Duration
	Now      func() time.Time
	Note     func(string) // hears what is being done; may be nil
}

// errSnapshot: a snapshot is not valid. It may be in the making, or have been torn by a
// power cut, since the server does not sync it.
var errSnapshot = errors.New("invalid snapshot")

// errAgain: what was copied may not fit together, and the next try may well do.
var errAgain = errors.New("the member changed meanwhile")

// Take writes a backup of the ensemble of a spec to w, which it begins again from its start
// when a member restarts or breaks in the middle of it; then another member has its turn,
// where there is one. On an error what was written is worthless.
func Take(ctx context.Context, s *bootstrap.Spec, now bootstrap.Site, h bootstrap.Hosts, w Rewinder, o Options) (Manifest, error) {
	sources, err := zookeeper.BackupSources(s, now, o.Member, o.Offline)
	if err != nil {
		return Manifest{}, err
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Patience = cmp.Or(o.Patience, 30*time.Second)
	bad := map[string]map[txnlog.Name]bool{} // snapshots by host
	var failed []error
	for try := range attempts {
		src := sources[try%len(sources)]
		host, ok := h[src.Host]
		if !ok {
			failed = append(failed, fmt.Errorf("%s: %w", src.Host, bootstrap.ErrUnreachable))
			continue
		}
		if bad[src.Host] == nil {
			bad[src.Host] = map[txnlog.Name]bool{}
		}
		if err := w.Rewind(); err != nil {
			return Manifest{}, fmt.Errorf("beginning the archive again: %w", err)
		}
		t := taking{spec: s, src: src, host: host, o: o, bad: bad[src.Host]}
		m, err := t.whole(ctx, w)
		if err == nil {
			return m, nil
		}
		if ctx.Err() != nil {
			return Manifest{}, context.Cause(ctx)
		}
		var local *writeError
		if errors.As(err, &local) {
			return Manifest{}, err // no other member heals a full disk here
		}
		o.Note(fmt.Sprintf("%s: %v", src.Host, err))
		failed = append(failed, fmt.Errorf("%s: %w", src.Host, err))
	}
	return Manifest{}, fmt.Errorf("no backup after %d tries; the last: %w", attempts, failed[len(failed)-1])
}

// Rewinder is what a backup is written to. Rewind makes it empty again.
type Rewinder interface {
	io.Writer
	Rewind() error
}

// taking is one try with one member.
type taking struct {
	spec *bootstrap.Spec
	src  zookeeper.BackupSource
	host bootstrap.Host
	o    Options
	bad  map[txnlog.Name]bool

	m     Manifest
	chain chain
}

// whole tries until there is a valid snapshot among those of the member.
func (t *taking) whole(ctx context.Context, w Rewinder) (Manifest, error) {
	for {
		err := t.once(ctx, w)
		if !errors.Is(err, errSnapshot) {
			return t.m, err
		}
		t.o.Note(fmt.Sprintf("%s: %v; taking the one before", t.src.Host, err))
		if err := w.Rewind(); err != nil {
			return Manifest{}, fmt.Errorf("beginning the archive again: %w", err)
		}
	}
}

func (t *taking) once(ctx context.Context, w io.Writer) error {
	before, err := t.standing(ctx)
	if err != nil {
		return err
	}
	t.chain = chain{}
	t.m = Manifest{Format: Format, Name: t.spec.Name, Taken: t.o.Now().UTC().Truncate(time.Second), Member: t.src.Host,
		Mode: before.Mode, Version: before.Version, Offline: t.o.Offline}
	a, err := newArchive(w)
	if err != nil {
		return err
	}
	err = t.fill(ctx, a, before)
	if err == nil {
		err = a.manifest(t.m)
	}
	if cerr := a.close(); err == nil {
		err = cerr
	}
	return err
}

// standing looks at the member until it is as it was when it was chosen: one that has just
// been restarted takes its time to join again.
func (t *taking) standing(ctx context.Context) (zookeeper.BackupSource, error) {
	bounded, cancel := context.WithTimeout(ctx, t.o.Patience)
	defer cancel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		src, err := zookeeper.LookAtSource(ctx, t.spec, t.host, t.src.Host)
		if err != nil || src.Serving == t.src.Serving {
			return src, err
		}
		select {
		case <-ticker.C:
		case <-bounded.Done():
			return src, fmt.Errorf("%w: it served %t when it was chosen and serves %t now", errAgain, t.src.Serving, src.Serving)
		}
	}
}

func (t *taking) fill(ctx context.Context, a *archive, before zookeeper.BackupSource) error {
	if err := t.configuration(a, before); err != nil {
		return err
	}
	if err := t.snapshot(ctx, a); err != nil {
		return err
	}
	if err := t.logs(ctx, a); err != nil {
		return err
	}
	t.m.Zxid, t.m.Digest, t.m.DigestVersion = Hex(t.chain.last), Hex(t.chain.digest.Tree), t.chain.digest.Version
	t.m.Files = a.files
	after, err := zookeeper.LookAtSource(ctx, t.spec, t.host, t.src.Host)
	if err != nil {
		return err
	}
	if after.Restarted(before) {
		return fmt.Errorf("%w: the server was restarted, or another leader was elected", errAgain)
	}
	// A leader counts its election as transaction 0 of its epoch.
	atEnd := after.Zxid == t.chain.last || after.Zxid&0xffffffff == 0 && after.Zxid>>32 > t.chain.last>>32
	if after.Serving && atEnd {
		t.m.Znodes, t.m.Ephemerals = after.Znodes, after.Ephemerals
	}
	return nil
}

// configuration writes what the member lives by. None of it is put back by a restore, which
// goes by the spec; it is there to be read.
func (t *taking) configuration(a *archive, src zookeeper.BackupSource) error {
	spec, err := json.MarshalIndent(t.spec, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the spec: %w", err)
	}
	var cfg strings.Builder
	cfg.WriteString("# without its secrets, which never leave the host\n")
	for _, k := range slices.Sorted(maps.Keys(src.Server.Properties)) {
		fmt.Fprintf(&cfg, "%s=%s\n", k, src.Server.Properties[k])
	}
	for _, f := range []struct{ name, content string }{
		{"spec.json", string(spec) + "\n"}, {"zoo.cfg", cfg.String()},
		{"zoo.cfg.dynamic", src.Server.Dynamic}, {"myid", src.Server.MyID + "\n"},
	} {
		if err := a.text(f.name, f.content); err != nil {
			return err
		}
	}
	return nil
}

// list returns the files of one kind in a directory of the member, by name.
func (t *taking) list(ctx context.Context, dir string, kind txnlog.Kind) (map[txnlog.Name]bootstrap.DataFile, error) {
	files, err := t.host.ListData(ctx, dir)
	if err != nil {
		return nil, err
	}
	out := map[txnlog.Name]bootstrap.DataFile{}
	for _, f := range files {
		if n, ok := txnlog.ParseName(f.Name); ok && n.Kind == kind {
			out[n] = f
		}
	}
	return out, nil
}

// snapshot copies the latest snapshot that is not known to be invalid.
func (t *taking) snapshot(ctx context.Context, a *archive) error {
	files, err := t.list(ctx, t.src.Snapshots, txnlog.Snapshot)
	if err != nil {
		return err
	}
	latest, found := txnlog.Name{}, false
	for n := range files {
		if !t.bad[n] && (!found || n.Zxid > latest.Zxid) {
			latest, found = n, true
		}
	}
	if !found {
		return fmt.Errorf("no valid snapshot among %d in %s", len(files), t.src.Snapshots)
	}
	f := files[latest]
	r, err := t.host.ReadData(ctx, t.src.Snapshots+"/"+f.Name, f.Size)
	if err != nil {
		return err
	}
	defer r.Close()
	var tree txnlog.Tree
	err = a.file(dataDir+f.Name, f.Size, func(w io.Writer) error {
		tee := io.TeeReader(r, w)
		if tree, err = txnlog.ReadSnapshot(latest, tee); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, tee)
		return err
	})
	if errors.Is(err, txnlog.ErrFormat) {
		t.bad[latest] = true
		return fmt.Errorf("%w %s: %w", errSnapshot, f.Name, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	t.m.SnapshotZnodes = tree.Znodes
	t.chain = chain{last: latest.Zxid, at: f.Name}
	if tree.DigestZxid == latest.Zxid {
		t.chain.digest = tree.Digest
	}
	return nil
}

// logs copies the transaction logs. They are listed only now, so that what was written while
// the snapshot was copied is in the backup too.
func (t *taking) logs(ctx context.Context, a *archive) error {
	files, err := t.list(ctx, t.src.Logs, txnlog.Log)
	if err != nil {
		return err
	}
	names := slices.Collect(maps.Keys(files))
	first := true
	for _, n := range txnlog.Behind(t.chain.last, names) {
		f := files[n]
		if f.Used <= logHeader { // one that a crash left behind; what it lost would show as a gap
			t.chain.torn = "nothing in a log behind it"
			continue
		}
		r, err := t.host.ReadData(ctx, t.src.Logs+"/"+f.Name, f.Used)
		if err != nil {
			return err
		}
		x, err := a.log(dataDir+f.Name, f.Used, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if err := t.chain.link(f.Name, x, first); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		first = false
	}
	return nil
}
