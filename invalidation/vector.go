package invalidation

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
)

// MaxOrigins bounds the logs that a vector tells of. Each wiped disk adds one.
const MaxOrigins = 1024

// Vector says how far each log was applied: the highest number of each origin.
// Purges of one origin are applied in order and without gaps, so two vectors
// tell exactly what one node has that the other lacks.
type Vector map[Origin]uint64

// Covers tells whether whoever has v has all that w speaks of.
func (v Vector) Covers(w Vector) bool {
	for o, n := range w {
		if v[o] < n {
			return false
		}
	}
	return true
}

// Behind counts the purges of w that v lacks.
func (v Vector) Behind(w Vector) (n uint64) {
	for o, m := range w {
		if v[o] < m {
			n += m - v[o]
		}
	}
	return n
}

// Merge raises v to w where w is further.
func (v Vector) Merge(w Vector) {
	for o, n := range w {
		v[o] = max(v[o], n)
	}
}

// Clone returns a copy that shares nothing.
func (v Vector) Clone() Vector { return maps.Clone(v) }

// Sorted returns the origins by name and incarnation, for what people read.
func (v Vector) Sorted() []Origin {
	return slices.SortedFunc(maps.Keys(v), func(a, b Origin) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Incarnation, b.Incarnation))
	})
}

// Append appends the vector's wire form: the number of origins (2 bytes), each
// with its node (1+n), incarnation (8) and number (8), little endian.
func (v Vector) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(v)))
	for o, n := range v {
		b = appendString8(b, o.Node)
		b = binary.LittleEndian.AppendUint64(b, o.Incarnation)
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

// vector reads what Append wrote.
func (r *Decoder) Vector() Vector {
	n := int(r.U16())
	if n > MaxOrigins {
		r.bad = true
		return nil
	}
	v := make(Vector, min(n, len(r.b)/18))
	for range n {
		o := Origin{Node: r.Text(int(r.U8())), Incarnation: r.U64()}
		number := r.U64()
		if r.bad || o.Node == "" {
			r.bad = true
			return nil
		}
		v[o] = number
	}
	return v
}
