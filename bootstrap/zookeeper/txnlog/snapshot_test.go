package txnlog_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap/zookeeper/txnlog"
)

func plain() txnlog.Name { return txnlog.Name{Kind: txnlog.Snapshot, Zxid: 9} }

func someNodes() []znode {
	return []znode{{path: "/zookeeper"}, {path: "/e", owner: 7}, {path: "/c", owner: 1 << 63}, {path: "/t", owner: 0xff00000000001000}}
}

func TestReadSnapshot(t *testing.T) {
	digest := txnlog.Digest{Version: 2, Tree: ^uint64(98)}
	for name, c := range map[string]struct {
		trailer
		want txnlog.Tree
	}{
		"3.5":                           {trailer{}, txnlog.Tree{Sessions: 1, Znodes: 6, Ephemerals: 1}},
		"3.6":                           {trailer{digest: true}, txnlog.Tree{Sessions: 1, Znodes: 6, Ephemerals: 1, Digest: digest, DigestZxid: 9}},
		"3.9":                           {trailer{true, true}, txnlog.Tree{Sessions: 1, Znodes: 6, Ephemerals: 1, Digest: digest, DigestZxid: 9, LastZxid: 10}},
		"3.9 with digest.enabled=false": {trailer{last: true}, txnlog.Tree{Sessions: 1, Znodes: 6, Ephemerals: 1, LastZxid: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			f := snapshotOf(c.trailer, someNodes()...)
			got, err := txnlog.ReadSnapshot(plain(), bytes.NewReader(f.Bytes()))
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			if _, err := w.Write(f.Bytes()); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			packed := plain()
			packed.Suffix = "gz"
			if got, err := txnlog.ReadSnapshot(packed, &z); err != nil || got != c.want {
				t.Errorf("gzip: %+v, %v", got, err)
			}
		})
	}
}

// No bit of a snapshot may differ, and none of it may be missing, without a word.
func TestDamagedSnapshotsAreToldApart(t *testing.T) {
	whole := snapshotOf(trailer{true, true}, someNodes()...).Bytes()
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1
		if at >= 8 && at < 16 {
			continue // the database id, which servers neither read; the sum covers it below
		}
		if _, err := txnlog.ReadSnapshot(plain(), bytes.NewReader(b)); !errors.Is(err, txnlog.ErrFormat) {
			t.Errorf("bit 0 of byte %d flipped: %v, want a fault of the format", at, err)
		}
	}
	ends := []int{len(whole), len(whole) - 21, len(whole) - 21 - 33} // behind a seal: an older version's
	for n := range whole {
		_, err := txnlog.ReadSnapshot(plain(), bytes.NewReader(whole[:n]))
		if ok := slices.Contains(ends, n); ok != (err == nil) || !ok && !errors.Is(err, txnlog.ErrFormat) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := txnlog.ReadSnapshot(plain(), bytes.NewReader(append(bytes.Clone(whole), 0))); !errors.Is(err, txnlog.ErrFormat) {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestSnappyIsRefused(t *testing.T) {
	n, ok := txnlog.ParseName("snapshot.5.snappy")
	if !ok {
		t.Fatal("not a name")
	}
	_, err := txnlog.ReadSnapshot(n, strings.NewReader(""))
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "snapshot.5.snappy") {
		t.Errorf("got %v, want a refusal with the name", err)
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string]bool{
		"log.100000001": true, "snapshot.0": true, "snapshot.ff.gz": true, "snapshot.ff.snappy": true,
		"log.ff.gz": false, "snapshot.0ff": false, "snapshot.FF": false, "snapshot.": false, "snapshot": false, "currentEpoch": false,
		"log.10000000000000000": false, "snapshot.ff.tmp": false, "logs.1": false, "snapshot.-1": false, "snapshot.+1": false,
	} {
		n, ok := txnlog.ParseName(text)
		if ok != want || ok && n.String() != text {
			t.Errorf("%q: %+v, %t; want %t", text, n, ok, want)
		}
	}
}

func TestBehind(t *testing.T) {
	logs := func(zxids ...uint64) (out []txnlog.Name) {
		for _, z := range zxids {
			out = append(out, txnlog.Name{Kind: txnlog.Log, Zxid: z})
		}
		return out
	}
	for name, c := range map[string]struct {
		zxid       uint64
		have, want []txnlog.Name
	}{
		"the one before and all later": {50, logs(90, 1, 40, 60), logs(40, 60, 90)},
		"one that begins with it":      {40, logs(1, 40, 60), logs(40, 60)},
		"all are later":                {0, logs(60, 5), logs(5, 60)},
		"none":                         {7, nil, nil},
	} {
		if diff := cmp.Diff(c.want, txnlog.Behind(c.zxid, c.have)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// Whatever is read without a fault has every seal right: a changed byte is never read as the
// same tree.
func FuzzReadSnapshot(f *testing.F) {
	for _, t := range []trailer{{}, {digest: true}, {true, true}} {
		f.Add(snapshotOf(t, someNodes()...).Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := txnlog.ReadSnapshot(plain(), bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, txnlog.ErrFormat) {
				t.Errorf("%v does not wrap ErrFormat", err)
			}
			return
		}
		if tree.Znodes < 1 || tree.Ephemerals > tree.Znodes || !bytes.HasPrefix(b, []byte("ZKSN")) {
			t.Errorf("%+v of %d bytes", tree, len(b))
		}
	})
}
