package zookeeper

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"
)

// Requests that go-zookeeper/zk 1.0.4 does not have, which every server since 3.6 takes
// (ZooDefs.OpCode; ZOOKEEPER-3402, ZOOKEEPER-1416).
const (
	opGetData     = 4
	opGetChildren = 8
	opMultiRead   = 22
	opAddWatch    = 106
)

// opFailed is the type of a part of an answer that is an error (ZooDefs.OpCode.error).
const opFailed = -1

// watchBelow is the mode of a watch of a path and all below it, which stays
// (ZooDefs.AddWatchModes.persistentRecursive).
const watchBelow = 1

// part is one question of a bulk read: the data of a znode, or the names of its children.
type part struct {
	dir, name string // the znode is dir, or name below it
	names     bool
}

func (p part) path() string {
	if p.name == "" {
		return p.dir
	}
	return p.dir + "/" + p.name
}

// result is the answer to a part. The error is an answer too, such as zk.ErrNoNode. Names come
// without a stat.
type result struct {
	answer
	err error
}

// multiRead encodes parts (MultiOperationRecord): before each one a header with its type,
// and one more that says that it is the last.
func multiRead(parts []part) []byte {
	size := 9
	for _, p := range parts {
		size += 9 + 4 + len(p.dir) + 1 + len(p.name) + 1
	}
	b := make([]byte, 0, size)
	for _, p := range parts {
		op := int32(opGetData)
		if p.names {
			op = opGetChildren
		}
		b = header(b, op, false)
		if p.name == "" {
			b = text(b, p.dir)
		} else {
			b = binary.BigEndian.AppendUint32(b, uint32(len(p.dir)+1+len(p.name)))
			b = append(append(append(b, p.dir...), '/'), p.name...)
		}
		b = append(b, 0) // no watch: the server would ignore it here
	}
	return header(b, -1, true)
}

// addWatch encodes AddWatchRequest.
func addWatch(path string) []byte {
	return binary.BigEndian.AppendUint32(text(nil, path), watchBelow)
}

// header encodes MultiHeader: type, done and an error that requests do not have.
func header(b []byte, op int32, done bool) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(op))
	last := byte(0)
	if done {
		last = 1
	}
	return binary.BigEndian.AppendUint32(append(b, last), 0xffffffff)
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

var errGarbled = errors.New("the answer to a bulk read cannot be read")

// parseMulti reads the answer to n parts (MultiResponse).
func parseMulti(b []byte, n int) ([]result, error) {
	out := make([]result, 0, min(n, len(b)/5))
	r := reader{b: b}
	for {
		op, done, _ := r.int32(), r.byte() != 0, r.int32()
		switch {
		case r.short:
			return nil, errGarbled
		case done:
			if len(out) != n || len(r.b) != 0 {
				return nil, errGarbled
			}
			return out, nil
		case len(out) == n:
			return nil, errGarbled
		}
		one := result{}
		switch op {
		case opGetData:
			one.data, one.stat, one.exists = r.bytes(), r.stat(), true
		case opGetChildren:
			one.names, one.exists = r.names(), true
		case opFailed:
			one.err = codeError(r.int32())
		default:
			return nil, errGarbled
		}
		out = append(out, one)
	}
}

// codes are the errors that a part of a bulk read may have and that mean something to us
// (KeeperException.Code).
var codes = map[int32]error{-101: zk.ErrNoNode, -102: zk.ErrNoAuth, -8: zk.ErrInvalidPath, codeTooLong: zk.ErrNothing,
	codeUnimplemented: errUnimplemented, -112: zk.ErrSessionExpired, -118: zk.ErrSessionMoved}

// codeUnimplemented is the answer of a server that does not know a request.
const codeUnimplemented = -6

var errUnimplemented = errors.New("the server is too old for it")

func codeError(code int32) error {
	if code == 0 {
		return nil
	}
	if err := codes[code]; err != nil {
		return err
	}
	return fmt.Errorf("ZooKeeper error %d", code)
}

// reader takes values of jute's binary format off a message, as long as there are any.
type reader struct {
	b     []byte
	short bool // the message ended before a value did, or a length in it cannot be
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.short, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// bytes returns a part of the message itself. Length -1 is a znode without data.
func (r *reader) bytes() []byte {
	n := r.int32()
	if n == -1 {
		return nil
	}
	return r.take(int(n))
}

func (r *reader) names() []string {
	n := int(r.int32())
	if n < 0 || n > len(r.b)/4 {
		r.take(-1)
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, string(r.bytes()))
	}
	return out
}

// stat reads org.apache.zookeeper.data.Stat.
func (r *reader) stat() zk.Stat {
	return zk.Stat{Czxid: r.int64(), Mzxid: r.int64(), Ctime: r.int64(), Mtime: r.int64(), Version: r.int32(), Cversion: r.int32(),
		Aversion: r.int32(), EphemeralOwner: r.int64(), DataLength: r.int32(), NumChildren: r.int32(), Pzxid: r.int64()}
}
