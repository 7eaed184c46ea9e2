package bus

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"

	"weir/invalidation"
)

// kind is what a message is.
type kind byte

const (
	kindProbe kind = iota + 1
	kindReply
	kindFacts
	kindAck
	kindFetch
	kindChunk
	kindLeave

	kinds
)

// String names the kind.
func (k kind) String() string {
	if k == 0 || k >= kinds {
		return "unknown"
	}
	return [...]string{"probe", "reply", "facts", "ack", "fetch", "chunk", "leave"}[k-kindProbe]
}

// message is one of any kind; which fields count depends on it.
type message struct {
	kind     kind
	from     string // name of the node that sent it
	instance uint64 // of the process that sent it

	nonce  uint64              // probe, reply, fetch, chunk
	vector invalidation.Vector // probe, reply
	origin invalidation.Origin // ack, fetch, chunk
	number uint64              // ack: the highest in effect; fetch, chunk: behind which
	gone   bool                // chunk: the log no longer has them
	purges []invalidation.Purge
}

const (
	// wireVersion begins every message; a node drops those of another version.
	wireVersion = 1
	macSize     = 16
	// maxMessage bounds what is decoded, in bytes: one purge, or a chunk.
	maxMessage = 1 << 20
	// chunkBytes is how much a chunk, or a message of facts, holds when more
	// than one purge is in it.
	chunkBytes = 256 << 10
	// maxPurges bounds the purges of a message; each takes 50 bytes or more.
	maxPurges = 16 << 10
	maxName   = 255
)

var (
	errMalformed = errors.New("malformed message")
	// errForeign: the message was not made with this cluster's name and secret.
	errForeign = errors.New("the message is not signed with this cluster's name and secret")
)

// codec writes and reads messages that carry a MAC over name and secret of the
// cluster. It is safe for concurrent use.
type codec struct{ macs sync.Pool }

func newCodec(cluster string, secret []byte) *codec {
	key := sha256.Sum256(fmt.Appendf(nil, "weir bus %d\x00%d %s\x00%s", wireVersion, len(cluster), cluster, secret))
	return &codec{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key[:]) }}}
}

func (c *codec) sum(b []byte) [macSize]byte {
	h := c.macs.Get().(hash.Hash)
	defer c.macs.Put(h)
	h.Reset()
	h.Write(b)
	var sum [sha256.Size]byte
	return [macSize]byte(h.Sum(sum[:0])[:macSize])
}

// encode returns the message in bytes of its own.
func (c *codec) encode(m *message) []byte {
	le := binary.LittleEndian
	b := append(make([]byte, 0, 256), wireVersion, byte(m.kind), byte(len(m.from)))
	b = append(b, m.from...)
	b = le.AppendUint64(b, m.instance)
	switch m.kind {
	case kindProbe, kindReply:
		b = m.vector.Append(le.AppendUint64(b, m.nonce))
	case kindFacts:
		b = appendPurges(b, m.purges)
	case kindAck:
		b = appendOrigin(b, m.origin, m.number)
	case kindFetch:
		b = appendOrigin(le.AppendUint64(b, m.nonce), m.origin, m.number)
	case kindChunk:
		b = appendOrigin(le.AppendUint64(b, m.nonce), m.origin, m.number)
		gone := byte(0)
		if m.gone {
			gone = 1
		}
		b = appendPurges(append(b, gone), m.purges)
	case kindLeave:
	}
	mac := c.sum(b)
	return append(b, mac[:]...)
}

func appendOrigin(b []byte, o invalidation.Origin, number uint64) []byte {
	b = append(append(b, byte(len(o.Node))), o.Node...)
	b = binary.LittleEndian.AppendUint64(b, o.Incarnation)
	return binary.LittleEndian.AppendUint64(b, number)
}

func appendPurges(b []byte, list []invalidation.Purge) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(list)))
	for i := range list {
		b = list[i].Append(b)
	}
	return b
}

// decode reads a message; nothing of b is kept. The error wraps errForeign or
// errMalformed.
func (c *codec) decode(b []byte) (*message, error) {
	if len(b) < 3+8+macSize || len(b) > maxMessage {
		return nil, fmt.Errorf("%w: %d bytes", errMalformed, len(b))
	}
	if b[0] != wireVersion {
		return nil, fmt.Errorf("%w: version %d, and this is %d", errMalformed, b[0], wireVersion)
	}
	body, tail := b[:len(b)-macSize], b[len(b)-macSize:]
	if mac := c.sum(body); !hmac.Equal(mac[:], tail) {
		return nil, errForeign
	}
	d := invalidation.NewDecoder(body[1:])
	m := &message{kind: kind(d.U8()), from: d.Text(int(d.U8())), instance: d.U64()}
	switch m.kind {
	case kindProbe, kindReply:
		m.nonce, m.vector = d.U64(), d.Vector()
	case kindFacts:
		m.readPurges(d)
	case kindAck:
		m.readOrigin(d)
	case kindFetch:
		m.nonce = d.U64()
		m.readOrigin(d)
	case kindChunk:
		m.nonce = d.U64()
		m.readOrigin(d)
		m.gone = d.U8() == 1
		m.readPurges(d)
	case kindLeave:
	default:
		return nil, fmt.Errorf("%w: kind %d", errMalformed, m.kind)
	}
	if d.Bad() || d.Rest() > 0 || m.from == "" {
		return nil, fmt.Errorf("%w: %v", errMalformed, m.kind)
	}
	return m, nil
}

func (m *message) readOrigin(d *invalidation.Decoder) {
	m.origin = invalidation.Origin{Node: d.Text(int(d.U8())), Incarnation: d.U64()}
	m.number = d.U64()
}

func (m *message) readPurges(d *invalidation.Decoder) {
	n := int(d.U16())
	for i := 0; i < min(n, maxPurges) && !d.Bad(); i++ {
		m.purges = append(m.purges, d.Purge())
	}
}
