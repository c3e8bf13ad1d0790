package txnlog

// header is what is read of a transaction.
type header struct {
	zxid   uint64
	kind   int32
	digest Digest
}

// closeSession alone has two forms: without a body before 3.6, and since with the paths
// that it deletes. See CloseSessionTxn in zookeeper.jute.
const closeSession = -11

// bodies are the fields of transactions by type; see cursor.skip for the letters,
// ZooDefs.OpCode for the numbers and zookeeper.jute, module org.apache.zookeeper.txn, for
// the fields.
func body(kind int32) (fields string, known bool) {
	switch kind {
	case 1, 15: // create, create2
		return "sbazi", true
	case 19: // createContainer
		return "sbai", true
	case 21: // createTTL
		return "sbail", true
	case 2, 20: // delete, deleteContainer
		return "s", true
	case 5, 16: // setData, reconfig
		return "sbi", true
	case 7: // setACL
		return "sai", true
	case 13: // check
		return "si", true
	case 14: // multi
		return "m", true
	case -10, -1: // createSession, error
		return "i", true
	}
	return "", false
}

// digestSize is that of a TxnDigest: version and sum.
const digestSize = 4 + 8

// parseHeader reads zxid and type, and the digest that a server since 3.6 writes behind the
// body. Of a type that is not known here the digest is left out: what stands at the end may
// be a part of the body.
func parseHeader(txn []byte) (header, bool) {
	c := cursor{b: txn}
	c.long() // session
	c.int()  // cxid
	h := header{zxid: uint64(c.long())}
	c.long() // time
	h.kind = c.int()
	if c.bad {
		return header{}, false
	}
	fields, known := body(h.kind)
	switch {
	case h.kind == closeSession:
		h.digest = closingDigest(c.b)
	case known:
		c.skip(fields)
		if !c.bad {
			h.digest = readDigest(c.b)
		}
	}
	return h, true
}

// closingDigest reads the digest behind either form of a closeSession. Paths are never
// empty, so that a digest alone is not taken for a list of two.
func closingDigest(b []byte) Digest {
	c := cursor{b: b}
	c.skip("v")
	if !c.bad && len(c.b) == digestSize {
		return readDigest(c.b)
	}
	return readDigest(b)
}

func readDigest(b []byte) Digest {
	if len(b) != digestSize {
		return Digest{}
	}
	c := cursor{b: b}
	return Digest{Version: c.int(), Tree: uint64(c.long())}
}
