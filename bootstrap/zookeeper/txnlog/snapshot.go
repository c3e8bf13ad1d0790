package txnlog

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"io"
	"strings"
)

const snapshotMagic = "ZKSN"

// pathLimit bounds the path of one znode, in bytes; see recordLimit.
const pathLimit = 16 << 20

// Tree is what a snapshot holds.
type Tree struct {
	Sessions   int
	Znodes     int // as the server counts them: the root is two
	Ephemerals int
	// Digest is of the tree at DigestZxid; a snapshot that was written while the tree changed
	// holds more than that, and the server compares when it has replayed the log.
	Digest     Digest
	DigestZxid uint64
	// LastZxid is written since 3.9 beside the digest, 0 before.
	LastZxid uint64
}

// ReadSnapshot reads a snapshot whole and checks every checksum in it. The name decides how
// it is compressed. What is wrong with it is an error that wraps ErrFormat.
func ReadSnapshot(name Name, r io.Reader) (Tree, error) {
	switch name.Suffix {
	case "":
	case "gz":
		z, err := gzip.NewReader(r)
		if err != nil {
			return Tree{}, formatf("gzip: %v", err)
		}
		defer z.Close()
		r = gzipReader{z}
	default:
		return Tree{}, fmt.Errorf("%s is compressed with %s, which zkboot does not read: %w", name, name.Suffix, errors.ErrUnsupported)
	}
	s := snapshotReader{r: bufio.NewReaderSize(r, 64<<10), sum: adler32.New()}
	t := s.tree()
	if s.err != nil {
		return Tree{}, s.err
	}
	return t, nil
}

// gzipReader makes damage of the compressed stream a fault of the format.
type gzipReader struct{ z *gzip.Reader }

// Read implements io.Reader.
func (g gzipReader) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		err = formatf("%v", err)
	}
	return n, err
}

// snapshotReader reads fields; after the first fault it reads nothing more.
type snapshotReader struct {
	r   *bufio.Reader
	sum hash.Hash32
	err error
	buf [20]byte
}

func (s *snapshotReader) fail(err error, what string) {
	if s.err == nil {
		s.err = short(err, what)
	}
}

// fixed reads at most 20 bytes.
func (s *snapshotReader) fixed(n int, what string) []byte {
	b := s.buf[:n]
	if s.err != nil {
		clear(b)
		return b
	}
	if _, err := io.ReadFull(s.r, b); err != nil {
		s.fail(err, what)
		clear(b)
		return b
	}
	s.sum.Write(b)
	return b
}

func (s *snapshotReader) int(what string) int32 {
	return int32(binary.BigEndian.Uint32(s.fixed(4, what)))
}

func (s *snapshotReader) long(what string) uint64 {
	return binary.BigEndian.Uint64(s.fixed(8, what))
}

// pass reads over a buffer or string; -1 stands for null.
func (s *snapshotReader) pass(what string) {
	n := s.int(what)
	if n < -1 {
		s.fail(formatf("%s has %d bytes", what, n), what)
	}
	if s.err != nil || n <= 0 {
		return
	}
	if _, err := io.CopyN(s.sum, s.r, int64(n)); err != nil {
		s.fail(err, what)
	}
}

// path reads a string.
func (s *snapshotReader) path() string {
	n := s.int("a path")
	if n < 0 || n > pathLimit {
		s.fail(formatf("a path has %d bytes", n), "a path")
	}
	if s.err != nil {
		return ""
	}
	var b strings.Builder
	if _, err := io.CopyN(io.MultiWriter(&b, s.sum), s.r, int64(n)); err != nil {
		s.fail(err, "a path")
	}
	return b.String()
}

// count reads the length of a list.
func (s *snapshotReader) count(what string) int {
	n := s.int(what)
	if n < 0 {
		s.fail(formatf("the number of %s is %d", what, n), what)
		return 0
	}
	return int(n)
}

func (s *snapshotReader) tree() Tree {
	var t Tree
	head := s.fixed(headerSize, "its header")
	if s.err == nil {
		s.err = checkHeader(head, snapshotMagic)
	}
	t.Sessions = s.count("sessions")
	for range t.Sessions {
		if s.fixed(8+4, "a session"); s.err != nil { // id, timeout
			return t
		}
	}
	s.acls()
	s.nodes(&t)
	s.seal("the tree")
	s.trailers(&t)
	return t
}

// acls passes the table that the znodes' ACLs are numbers of.
func (s *snapshotReader) acls() {
	for range s.count("ACLs") {
		s.long("an ACL")
		for range max(0, s.int("an ACL")) { // -1 stands for null
			s.int("an ACL")
			s.pass("an ACL")
			if s.pass("an ACL"); s.err != nil {
				return
			}
		}
		if s.err != nil {
			return
		}
	}
}

// The parts of StatPersisted in zookeeper.jute: czxid, mzxid, ctime, mtime (8 each), version,
// cversion, aversion (4 each), ephemeralOwner, pzxid (8 each).
const (
	statBeforeOwner = 4*8 + 3*4
	statAfterOwner  = 8
)

// The owner of a znode that is no session: containers and, with the highest byte set, those
// with a time to live. See EphemeralType in ZooKeeper's source.
const (
	containerOwner = 1 << 63
	ttlMask        = 0xff << 56
)

// nodes passes the znodes up to the "/" that ends them; the root's own path is empty.
func (s *snapshotReader) nodes(t *Tree) {
	t.Znodes = 1 // the server has the root under "/" as well
	for {
		path := s.path()
		if path == "/" || s.err != nil {
			return
		}
		s.pass("a znode")
		s.long("a znode") // number of its ACL
		for left := statBeforeOwner; left > 0; left -= len(s.buf) {
			s.fixed(min(left, len(s.buf)), "a znode")
		}
		owner := s.long("a znode")
		s.fixed(statAfterOwner, "a znode")
		t.Znodes++
		if owner != 0 && owner != containerOwner && owner&ttlMask != ttlMask {
			t.Ephemerals++
		}
	}
}

// seal checks the sum over everything before it. It is written as a long and a "/".
func (s *snapshotReader) seal(of string) {
	want := uint64(s.sum.Sum32())
	got := s.long("the checksum of " + of)
	mark := s.fixed(4+1, "the checksum of "+of)
	switch {
	case s.err != nil:
	case got != want:
		s.err = formatf("the checksum of %s is 0x%x where 0x%x is written", of, want, got)
	case string(mark) != "\x00\x00\x00\x01/":
		s.err = formatf("behind the checksum of %s stands %q", of, mark)
	}
}

// trailers read what later versions append, each with a seal of its own: a digest (3.6) and
// the last zxid (3.9). Either may be switched off; their lengths tell them apart.
func (s *snapshotReader) trailers(t *Tree) {
	const seal, digest, last = 8 + 4 + 1, 8 + 4 + 8, 8
	if s.err != nil {
		return
	}
	rest, err := s.r.Peek(digest + seal + last + seal + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = short(err, "what follows the tree")
		return
	}
	n := len(rest)
	if n == digest+seal || n == digest+seal+last+seal {
		t.DigestZxid = s.long("the digest")
		t.Digest = Digest{Version: s.int("the digest"), Tree: s.long("the digest")}
		s.seal("the digest")
		n -= digest + seal
	}
	if n == last+seal {
		t.LastZxid = s.long("the last zxid")
		s.seal("the last zxid")
		n = 0
	}
	if n != 0 && s.err == nil {
		s.err = formatf("%d bytes follow the tree", n)
	}
}
