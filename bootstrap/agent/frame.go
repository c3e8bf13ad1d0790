package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// frameLimit is the largest frame that is sent or read, in bytes. The largest there
// is, a State with many files of at most 256 KiB, stays far below.
const frameLimit = 16 << 20

// chunkSize is how much of a blob travels in one frame, in bytes.
const chunkSize = 64 << 10

// errFrame is wrapped by everything that is wrong with a frame itself.
var errFrame = errors.New("bad frame")

// request opens a call.
type request struct {
	Method string          `json:"method"`
	Args   json.RawMessage `json:"args,omitempty"`
}

// reply is a note when Note is set, and else the result, good or bad, that ends the
// frames of a call.
type reply struct {
	Note  string          `json:"note,omitempty"`
	OK    json.RawMessage `json:"ok,omitempty"`
	Error *fault          `json:"error,omitempty"`
}

// writeFrame writes the length of b, 4 bytes in network order, and b.
func writeFrame(w io.Writer, b []byte) error {
	if len(b) > frameLimit {
		return fmt.Errorf("%w: %d bytes to send, at most %d may be", errFrame, len(b), frameLimit)
	}
	// One write, so that a frame is one message of the layer below.
	_, err := w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...))
	return err
}

// readFrame reads what writeFrame wrote. It returns io.EOF only before the first byte.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > frameLimit {
		return nil, fmt.Errorf("%w: %d bytes announced, at most %d may come", errFrame, n, frameLimit)
	}
	// Grown as the bytes come, so that a length alone costs no memory.
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b.Bytes(), nil
}

func writeJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFrame(w, b)
}

// readJSON reads a frame into v. Unknown fields are an error: a peer of another
// version must not be half understood.
func readJSON(r io.Reader, v any) error {
	b, err := readFrame(r)
	if err != nil {
		return err
	}
	if err := unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	return nil
}

// sendBlob writes r as frames, then an empty one, then a result that tells whether r
// was read to its end: a stream that breaks off is never taken for a whole archive.
func sendBlob(w io.Writer, r io.Reader) error {
	chunk := make([]byte, chunkSize)
	for {
		n, err := r.Read(chunk)
		if n > 0 {
			if err := writeFrame(w, chunk[:n]); err != nil {
				return err
			}
		}
		if err == nil {
			continue
		}
		if werr := writeFrame(w, nil); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return writeJSON(w, result(struct{}{}, err))
	}
}

// blobReader reads what sendBlob wrote.
type blobReader struct {
	io.ReadCloser
	chunk []byte
	err   error
}

// Read implements io.Reader.
func (b *blobReader) Read(p []byte) (int, error) {
	for len(b.chunk) == 0 && b.err == nil {
		b.chunk, b.err = readFrame(b.ReadCloser)
		switch {
		case errors.Is(b.err, io.EOF):
			b.err = io.ErrUnexpectedEOF
		case b.err == nil && len(b.chunk) == 0:
			b.err = b.verdict()
		}
	}
	if len(b.chunk) == 0 {
		return 0, b.err
	}
	n := copy(p, b.chunk)
	b.chunk = b.chunk[n:]
	return n, nil
}

func (b *blobReader) verdict() error {
	var end reply
	if err := readJSON(b.ReadCloser, &end); err != nil {
		return io.ErrUnexpectedEOF
	}
	if end.Error != nil {
		return end.Error
	}
	return io.EOF
}
