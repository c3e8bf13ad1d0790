package txnlog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
)

const logMagic = "ZKLG"

// endOfRecord stands behind every transaction.
const endOfRecord = 'B'

// recordLimit bounds one transaction, in bytes. A server takes none that is larger than its
// jute.maxbuffer (1 MiB unless told otherwise) plus some overhead; this is far above what
// anybody sets, and keeps a damaged length from costing memory.
const recordLimit = 256 << 20

// Digest is the sum over the data tree that a server keeps since 3.6. The zero value stands
// for none. Version 2 is the one in use; see DigestCalculator in ZooKeeper's source.
type Digest struct {
	Version int32  `json:"version"`
	Tree    uint64 `json:"tree"`
}

// None reports whether there is no digest.
func (d Digest) None() bool { return d.Version == 0 }

// String is the sum in hex, "none" where there is none.
func (d Digest) String() string {
	if d.None() {
		return "none"
	}
	return fmt.Sprintf("%x", d.Tree)
}

// Extent is what a log holds.
type Extent struct {
	First, Last uint64 // zxids of the first and last whole transaction, 0 where there is none
	Records     int
	Digest      Digest // of the tree behind Last
	Size        int64  // bytes from the beginning to the end of the last whole transaction
	// Torn tells that something else than the zeros of ZooKeeper's padding follows: a
	// transaction that was being written, or damage. Why says what.
	Torn bool
	Why  string
}

// Scan reads a log to its end.
func Scan(r io.Reader) (Extent, error) { return Cut(io.Discard, r) }

// Cut copies a log up to the end of its last whole transaction and reads the rest to its
// end. A log that is no log at all, or whose transactions are not in order, is an error that
// wraps ErrFormat; one that is torn is not: see Extent.Torn.
func Cut(w io.Writer, r io.Reader) (Extent, error) {
	l := logReader{r: bufio.NewReaderSize(r, 64<<10)}
	var x Extent
	if _, err := io.ReadFull(l.r, l.head[:]); err != nil {
		return x, short(err, "its header")
	}
	if err := checkHeader(l.head[:], logMagic); err != nil {
		return x, err
	}
	if _, err := w.Write(l.head[:]); err != nil {
		return x, err
	}
	x.Size = headerSize
	for {
		h, why, err := l.next()
		if err != nil {
			return x, err
		}
		if h == nil {
			x.Why = why
			return x, l.rest(&x)
		}
		if x.Records > 0 && h.zxid <= x.Last {
			return x, formatf("zxid 0x%x follows 0x%x at byte %d", h.zxid, x.Last, x.Size)
		}
		if _, err := w.Write(l.record); err != nil {
			return x, err
		}
		if x.Records++; x.Records == 1 {
			x.First = h.zxid
		}
		x.Last, x.Digest = h.zxid, h.digest
		x.Size += int64(len(l.record))
	}
}

// logReader reads records; record is the latest as it lies in the file.
type logReader struct {
	r      *bufio.Reader
	head   [headerSize]byte
	record []byte
}

// next reads one record. Without one it returns nil, and why it is not whole where it is
// not the end; the error is that of reading alone.
func (l *logReader) next() (h *header, why string, err error) {
	const front = 8 + 4 // checksum, length
	l.record = l.record[:0]
	if err := l.grow(front); err != nil {
		return nil, torn(err, "a record's head"), faultOfReading(err)
	}
	sum := binary.BigEndian.Uint64(l.record)
	n := int64(int32(binary.BigEndian.Uint32(l.record[8:])))
	switch {
	case sum == 0 && n == 0:
		return nil, "", nil
	case n <= 0 || n > recordLimit:
		return nil, fmt.Sprintf("a record of %d bytes", n), nil
	}
	if err := l.grow(n + 1); err != nil {
		return nil, torn(err, "a record"), faultOfReading(err)
	}
	txn, end := l.record[front:front+n], l.record[front+n]
	if end != endOfRecord {
		return nil, fmt.Sprintf("a record that ends with 0x%x", end), nil
	}
	if got := uint64(adler32.Checksum(txn)); got != sum {
		return nil, fmt.Sprintf("a record with checksum 0x%x where 0x%x is written", got, sum), nil
	}
	parsed, ok := parseHeader(txn)
	if !ok {
		return nil, "", formatf("a transaction of %d bytes has no header", n)
	}
	return &parsed, "", nil
}

// grow appends n bytes of the file to the record, as they come: a length alone costs no
// memory.
func (l *logReader) grow(n int64) error {
	for n > 0 {
		step := min(n, 64<<10)
		at := len(l.record)
		l.record = append(l.record, make([]byte, step)...)
		got, err := io.ReadFull(l.r, l.record[at:])
		if err != nil {
			l.record = l.record[:at+got]
			if at+got > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		n -= step
	}
	return nil
}

// torn says what the file ends inside of; a file that ends between records is whole.
func torn(err error, what string) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the file ends inside of " + what
	}
	return ""
}

func faultOfReading(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// rest reads what stands behind the last whole record: zeros, or something that was torn.
func (l *logReader) rest(x *Extent) error {
	x.Torn = x.Why != ""
	buf := make([]byte, 64<<10)
	for {
		n, err := l.r.Read(buf)
		if !x.Torn && !zero(buf[:n]) {
			x.Torn, x.Why = true, "bytes behind the padding"
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
