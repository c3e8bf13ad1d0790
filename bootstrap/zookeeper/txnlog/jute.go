package txnlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFormat is wrapped by everything that is wrong with the content of a file, as opposed
// to reading it.
var ErrFormat = errors.New("not as ZooKeeper writes it")

// headerSize is that of both kinds of files: magic, version, database id.
const headerSize = 16

// version is the only one of the file format that there ever was.
const version = 2

func formatf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// checkHeader judges the first bytes of a file.
func checkHeader(b []byte, magic string) error {
	if got := string(b[:4]); got != magic {
		return formatf("it begins with %q, want %q", got, magic)
	}
	if v := binary.BigEndian.Uint32(b[4:8]); v != version {
		return formatf("it is of version %d, want %d", v, version)
	}
	return nil
}

// short turns the end of a stream inside of something into a fault of the format.
func short(err error, what string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return formatf("it ends inside of %s", what)
	}
	return err
}

// cursor walks over the fields of a serialized record in memory. After the first fault
// every further step is a fault too.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.bad = true
		c.b = nil
		return nil
	}
	part := c.b[:n]
	c.b = c.b[n:]
	return part
}

func (c *cursor) int() int32 {
	if b := c.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (c *cursor) long() int64 {
	if b := c.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// bytes passes a buffer or a string; -1 stands for null.
func (c *cursor) bytes() {
	if n := c.int(); n != -1 {
		c.take(int(n))
	}
}

// vector passes a list; -1 stands for null.
func (c *cursor) vector(element func()) {
	for n := c.int(); n > 0 && !c.bad; n-- {
		element()
	}
}

func (c *cursor) acl() {
	c.int() // permissions
	c.bytes()
	c.bytes()
}

// skip passes fields by their letters: s a string, b a buffer, i an int, l a long, z a
// boolean, a a list of ACLs, v a list of strings, m the transactions of a multi.
func (c *cursor) skip(fields string) {
	for _, f := range fields {
		switch f {
		case 's', 'b':
			c.bytes()
		case 'i':
			c.int()
		case 'l':
			c.long()
		case 'z':
			c.take(1)
		case 'a':
			c.vector(c.acl)
		case 'v':
			c.vector(c.bytes)
		case 'm':
			c.vector(func() { c.int(); c.bytes() })
		}
	}
}
