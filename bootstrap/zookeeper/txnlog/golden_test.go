package txnlog_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap/zookeeper/txnlog"
)

// What real servers wrote (TestRealServers -update made the files): every kind of transaction
// that a client can make, and a snapshot of the tree behind the last of them. Both carry the
// server's digest of that tree.
func TestFilesOfRealServers(t *testing.T) {
	for version, last := range map[string]uint64{"3.8.0": 0, "3.9": 0xa} {
		t.Run(version, func(t *testing.T) {
			log := read(t, version+".log")
			x, err := txnlog.Scan(bytes.NewReader(log))
			if err != nil {
				t.Fatal(err)
			}
			want := txnlog.Extent{First: 1, Last: 10, Records: 10, Digest: x.Digest, Size: int64(len(log))}
			if diff := cmp.Diff(want, x); diff != "" || x.Digest.None() {
				t.Error(diff, x.Digest)
			}
			tree, err := txnlog.ReadSnapshot(txnlog.Name{Kind: txnlog.Snapshot, Zxid: 10}, bytes.NewReader(read(t, version+".snapshot")))
			wantTree := txnlog.Tree{Znodes: 7, Digest: x.Digest, DigestZxid: 10, LastZxid: last}
			if diff := cmp.Diff(wantTree, tree); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".base64"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(string(bytes.ReplaceAll(text, []byte("\n"), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
