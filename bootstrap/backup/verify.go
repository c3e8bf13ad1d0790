package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/zkboot/zkboot/bootstrap/zookeeper/txnlog"
)

// ErrDamaged is wrapped by everything that is wrong with an archive: nothing of it may be
// put back.
var ErrDamaged = errors.New("damaged backup")

// errCut: an archive has no end.
var errCut = errors.New("the archive ends here: it was cut off")

// manifestLimit bounds the manifest, in bytes.
const manifestLimit = 64 << 20

// Verified is an archive that was read whole and found right.
type Verified struct {
	Manifest
	SHA512 string // of the archive
}

// Verify reads an archive to its end and checks everything in it: the sha256 of every file,
// the checksums within snapshot and logs, and that the transactions follow on each other up
// to the one that the manifest names. What is wrong wraps ErrDamaged and names the file in
// the archive; an error of reading r does not.
func Verify(ctx context.Context, r io.Reader) (Verified, error) {
	sum := sha512.New()
	in := &source{ctx: ctx, r: io.TeeReader(r, sum)}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return Verified{}, in.blame("its beginning", err)
	}
	defer z.Close()
	v := verifying{t: tar.NewReader(z), at: "its beginning"}
	m, err := v.entries()
	if err == nil {
		_, err = io.Copy(io.Discard, z) // up to the checksum of the compressed stream
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	if err != nil {
		return Verified{}, in.blame(v.at, err)
	}
	if err := v.compare(m); err != nil {
		return Verified{}, err
	}
	return Verified{Manifest: m, SHA512: hex.EncodeToString(sum.Sum(nil))}, nil
}

// source remembers its own error, which says nothing about the archive.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
	// ended: more was wanted than there is. At the end of a whole archive that is no fault.
	ended bool
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = context.Cause(s.ctx)
		return 0, s.err
	}
	n, err := s.r.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		s.ended = true
	case err != nil:
		s.err = err
	}
	return n, err
}

// blame tells a fault of reading from one of the archive.
func (s *source) blame(where string, err error) error {
	var told *damage
	switch {
	case s.err != nil:
		return fmt.Errorf("reading the backup: %w", s.err)
	case s.ended && errors.As(err, &told): // whatever it looked like from within
		return &damage{file: told.file, err: errCut}
	case s.ended:
		return &damage{file: where, err: errCut}
	case errors.As(err, &told):
		return err
	}
	return &damage{file: where, err: err}
}

// damage is what is wrong with one file of an archive.
type damage struct {
	file string
	err  error
}

// Error implements error.
func (d *damage) Error() string {
	return fmt.Sprintf("%s: %s: %s", ErrDamaged, d.file, d.err)
}

// Is and Unwrap make both the damage and its cause visible.
func (d *damage) Is(target error) bool { return target == ErrDamaged }

// Unwrap returns the cause.
func (d *damage) Unwrap() error { return d.err }

func damaged(file, format string, args ...any) error {
	return &damage{file: file, err: fmt.Errorf(format, args...)}
}

// verifying is one reading of an archive.
type verifying struct {
	t     *tar.Reader
	at    string // what is being read, or will be
	files []File
	tree  txnlog.Tree
	chain chain
	snaps int
	logs  int
}

// entries reads up to the manifest and wants nothing behind it.
func (v *verifying) entries() (Manifest, error) {
	for {
		h, err := v.t.Next()
		if errors.Is(err, io.EOF) {
			return Manifest{}, damaged(manifestName, "it is missing, so the archive was not written to its end")
		}
		if err != nil {
			return Manifest{}, &damage{file: v.at, err: err}
		}
		v.at = h.Name
		if h.Typeflag != tar.TypeReg {
			return Manifest{}, damaged(h.Name, "it is no regular file")
		}
		if h.Name != manifestName {
			if err := v.entry(h); err != nil {
				return Manifest{}, err
			}
			continue
		}
		b, err := io.ReadAll(io.LimitReader(v.t, manifestLimit))
		if err != nil {
			return Manifest{}, &damage{file: h.Name, err: err}
		}
		m, err := decodeManifest(b)
		if err != nil {
			return Manifest{}, &damage{file: h.Name, err: err}
		}
		if next, err := v.t.Next(); !errors.Is(err, io.EOF) {
			if err != nil {
				return Manifest{}, &damage{file: h.Name, err: err}
			}
			return Manifest{}, damaged(next.Name, "it stands behind the manifest")
		}
		return m, nil
	}
}

// entry reads one file through its own checks and its sha256.
func (v *verifying) entry(h *tar.Header) error {
	sum := sha256.New()
	tee := io.TeeReader(v.t, sum)
	f := File{Name: h.Name, Size: h.Size}
	err := v.content(&f, tee)
	if err == nil {
		_, err = io.Copy(io.Discard, tee)
	}
	if err != nil {
		return &damage{file: h.Name, err: err}
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	v.files = append(v.files, f)
	v.at = "what follows " + h.Name
	return nil
}

func (v *verifying) content(f *File, r io.Reader) error {
	base, ok := strings.CutPrefix(f.Name, dataDir)
	if !ok {
		return nil
	}
	name, ok := txnlog.ParseName(base)
	if !ok {
		return errors.New("neither a snapshot nor a log")
	}
	if name.Kind == txnlog.Snapshot {
		if v.snaps++; v.snaps > 1 || v.logs > 0 {
			return errors.New("a snapshot too many")
		}
		var err error
		v.tree, err = txnlog.ReadSnapshot(name, r)
		v.chain = chain{last: name.Zxid, at: base}
		if v.tree.DigestZxid == name.Zxid {
			v.chain.digest = v.tree.Digest
		}
		return err
	}
	if v.snaps == 0 {
		return errors.New("a log before the snapshot")
	}
	x, err := txnlog.Scan(r)
	switch {
	case err != nil:
		return err
	case x.Torn:
		return fmt.Errorf("byte %d: %s", x.Size, x.Why)
	case x.Records > 0 && x.First != name.Zxid:
		return fmt.Errorf("its first transaction is 0x%x", x.First)
	}
	f.First, f.Last = Hex(x.First), Hex(x.Last)
	v.logs++
	return v.chain.link(base, x, v.logs == 1)
}

// compare holds what was read against what the manifest says was written.
func (v *verifying) compare(m Manifest) error {
	for i, want := range m.Files {
		if !slices.ContainsFunc(v.files, func(f File) bool { return f.Name == want.Name }) {
			return damaged(want.Name, "it is missing")
		}
		switch got := v.files[i]; {
		case got.Name != want.Name:
			return damaged(got.Name, "the manifest has %s in its place", want.Name)
		case got.SHA256 != want.SHA256:
			return damaged(got.Name, "its sha256 is %s, the manifest says %s", got.SHA256, want.SHA256)
		case got != want:
			return damaged(got.Name, "it is not as the manifest says: %+v, not %+v", got, want)
		}
	}
	switch {
	case len(v.files) > len(m.Files):
		return damaged(v.files[len(m.Files)].Name, "the manifest does not know it")
	case v.snaps != 1:
		return damaged(manifestName, "the archive has no snapshot")
	case v.chain.last != uint64(m.Zxid):
		return damaged(v.chain.at, "the last transaction is 0x%x, the manifest says %s", v.chain.last, m.Zxid)
	case v.chain.digest.Tree != uint64(m.Digest):
		return damaged(v.chain.at, "the digest is 0x%x, the manifest says %s", v.chain.digest.Tree, m.Digest)
	}
	return nil
}
