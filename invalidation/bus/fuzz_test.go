package bus

import (
	"bytes"
	"testing"

	"weir/invalidation"
)

// nowhere is a Transport that nothing leaves and nothing comes from.
type nowhere struct{}

func (nowhere) Start(func([]byte)) error  { return nil }
func (nowhere) Broadcast([]byte) error    { return nil }
func (nowhere) Send(string, []byte) error { return nil }
func (nowhere) Close()                    {}

// samples are messages of every kind.
func samples() []*message {
	v := invalidation.Vector{{Node: "n2", Incarnation: 7}: 3, {Node: "n3", Incarnation: 9}: 1}
	o := invalidation.Origin{Node: "n2", Incarnation: 7}
	purges := []invalidation.Purge{
		{ID: invalidation.ID{Node: "n2", Incarnation: 7, Number: 1}, At: 5, Facts: []invalidation.Fact{{Kind: invalidation.Tag, Scope: "t"}}},
		{ID: invalidation.ID{Node: "n2", Incarnation: 7, Number: 2}, At: 6, Facts: []invalidation.Fact{{Kind: invalidation.All, Soft: true}}},
	}
	return []*message{
		{kind: kindProbe, nonce: 1, vector: v},
		{kind: kindReply, nonce: 1, vector: v},
		{kind: kindFacts, purges: purges},
		{kind: kindAck, origin: o, number: 2},
		{kind: kindFetch, nonce: 3, origin: o, number: 1},
		{kind: kindChunk, nonce: 3, origin: o, purges: purges},
		{kind: kindChunk, nonce: 3, origin: o, gone: true},
		{kind: kindLeave},
	}
}

// FuzzDecode: whatever is signed is decoded or refused, and what was decoded encodes to what decodes to the same.
func FuzzDecode(f *testing.F) {
	c := newCodec("fuzz", nil)
	for _, m := range samples() {
		m.from = "n2"
		b := c.encode(m)
		f.Add(b[:len(b)-macSize])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		mac := c.sum(body)
		m, err := c.decode(append(bytes.Clone(body), mac[:]...))
		if err != nil {
			return
		}
		again, err := c.decode(c.encode(m))
		if err != nil || again.kind != m.kind || again.from != m.from || again.nonce != m.nonce || again.origin != m.origin ||
			again.number != m.number || len(again.purges) != len(m.purges) || !again.vector.Covers(m.vector) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

// FuzzReceive: a bus takes any signed messages, one after the other, and stays within its bounds. In the input each has its length
// before it, in two bytes.
func FuzzReceive(f *testing.F) {
	c := newCodec("fuzz", nil)
	var all []byte
	for _, m := range samples() {
		m.from, m.instance = "n2", 1
		b := c.encode(m)
		b = b[:len(b)-macSize]
		f.Add(append([]byte{byte(len(b)), byte(len(b) >> 8)}, b...))
		all = append(append(all, byte(len(b)), byte(len(b)>>8)), b...)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, in []byte) {
		node, err := invalidation.Open(invalidation.Options{Node: "n1"})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open(Options{Node: node, Cluster: "fuzz", Transport: nowhere{}, OnIsolation: Revalidate, Quorum: 2})
		if err != nil {
			t.Fatal(err)
		}
		for len(in) >= 2 {
			n := min(int(in[0])|int(in[1])<<8, len(in)-2)
			body := in[2 : 2+n]
			in = in[2+n:]
			mac := c.sum(body)
			b.receive(append(bytes.Clone(body), mac[:]...))
		}
		s := b.Status()
		if len(s.Peers) > maxPeers || s.Pending > maxPending || len(s.Positions) > invalidation.MaxOrigins {
			t.Errorf("%d peers, %d pending, %d logs", len(s.Peers), s.Pending, len(s.Positions))
		}
		b.Close()
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
}
