package spool

import (
	"sync"
	"sync/atomic"
)

// Budget counts the bytes of bodies that are in memory for as long as somebody is
// slow. A nil *Budget has room for everything. It is safe for concurrent use.
type Budget struct {
	limit int64
	used  atomic.Int64
	spool *Spool
	// cuts counts, by Cut, the transfers that were ended for the sake of others.
	cuts [numCuts]atomic.Uint64

	mu sync.Mutex // protects the fields below
	// first and last are the loans that count, the one that has counted longest first.
	first, last *Loan
	closed      bool

	over chan struct{} // tells relieve that the limit is exceeded
	stop chan struct{}
	done chan struct{} // closed when relieve has returned
}

// Cut says why a transfer was ended for the sake of others.
type Cut uint8

const (
	// CutMemory: neither the budget nor the spool had room for its body.
	CutMemory Cut = iota
	// CutPermits: it was the slowest of those that kept an origin's permits busy.
	CutPermits
	// CutRate: its client was slower than the least rate.
	CutRate

	numCuts
)

// String is the value of the metric's label.
func (c Cut) String() string {
	switch c {
	case CutMemory:
		return "memory"
	case CutPermits:
		return "permits"
	case CutRate:
		return "rate"
	}
	return "unknown"
}

// Cuts returns all reasons there are.
func Cuts() []Cut { return []Cut{CutMemory, CutPermits, CutRate} }

// NewBudget returns a budget of that many bytes; s may be nil. The budget owns s.
func NewBudget(limit int64, s *Spool) *Budget {
	b := &Budget{limit: limit, spool: s, over: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go b.relieve()
	return b
}

// TryTake takes n bytes if the budget has room for them.
func (b *Budget) TryTake(n int64) bool {
	if b == nil {
		return true
	}
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

// Take takes n bytes whether or not there is room. What is too much is made up for
// at the expense of the loans.
func (b *Budget) Take(n int64) {
	if b == nil || n == 0 {
		return
	}
	if b.used.Add(n) > b.limit {
		select {
		case b.over <- struct{}{}:
		default:
		}
	}
}

// Give gives n bytes back.
func (b *Budget) Give(n int64) {
	if b != nil && n != 0 {
		b.used.Add(-n)
	}
}

// Tight reports whether less than a quarter of the budget is left.
func (b *Budget) Tight() bool { return b != nil && b.used.Load() > b.limit/4*3 }

// Used returns how many bytes are taken, Limit how many there are. Used may exceed
// Limit for moments.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// Limit is described at Used.
func (b *Budget) Limit() int64 {
	if b == nil {
		return 0
	}
	return b.limit
}

// Spool returns the spool behind the budget, or nil.
func (b *Budget) Spool() *Spool {
	if b == nil {
		return nil
	}
	return b.spool
}

// NewFile returns a file in the spool for a body from offset at on, or nil when
// there is no spool, or nothing more can be spooled now.
func (b *Budget) NewFile(at int64) *File {
	if b == nil || b.spool == nil {
		return nil
	}
	return b.spool.newFile(at)
}

// CountCut counts a transfer that was ended.
func (b *Budget) CountCut(c Cut) {
	if b != nil {
		b.cuts[c].Add(1)
	}
}

// CutCount returns how many were.
func (b *Budget) CutCount(c Cut) uint64 {
	if b == nil {
		return 0
	}
	return b.cuts[c].Load()
}

// Close ends the budget's goroutine and the spool. Files that are still read stay
// readable.
func (b *Budget) Close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	was := b.closed
	b.closed = true
	b.mu.Unlock()
	if was {
		return
	}
	close(b.stop)
	<-b.done
	b.spool.Close()
}
