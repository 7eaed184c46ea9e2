package spool

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"unsafe"
)

// ErrCut ends a body that neither memory nor the spool has room for.
var ErrCut = errors.New("spool: the reader is too slow: there is no room for what it has not read")

// PieceSize is what a reader holds of a body that is handed out in pieces, in bytes.
const PieceSize = 32 << 10

// Loan is a body in memory that may be read by many, for as long as they like. It
// counts in a budget while it has readers and the memory is nobody else's: its owner,
// such as a tier that has a budget of its own, says Disown when it forgets the body.
// Readers hold no reference to the memory while they wait for their clients, so that
// the body can be moved to the spool beneath them.
//
// The losing interleaving of Disown and Reader: the tier forgets the body while a
// reader begins. Both change one word, so one of the two sees the other and counts.
type Loan struct {
	budget *Budget
	size   int64
	idle   func() // is called when the last reader has left; nil: nothing is
	// state is twice the number of readers, and one more once the body is disowned.
	state atomic.Int64

	// next, prev and counted are protected by budget.mu.
	next, prev *Loan
	counted    bool

	mu   sync.RWMutex // protects the fields below
	body []byte       // nil once it was moved
	file *File
	cut  bool
	// readers are those that are open.
	readers map[*LoanReader]struct{}
}

// NewLoan lends body, which must not be changed. Disowned says that it is nobody's
// from the start. Idle, which may be nil, is called when the last reader has left,
// each time.
func (b *Budget) NewLoan(body []byte, disowned bool, idle func()) *Loan {
	l := &Loan{budget: b, size: int64(len(body)), body: body, idle: idle, readers: make(map[*LoanReader]struct{})}
	if disowned {
		l.state.Store(1)
	}
	return l
}

// Disown says that the memory is nobody else's any more.
func (l *Loan) Disown() {
	if was := l.state.Or(1); was&1 == 0 && was > 0 {
		l.count()
	}
}

// Memory returns the body while it is in memory, else nil.
func (l *Loan) Memory() []byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.body
}

// Holds reports whether the loan is of the memory at that address, and has it still.
func (l *Loan) Holds(address uintptr) bool {
	body := l.Memory()
	return body != nil && uintptr(unsafe.Pointer(unsafe.SliceData(body))) == address
}

// Busy reports whether the loan has readers.
func (l *Loan) Busy() bool { return l.state.Load() > 1 }

// count makes the loan count. It is called when the state becomes that of a disowned
// loan with readers; uncount follows when it no longer is.
func (l *Loan) count() {
	b := l.budget
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l.settleLocked()
}

// settleLocked brings the books in line with the state. The state may have changed
// again since, so it is what it is now that counts.
func (l *Loan) settleLocked() {
	b, now := l.budget, l.state.Load()
	counts := now&1 == 1 && now > 1 && !l.moved()
	switch {
	case counts && !l.counted:
		l.counted, l.prev = true, b.last
		if b.last != nil {
			b.last.next = l
		} else {
			b.first = l
		}
		b.last = l
		b.Take(l.size)
	case !counts && l.counted:
		l.counted = false
		if l.prev != nil {
			l.prev.next = l.next
		} else {
			b.first = l.next
		}
		if l.next != nil {
			l.next.prev = l.prev
		} else {
			b.last = l.prev
		}
		l.prev, l.next = nil, nil
		b.Give(l.size)
	}
}

// moved reports whether the memory was given up.
func (l *Loan) moved() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.body == nil
}

// Reader returns a reader of n bytes from off, which must be closed. Cut, which may be
// nil, is called when there is no room for the body and the reader is to end; it must
// not block. Reader returns nil when the body is gone.
func (l *Loan) Reader(off, n int64, cut func()) *LoanReader {
	r := &LoanReader{loan: l, off: off, end: off + n, cut: cut}
	l.mu.Lock()
	if l.cut {
		l.mu.Unlock()
		return nil
	}
	l.readers[r] = struct{}{}
	l.mu.Unlock()
	if l.state.Add(2) == 3 {
		l.count()
	}
	return r
}

// LoanReader reads a Loan. One goroutine uses it.
type LoanReader struct {
	loan     *Loan
	off, end int64
	cut      func()
	buf      *[]byte
}

// pieces are buffers of PieceSize.
var pieces = sync.Pool{New: func() any { b := make([]byte, PieceSize); return &b }}

// Borrow returns a buffer of PieceSize bytes for GiveBack.
func Borrow() *[]byte { return pieces.Get().(*[]byte) }

// GiveBack takes what Borrow returned. Nobody may use it any more.
func GiveBack(b *[]byte) { pieces.Put(b) }

// Next returns at least one byte, or io.EOF behind the last. The bytes are borrowed:
// valid until the next call, not to be changed.
func (r *LoanReader) Next() ([]byte, error) {
	if r.off >= r.end {
		return nil, io.EOF
	}
	if r.buf == nil {
		r.buf = Borrow()
	}
	p := (*r.buf)[:min(PieceSize, r.end-r.off)]
	n, err := r.loan.readAt(p, r.off)
	if n == 0 {
		r.buf = nil // the spool may still use it
		return nil, err
	}
	r.off += int64(n)
	return p[:n], nil
}

// Skip moves the reader to off before its first Next.
func (r *LoanReader) Skip(off int64) { r.off = off }

// Close gives the reader back. It may be called more than once, by the goroutine that
// uses the reader.
func (r *LoanReader) Close() {
	l := r.loan
	l.mu.Lock()
	_, open := l.readers[r]
	delete(l.readers, r)
	l.mu.Unlock()
	if !open {
		return
	}
	if r.buf != nil {
		GiveBack(r.buf)
		r.buf = nil
	}
	if now := l.state.Add(-2); now > 1 {
		return
	}
	l.count()
	l.release()
	if l.idle != nil {
		l.idle()
	}
}

// release gives the spool's room back when the last reader has left. A reader that
// came since finds the loan cut where its memory is gone.
func (l *Loan) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil && len(l.readers) == 0 {
		l.file.Release()
		l.file, l.cut = nil, true
	}
}

func (l *Loan) readAt(p []byte, off int64) (int, error) {
	l.mu.RLock()
	if l.body != nil {
		defer l.mu.RUnlock()
		return copy(p, l.body[off:]), nil
	}
	f := l.file
	l.mu.RUnlock()
	if f == nil {
		return 0, ErrCut
	}
	n, err := f.ReadAt(p, off)
	if n == 0 && err != nil {
		err = fmt.Errorf("cannot read back a body that was spooled: %w", err)
	}
	return n, err
}

// move gives the memory up: the body goes to the spool, or its readers end.
func (l *Loan) move() {
	l.mu.RLock()
	body := l.body
	l.mu.RUnlock()
	if body == nil {
		return
	}
	f := l.budget.NewFile(0)
	if f != nil && f.Append(body) != nil {
		f.Release()
		f = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case f == nil:
		l.cut = true
		for r := range l.readers {
			l.budget.CountCut(CutMemory)
			if r.cut != nil {
				r.cut()
			}
		}
	case len(l.readers) == 0:
		// The last one has left meanwhile, and has given back what there was.
		f.Release()
		l.cut = true
	default:
		l.file = f
	}
	l.body = nil
}

// relieve moves loans out of memory while more is taken than there is.
func (b *Budget) relieve() {
	defer close(b.done)
	for {
		select {
		case <-b.stop:
			return
		case <-b.over:
		}
		for b.used.Load() > b.limit {
			b.mu.Lock()
			l := b.first
			b.mu.Unlock()
			if l == nil {
				break
			}
			l.move()
			l.count()
		}
	}
}
