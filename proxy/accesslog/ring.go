package accesslog

import "sync/atomic"

const (
	// maxQueuedBytes bounds the lines that wait, whatever the length of the ring.
	// Writers that add at the same moment may exceed it by one line each.
	maxQueuedBytes = 16 << 20

	// keepSlotBytes is the largest buffer a slot keeps for its next line. Usual
	// lines fit; one flood of long ones must not hold memory for ever after.
	keepSlotBytes = 2048
)

// slot holds one line. seq says whose turn it is: equal to a position, the slot
// is free for the writer that claims that position; one above, its line is
// ready for the reader.
type slot struct {
	seq  atomic.Uint64
	line []byte
}

// ring is a bounded queue of lines with many writers and one reader, after
// Dmitry Vyukov's bounded queue: a writer claims a position by one
// compare-and-swap and fills the slot; lines come out in the order of claims.
// A writer that was descheduled between claim and publication delays the
// reader, never another writer.
type ring struct {
	slots []slot
	mask  uint64

	_      [128]byte // head is written by every request, slots and mask never
	head   atomic.Uint64
	queued atomic.Int64 // bytes in published slots
	_      [128]byte
	tail   uint64 // the reader's
}

// newRing returns a ring for n lines, n a power of two.
func newRing(n int) *ring {
	r := &ring{slots: make([]slot, n), mask: uint64(n - 1)}
	for i := range r.slots {
		r.slots[i].seq.Store(uint64(i))
	}
	return r
}

// push adds the line of e and returns its position. It returns false when the
// ring is full.
func (r *ring) push(e *Entry) (position uint64, ok bool) {
	if r.queued.Load() >= maxQueuedBytes {
		return 0, false
	}
	pos := r.head.Load()
	for {
		s := &r.slots[pos&r.mask]
		seq := s.seq.Load()
		switch {
		case seq == pos:
			if r.head.CompareAndSwap(pos, pos+1) {
				s.line = e.Append(s.line[:0])
				r.queued.Add(int64(len(s.line)))
				s.seq.Store(pos + 1)
				return pos, true
			}
			pos = r.head.Load()
		case seq < pos:
			return 0, false // the reader has not freed it since the last lap
		default:
			pos = r.head.Load() // another writer was faster
		}
	}
}

// pop appends the oldest line to dst. It returns false when no line is ready.
func (r *ring) pop(dst []byte) ([]byte, bool) {
	s := &r.slots[r.tail&r.mask]
	if s.seq.Load() != r.tail+1 {
		return dst, false
	}
	dst = append(dst, s.line...)
	r.queued.Add(-int64(len(s.line)))
	if cap(s.line) > keepSlotBytes {
		s.line = nil
	}
	s.seq.Store(r.tail + uint64(len(r.slots)))
	r.tail++
	return dst, true
}
