package invalidation

import "encoding/binary"

// Decoder takes a record or a message apart, little endian. Beyond the end
// everything is zero, and Bad says so: a caller may read on and ask once.
type Decoder struct {
	b   []byte
	bad bool
	// newer: a purge was of a kind that is unknown here.
	newer bool
}

// NewDecoder reads b, which must not change meanwhile; strings are copied.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Bad tells whether something was read that was not there, or not valid.
func (r *Decoder) Bad() bool { return r.bad }

// Rest is how many bytes are left.
func (r *Decoder) Rest() int { return len(r.b) }

func (r *Decoder) take(n int) []byte {
	if n < 0 || len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, min(max(n, 0), 16))
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

// U8 reads a byte.
func (r *Decoder) U8() byte { return r.take(1)[0] }

// U16 reads two bytes.
func (r *Decoder) U16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }

// U64 reads eight bytes.
func (r *Decoder) U64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

// Text reads n bytes.
func (r *Decoder) Text(n int) string {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return ""
	}
	return string(r.take(n))
}

// Purge reads what Purge.Append wrote. Facts that are not valid make it Bad.
func (r *Decoder) Purge() (p Purge) {
	p.Epoch = r.U64()
	p.ID = r.purgeID()
	p.At = int64(r.U64())
	n := int(r.U16())
	if n > MaxFacts {
		r.bad = true
		return p
	}
	for range n {
		f := Fact{Kind: Kind(r.U8()), Soft: r.U8() == 1}
		f.Scope = r.Text(int(r.U16()))
		if r.bad || f.Validate() != nil {
			r.newer = !r.bad && f.Kind >= kinds
			r.bad = true
			return p
		}
		p.Facts = append(p.Facts, f)
	}
	return p
}

func (r *Decoder) purgeID() ID {
	return ID{Node: r.Text(int(r.U8())), Incarnation: r.U64(), Number: r.U64()}
}
