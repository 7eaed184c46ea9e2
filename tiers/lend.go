package tiers

import (
	"bytes"
	"io"
	"sync"
	"unsafe"

	"weir/policy"
	"weir/tiers/disk"
	"weir/tiers/spool"
)

// wholeMax is the largest body, in bytes, that a reader gets in one piece: for as long
// as it likes, it holds the memory of the whole. Larger ones are handed out in pieces,
// so that they can be moved to the spool beneath their readers.
const wholeMax = 64 << 10

// lending is which bodies in memory are read in pieces now, by the address of their
// first byte: objects that renew each other share a body. RAM says here what it
// forgets. An address may be another body's once its loan was moved, so a loan counts
// only while it holds that memory.
type lending [16]lent

type lent struct {
	mu    sync.Mutex // protects loans
	loans map[uintptr]*spool.Loan
}

func (s *Store) lentAt(h *policy.Hash) *lent { return &s.lending[h[len(h)-1]%byte(len(s.lending))] }

func addressOf(body []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(body))) }

// newLoan makes a loan of a body that the key stands for.
func (s *Store) newLoan(h *policy.Hash, body []byte) *spool.Loan {
	at, key := s.lentAt(h), addressOf(body)
	var l *spool.Loan
	l = s.budget.NewLoan(body, false, func() {
		at.mu.Lock()
		defer at.mu.Unlock()
		if at.loans[key] == l && !l.Busy() {
			delete(at.loans, key)
		}
	})
	return l
}

// lend returns a reader of the body from off to end. The loan is the one that is used
// if the body is not being read; nil: a new one. It returns nil when the loan is over.
func (s *Store) lend(h *policy.Hash, body []byte, l *spool.Loan, off, end int64, cut func()) *spool.LoanReader {
	at, key := s.lentAt(h), addressOf(body)
	at.mu.Lock()
	if was := at.loans[key]; was != nil && was.Holds(key) {
		l = was
	} else {
		if l == nil {
			l = s.newLoan(h, body)
		}
		if at.loans == nil {
			at.loans = make(map[uintptr]*spool.Loan)
		}
		at.loans[key] = l
	}
	r := l.Reader(off, end-off, cut)
	at.mu.Unlock()
	// The losing interleaving: RAM forgets the body before the loan was in the table,
	// and finds nothing to disown there. So look behind that.
	if o := s.ram.current(h); r != nil && (o == nil || addressOf(o.Body) != key) {
		l.Disown()
	}
	return r
}

// lendAgain is lend for a loan whose body may have been moved.
func (s *Store) lendAgain(h *policy.Hash, l *spool.Loan, off, end int64) *spool.LoanReader {
	if body := l.Memory(); body != nil {
		return s.lend(h, body, l, off, end, nil)
	}
	return l.Reader(off, end-off, nil)
}

// disown says that RAM has forgotten the object.
func (s *Store) disown(o *Object) {
	if len(o.Body) <= wholeMax {
		return
	}
	at, key := s.lentAt(&o.Hash), addressOf(o.Body)
	at.mu.Lock()
	l := at.loans[key]
	at.mu.Unlock()
	if l != nil && l.Holds(key) {
		l.Disown()
	}
}

// Delivery is a stored body on its way to a client that may be slow. It holds no more
// of it in memory than a piece, and what the budget has room for. One goroutine uses
// it.
type Delivery struct {
	lent   *spool.LoanReader // of a body in memory; else nil
	budget *spool.Budget
	from   io.Reader // of a body on disk
	buf    *[]byte
	taken  int64
	asked  bool
}

// NewDelivery returns n bytes of the object's body from off, and must be closed. The
// object must stay open while it is used, unless its body is in memory. Cut, which may
// be nil, is called when there is no room for the body and the delivery is to end; it
// must not block.
func (s *Store) NewDelivery(o *Object, off, n int64, cut func()) *Delivery {
	d := &Delivery{budget: s.budget}
	body, inMemory := o.InBytes()
	switch {
	case inMemory && o.Large() && len(body) > 0:
		// It is lent until the object is closed, and another read waits for that memory.
		d.lent = s.budget.NewLoan(bytes.Clone(body), true, nil).Reader(off, n, cut)
	case inMemory && len(body) > wholeMax:
		if d.lent = s.lend(&o.Hash, body, nil, off, off+n, cut); d.lent == nil {
			d.lent = s.budget.NewLoan(body, true, nil).Reader(off, n, cut)
		}
	default:
		d.from = o.NewReader(off, n)
	}
	return d
}

// Next returns at least one byte, or io.EOF behind the last. The bytes are borrowed:
// valid until the next call, not to be changed.
func (d *Delivery) Next() ([]byte, error) {
	if d.lent != nil {
		return d.lent.Next()
	}
	if d.buf == nil {
		d.buf = spool.Borrow()
	}
	n, err := io.ReadAtLeast(d.from, *d.buf, 1)
	if n == 0 {
		return nil, err
	}
	if r, ok := d.from.(*disk.Reader); ok {
		d.hold(r)
	}
	return (*d.buf)[:n], nil
}

// hold lets the reader keep its chunk, which saves reading it again for each piece, if
// the budget has room for that.
func (d *Delivery) hold(r *disk.Reader) {
	if !d.asked {
		d.asked = true
		if chunk := r.Holds(); d.budget.TryTake(chunk) {
			d.taken = chunk
		}
	}
	if d.taken == 0 {
		r.Yield()
	}
}

// Close gives back what the delivery holds. It may be called more than once.
func (d *Delivery) Close() {
	if d.lent != nil {
		d.lent.Close()
	}
	if r, ok := d.from.(*disk.Reader); ok {
		_ = r.Close()
	}
	if d.buf != nil {
		spool.GiveBack(d.buf)
		d.buf = nil
	}
	d.budget.Give(d.taken)
	d.taken = 0
}
