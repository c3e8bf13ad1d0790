package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/zkboot/zkboot/bootstrap/backup"
)

// entry is one entry of an archive that is made by hand.
type entry struct {
	name    string
	content []byte
	kind    byte // 0: a file
}

// unpacked are the entries of a good archive, in their order.
func unpacked(t testing.TB) []entry {
	m, b, _, err := newSite(t).take(t, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(b)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var out []entry
	for r := tar.NewReader(z); len(out) <= len(m.Files); {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		var c bytes.Buffer
		if _, err := c.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		out = append(out, entry{name: h.Name, content: c.Bytes()})
	}
	return out
}

func pack(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(e.content)), Mode: 0o600}
		if e.kind != 0 {
			h.Typeflag, h.Linkname, h.Size = e.kind, "/etc/shadow", 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if e.kind == 0 {
			if _, err := w.Write(e.content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Each kind of damage is refused, and the file that is damaged is named.
func TestDamage(t *testing.T) {
	at := func(es []entry, name string) *entry {
		i := slices.IndexFunc(es, func(e entry) bool { return e.name == name })
		return &es[i]
	}
	without := func(es []entry, name string) []entry {
		return slices.DeleteFunc(es, func(e entry) bool { return e.name == name })
	}
	manifest := func(edit func(*backup.Manifest)) func([]entry) []entry {
		return func(es []entry) []entry {
			e := at(es, "backup.json")
			var m backup.Manifest
			if err := json.Unmarshal(e.content, &m); err != nil {
				t.Fatal(err)
			}
			edit(&m)
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			e.content = b
			return es
		}
	}
	const snapshot, first, last = "version-2/snapshot.a", "version-2/log.1", "version-2/log.100000001"
	for name, c := range map[string]struct {
		change func([]entry) []entry
		file   string
		says   string
	}{
		"a bit of the snapshot":       {func(es []entry) []entry { at(es, snapshot).content[60] ^= 1; return es }, snapshot, "not as ZooKeeper writes it"},
		"a bit of a log":              {func(es []entry) []entry { at(es, first).content[40] ^= 1; return es }, first, "byte 16: a record with checksum"},
		"a bit behind a log":          {func(es []entry) []entry { e := at(es, last); e.content[len(e.content)-1] = 1; return es }, last, "bytes behind the padding"},
		"a bit of a text":             {func(es []entry) []entry { at(es, "zoo.cfg").content[3] ^= 1; return es }, "zoo.cfg", "its sha256 is"},
		"a log that was made shorter": {func(es []entry) []entry { e := at(es, last); e.content = e.content[:len(logOf(1))]; return es }, last, "the manifest says"},
		"a log is missing":            {func(es []entry) []entry { return without(es, first) }, first, "it is missing"},
		"the last log is missing":     {func(es []entry) []entry { return without(es, last) }, last, "it is missing"},
		"the snapshot is missing":     {func(es []entry) []entry { return without(es, snapshot) }, first, "a log before the snapshot"},
		"the manifest is missing":     {func(es []entry) []entry { return without(es, "backup.json") }, "backup.json", "not written to its end"},
		"a file too many":             {func(es []entry) []entry { return slices.Insert(es, 4, entry{name: "extra"}) }, "extra", "the manifest has version-2/snapshot.a in its place"},
		"a strange name":              {func(es []entry) []entry { return slices.Insert(es, 4, entry{name: "version-2/../../etc/passwd"}) }, "version-2/../../etc/passwd", "neither a snapshot nor a log"},
		"a link": {func(es []entry) []entry {
			return slices.Insert(es, 4, entry{name: "version-2/log.5", kind: tar.TypeSymlink})
		}, "version-2/log.5", "no regular file"},
		"something behind the manifest": {func(es []entry) []entry { return append(es, entry{name: "more"}) }, "more", "behind the manifest"},
		"another format":                {manifest(func(m *backup.Manifest) { m.Format = 2 }), "backup.json", "of format 2, this zkboot reads format 1"},
		"another last zxid":             {manifest(func(m *backup.Manifest) { m.Zxid++ }), "log.100000001", "the manifest says 0x100000003"},
		"another digest":                {manifest(func(m *backup.Manifest) { m.Digest++ }), "log.100000001", "the digest is 0x100000002"},
		"a manifest that is no JSON":    {func(es []entry) []entry { at(es, "backup.json").content = []byte("{"); return es }, "backup.json", "unexpected end of JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := backup.Verify(t.Context(), bytes.NewReader(pack(t, c.change(unpacked(t)))))
			if !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), c.file+": ") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want damage of %s: %s", err, c.file, c.says)
			}
		})
	}
}

// Wherever an archive is cut or a bit of it flips, it is refused.
func TestDamageAnywhere(t *testing.T) {
	_, b, _, err := newSite(t).take(t, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	var said strings.Builder
	for n := 0; n < len(whole); n += 3 {
		if _, err := backup.Verify(t.Context(), bytes.NewReader(whole[:n])); !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
		flipped := bytes.Clone(whole)
		flipped[n] ^= 4
		v, err := backup.Verify(t.Context(), bytes.NewReader(flipped))
		if err != nil && !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("bit of byte %d: %v", n, err)
		}
		if err != nil {
			said.WriteString(err.Error() + "\n")
		}
		if err == nil && v.Zxid != 0x100000002 {
			t.Fatalf("bit of byte %d: read as a backup up to %s", n, v.Zxid)
		}
	}
	for _, name := range []string{"spec.json", "zoo.cfg", "version-2/snapshot.a", "version-2/log.1", "version-2/log.100000001", "backup.json"} {
		if !strings.Contains(said.String(), "damaged backup: "+name+": ") {
			t.Errorf("no bit is told to be one of %s", name)
		}
	}
	_, err = backup.Verify(t.Context(), bytes.NewReader(whole[:len(whole)/2]))
	if err == nil || !strings.Contains(err.Error(), "it was cut off") {
		t.Errorf("cut in the middle: %v, want it said", err)
	}
}

func TestErrorsOfReadingAreNoDamage(t *testing.T) {
	_, b, _, err := newSite(t).take(t, backup.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Verify(t.Context(), iotest.TimeoutReader(b)); !errors.Is(err, iotest.ErrTimeout) || errors.Is(err, backup.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := backup.Verify(ctx, b); !errors.Is(err, context.Canceled) || errors.Is(err, backup.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

// Whatever is put into an archive, Verify ends, and says damage or nothing.
func FuzzVerify(f *testing.F) {
	_, b, _, err := newSite(f).take(f, backup.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(pack(f, unpacked(f)[4:]))
	f.Fuzz(func(t *testing.T, archive []byte) {
		if _, err := backup.Verify(t.Context(), bytes.NewReader(archive)); err != nil && !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("got %v", err)
		}
	})
}
