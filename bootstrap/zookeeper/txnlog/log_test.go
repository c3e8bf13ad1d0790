package txnlog_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap/zookeeper/txnlog"
)

func TestScan(t *testing.T) {
	digest := func(z uint64) txnlog.Digest { return txnlog.Digest{Version: 2, Tree: -z} }
	whole := logOf(0x100000001, 0x100000002)
	size := int64(whole.Len())
	cut := func(n int) []byte { return whole.Bytes()[:n] }
	damage := func(at int) []byte {
		b := bytes.Clone(whole.Bytes())
		b[at] ^= 0x40
		return b
	}
	both := txnlog.Extent{First: 0x100000001, Last: 0x100000002, Records: 2, Digest: digest(0x100000002), Size: size}
	one := txnlog.Extent{First: 0x100000001, Last: 0x100000001, Records: 1, Digest: digest(0x100000001), Size: 16 + (size-16)/2}
	torn := func(x txnlog.Extent, why string) txnlog.Extent { x.Torn, x.Why = true, why; return x }
	for name, c := range map[string]struct {
		in   []byte
		want txnlog.Extent
		err  string // "": none
	}{
		"whole":                    {in: whole.Bytes(), want: both},
		"padded":                   {in: append(bytes.Clone(whole.Bytes()), make([]byte, 100_000)...), want: both},
		"padded with less than 12": {in: append(bytes.Clone(whole.Bytes()), make([]byte, 5)...), want: torn(both, "the file ends inside of a record's head")},
		"a header alone":           {in: cut(16), want: txnlog.Extent{Size: 16}},
		"torn in the body":         {in: cut(whole.Len() - 9), want: torn(one, "the file ends inside of a record")},
		"torn in the head":         {in: cut(int(one.Size) + 3), want: torn(one, "the file ends inside of a record's head")},
		"torn, then padded":        {in: append(bytes.Clone(cut(whole.Len()-9)), make([]byte, 1000)...), want: torn(one, "a record that ends with 0x0")},
		"something behind the padding": {in: append(append(bytes.Clone(whole.Bytes()), make([]byte, 1000)...), 1),
			want: torn(both, "bytes behind the padding")},
		"another checksum": {in: damage(whole.Len() - 3), want: torn(one, "")},
		"a mad length":     {in: damage(int(one.Size) + 8), want: torn(one, "a record of 1073741914 bytes")},
		"empty":            {in: nil, err: "ends inside of its header"},
		"zeros":            {in: make([]byte, 4096), err: "begins with"},
		"a snapshot":       {in: snapshotOf(trailer{}).Bytes(), err: `begins with "ZKSN"`},
		"another version":  {in: damage(7), err: "version 66"},
		"out of order":     {in: logOf(0x100000002, 0x100000001).Bytes(), err: "zxid 0x100000001 follows 0x100000002 at byte"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			got, err := txnlog.Cut(&out, iotest.OneByteReader(bytes.NewReader(c.in)))
			if c.err != "" {
				if !errors.Is(err, txnlog.ErrFormat) || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want a fault of the format with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Torn && c.want.Why == "" {
				c.want.Why = got.Why // a sum that nobody wants to compute here
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if !bytes.Equal(out.Bytes(), c.in[:got.Size]) {
				t.Errorf("%d bytes copied, want the first %d as they are", out.Len(), got.Size)
			}
		})
	}
}

// Every kind of transaction may stand at the end of a log, with a digest behind it or, from a
// server before 3.6 or one with digest.enabled=false, without.
func TestDigestBehindEveryKind(t *testing.T) {
	acl := func(f *file) { f.acl() }
	for name, c := range map[string]struct {
		kind int32
		body func(*file)
	}{
		"create":                       {1, create("/x")},
		"create2":                      {15, create("/x")},
		"createContainer":              {19, func(f *file) { f.str("/c"); f.int(-1); acl(f); f.int(3) }},
		"createTTL":                    {21, func(f *file) { f.str("/t"); f.str(""); acl(f); f.int(3); f.long(60_000) }},
		"delete":                       {2, func(f *file) { f.str("/x") }},
		"deleteContainer":              {20, func(f *file) { f.str("/c") }},
		"setData":                      {5, func(f *file) { f.str("/x"); f.str("new"); f.int(4) }},
		"reconfig":                     {16, func(f *file) { f.str("/zookeeper/config"); f.str("server.1=..."); f.int(-1) }},
		"setACL":                       {7, func(f *file) { f.str("/x"); acl(f); f.int(1) }},
		"check":                        {13, func(f *file) { f.str("/x"); f.int(1) }},
		"multi":                        {14, func(f *file) { f.int(2); f.int(1); f.str("body"); f.int(2); f.str("other") }},
		"createSession":                {-10, func(f *file) { f.int(30_000) }},
		"error":                        {-1, func(f *file) { f.int(-110) }},
		"closeSession":                 {-11, nil},
		"closeSession with no paths":   {-11, func(f *file) { f.int(0) }},
		"closeSession with paths":      {-11, func(f *file) { f.int(2); f.str("/e1"); f.str("/e2") }},
		"closeSession with null paths": {-11, func(f *file) { f.int(-1) }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, digest := range []int64{0, 1, -1, 1 << 62} {
				var with, without file
				with.header("ZKLG")
				with.record(txn(5, c.kind, c.body, digest))
				without.header("ZKLG")
				without.record(txn(5, c.kind, c.body))
				x, err := txnlog.Scan(&with)
				if want := (txnlog.Digest{Version: 2, Tree: uint64(digest)}); err != nil || x.Digest != want {
					t.Errorf("digest %+v, %v; want %+v", x.Digest, err, want)
				}
				if x, err := txnlog.Scan(&without); err != nil || !x.Digest.None() {
					t.Errorf("digest %+v, %v; want none", x.Digest, err)
				}
			}
		})
	}
	t.Run("a kind that is not known", func(t *testing.T) {
		var f file
		f.header("ZKLG")
		f.record(txn(5, 99, create("/x"), 7))
		if x, err := txnlog.Scan(&f); err != nil || x.Last != 5 || !x.Digest.None() {
			t.Errorf("%+v, %v; want the zxid and no digest", x, err)
		}
	})
}

func TestErrorsOfReadingAreNoFaultsOfTheFile(t *testing.T) {
	broken := errors.New("broken")
	_, err := txnlog.Scan(io.MultiReader(bytes.NewReader(logOf(1).Bytes()), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || errors.Is(err, txnlog.ErrFormat) {
		t.Errorf("log: %v", err)
	}
	_, err = txnlog.ReadSnapshot(txnlog.Name{Kind: txnlog.Snapshot}, io.MultiReader(bytes.NewReader(snapshotOf(trailer{}).Bytes()[:50]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || errors.Is(err, txnlog.ErrFormat) {
		t.Errorf("snapshot: %v", err)
	}
}

// What Cut copies is a log that Cut copies whole, whatever it was made of.
func FuzzCut(f *testing.F) {
	whole := logOf(1, 2, 3).Bytes()
	f.Add(whole)
	f.Add(whole[:len(whole)-7])
	f.Add(append(bytes.Clone(whole), make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var once, twice bytes.Buffer
		x, err := txnlog.Cut(&once, bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := txnlog.Cut(&twice, bytes.NewReader(once.Bytes()))
		x.Torn, x.Why = false, ""
		if err != nil || again != x || !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Errorf("cut once: %+v, cut again: %+v, %v", x, again, err)
		}
		if !bytes.HasPrefix(b, once.Bytes()) || int64(once.Len()) != x.Size {
			t.Errorf("%d bytes copied of %d, Size is %d", once.Len(), len(b), x.Size)
		}
	})
}
