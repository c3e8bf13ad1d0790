package txnlog_test

import (
	"bytes"
	"encoding/binary"
	"hash/adler32"
	"slices"
)

// file builds what a server writes. It is the reader's twin and shares no code with it.
type file struct{ bytes.Buffer }

func (f *file) int(n int32)  { _ = binary.Write(f, binary.BigEndian, n) } // a Buffer takes everything
func (f *file) long(n int64) { _ = binary.Write(f, binary.BigEndian, n) }
func (f *file) str(s string) { f.int(int32(len(s))); f.WriteString(s) }
func (f *file) acl() {
	f.int(1)
	f.int(31)
	f.str("world")
	f.str("anyone")
}

func (f *file) header(magic string) {
	f.WriteString(magic)
	f.int(2)
	f.long(0)
}

// seal appends the checksum of everything before it.
func (f *file) seal() {
	f.long(int64(adler32.Checksum(f.Bytes())))
	f.str("/")
}

// record appends a transaction to a log.
func (f *file) record(txn []byte) {
	f.long(int64(adler32.Checksum(txn)))
	f.int(int32(len(txn)))
	f.Write(txn)
	f.WriteByte('B')
}

// txn is a transaction with a body and, where there is one, a digest behind it.
func txn(zxid uint64, kind int32, body func(*file), digest ...int64) []byte {
	var f file
	f.long(1)
	f.int(1)
	f.long(int64(zxid))
	f.long(1_700_000_000_000)
	f.int(kind)
	if body != nil {
		body(&f)
	}
	for _, d := range digest {
		f.int(2)
		f.long(d)
	}
	return f.Bytes()
}

func create(path string) func(*file) {
	return func(f *file) {
		f.str(path)
		f.str("data")
		f.acl()
		f.WriteByte(0)
		f.int(1)
	}
}

// logOf is a log of creates with these zxids; each carries its zxid, negated, as its digest.
func logOf(zxids ...uint64) *file {
	var f file
	f.header("ZKLG")
	for _, z := range zxids {
		f.record(txn(z, 1, create("/a"), -int64(z)))
	}
	return &f
}

// znode is one line of a snapshot.
type znode struct {
	path  string
	owner uint64
}

// trailer says what follows the tree.
type trailer struct{ digest, last bool }

func snapshotOf(t trailer, nodes ...znode) *file {
	var f file
	f.header("ZKSN")
	f.int(1) // sessions
	f.long(7)
	f.int(4000)
	f.int(2) // ACLs
	f.long(1)
	f.acl()
	f.long(2)
	f.int(-1)
	for _, n := range slices.Concat([]znode{{}}, nodes) {
		f.str(n.path)
		if n.path == "" {
			f.int(-1) // no data at all
		} else {
			f.str("data")
		}
		f.long(-1)
		for range 4 {
			f.long(1)
		}
		for range 3 {
			f.int(0)
		}
		f.long(int64(n.owner))
		f.long(1)
	}
	f.str("/")
	f.seal()
	if t.digest {
		f.long(9)
		f.int(2)
		f.long(-99)
		f.seal()
	}
	if t.last {
		f.long(10)
		f.seal()
	}
	return &f
}
