package zookeeper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/go-zookeeper/zk"
)

// A request as a server of 3.8.0 takes it, byte for byte.
func TestMultiReadIsEncodedAsServersReadIt(t *testing.T) {
	got := multiRead([]part{{dir: "/a"}, {dir: "/a", names: true}, {dir: "/a", name: "b"}})
	want := []byte("\x00\x00\x00\x04\x00\xff\xff\xff\xff" + "\x00\x00\x00\x02/a\x00" +
		"\x00\x00\x00\x08\x00\xff\xff\xff\xff" + "\x00\x00\x00\x02/a\x00" +
		"\x00\x00\x00\x04\x00\xff\xff\xff\xff" + "\x00\x00\x00\x04/a/b\x00" +
		"\xff\xff\xff\xff\x01\xff\xff\xff\xff")
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got, want := addWatch("/a"), []byte("\x00\x00\x00\x02/a\x00\x00\x00\x01"); !bytes.Equal(got, want) {
		t.Errorf("watch: got %q, want %q", got, want)
	}
}

// respond encodes results as a server does (MultiResponse.java, 3.8).
func respond(results []result, codes map[error]int32) []byte {
	var b []byte
	for _, r := range results {
		switch {
		case r.err != nil:
			b = binary.BigEndian.AppendUint32(b, 0xffffffff)
			b = binary.BigEndian.AppendUint32(append(b, 0), uint32(codes[r.err]))
			b = binary.BigEndian.AppendUint32(b, uint32(codes[r.err]))
		case r.names != nil:
			b = binary.BigEndian.AppendUint32(b, opGetChildren)
			b = append(b, 0, 0, 0, 0, 0)
			b = binary.BigEndian.AppendUint32(b, uint32(len(r.names)))
			for _, name := range r.names {
				b = text(b, name)
			}
		default:
			b = binary.BigEndian.AppendUint32(b, opGetData)
			b = append(b, 0, 0, 0, 0, 0)
			b = text(b, string(r.data))
			b, _ = binary.Append(b, binary.BigEndian, r.stat) // of numbers alone: it takes everything
		}
	}
	return header(b, -1, true)
}

func TestParseMultiTellsEveryPart(t *testing.T) {
	stat := zk.Stat{Czxid: 1, Mzxid: 2, Ctime: 3, Mtime: 4, Version: 5, Cversion: 6, Aversion: 7, EphemeralOwner: 8, DataLength: 9, NumChildren: 10, Pzxid: 11}
	want := []result{
		{answer: answer{exists: true, data: []byte("x"), stat: stat}},
		{err: zk.ErrNoNode},
		{answer: answer{exists: true, names: []string{"b", "", "a"}}},
		{err: zk.ErrNoAuth},
		{answer: answer{exists: true, data: []byte{}, stat: stat}},
	}
	got, err := parseMulti(respond(want, map[error]int32{zk.ErrNoNode: -101, zk.ErrNoAuth: -102}), len(want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	// A znode whose data is null, and an error that means nothing to us.
	b := append([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\xff\xff\xff\xff"), make([]byte, 68)...)
	b = append(b, "\xff\xff\xff\xff\x00\xff\xff\xff\x85\xff\xff\xff\x85"...)
	got, err = parseMulti(header(b, -1, true), 2)
	if err != nil || got[0].data != nil || !got[0].exists || got[1].err == nil || got[1].err.Error() != "ZooKeeper error -123" {
		t.Errorf("%v, got %+v", err, got)
	}
}

func TestParseMultiRefuses(t *testing.T) {
	one := respond([]result{{answer: answer{exists: true, data: []byte("x")}}}, nil)
	for name, test := range map[string]struct {
		b []byte
		n int
	}{
		"nothing":                         {nil, 0},
		"an answer that ends early":       {one[:len(one)-1], 1},
		"more behind the end":             {append(bytes.Clone(one), 0), 1},
		"fewer parts than were asked for": {one, 2},
		"more":                            {one, 0},
		"a part of another kind":          {header([]byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00"), -1, true), 1},
		"more names than there are bytes": {header([]byte("\x00\x00\x00\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff"), -1, true), 1},
		"a length below zero":             {header([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\xff\xff\xff\xfe"), -1, true), 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := parseMulti(test.b, test.n); !errors.Is(err, errGarbled) {
				t.Errorf("got %+v, %v; want %v", got, err, errGarbled)
			}
		})
	}
}

// FuzzParseMulti: whatever a server sends, it is read whole or refused, and what was read is
// encoded to the same bytes.
func FuzzParseMulti(f *testing.F) {
	codes := map[error]int32{zk.ErrNoNode: -101, zk.ErrNoAuth: -102}
	f.Add(respond([]result{{answer: answer{exists: true, data: []byte("x")}}, {err: zk.ErrNoNode}}, codes), 2)
	f.Add(respond([]result{{answer: answer{exists: true, names: []string{"a"}}}, {err: zk.ErrNoAuth}}, codes), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		got, err := parseMulti(b, n)
		if err != nil {
			return
		}
		if len(got) != n {
			t.Fatalf("%d results of %d", len(got), n)
		}
		again, err := parseMulti(respond(known(got), codes), n)
		if err != nil || !reflect.DeepEqual(again, known(got)) {
			t.Errorf("%v\ngot  %+v\nthen %+v", err, got, again)
		}
	})
}

// known makes of results such as respond can encode: errors that have a code there, and no
// difference between none and nothing.
func known(all []result) []result {
	out := make([]result, len(all))
	for i, r := range all {
		switch {
		case r.err != nil:
			out[i].err = zk.ErrNoNode
		case r.names == nil:
			out[i] = result{answer: answer{exists: true, data: append([]byte{}, r.data...), stat: r.stat}}
		default:
			out[i] = r
		}
	}
	return out
}
