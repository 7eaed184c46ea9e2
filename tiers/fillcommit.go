package tiers

import (
	"errors"
	"fmt"

	"weir/policy"
	"weir/tiers/disk"
)

// Commit publishes o, whose body CopyFrom has read to its proven end, and lets
// the readers see that end. It sets o's Hash, Text, Length and Body; o must not
// be changed afterwards. Visible is called when Get finds the object and before
// any reader is told the end. A body that cannot be stored gives the reason;
// its readers get it whole all the same.
func (f *Fill) Commit(o *Object, visible func()) policy.Reason {
	if f.length >= 0 && f.n != f.length {
		panic(fmt.Sprintf("BUG: commit of %d bytes of a body of %d", f.n, f.length))
	}
	f.ended = true
	defer f.release()
	defer f.finish(nil)
	o.Hash, o.Text, o.Length = f.hash, f.text, f.n
	if f.mode == fillSpool {
		// What the commit needs of memory is not asked of the budget, so few do it at
		// a time.
		f.store.unspooling <- struct{}{}
		defer func() { <-f.store.unspooling }()
	}
	g := f.store.guards.of(&f.hash)
	g.begin()
	defer g.end()
	switch f.mode {
	case fillMemory:
		o.Body = f.join()
		return f.commitMemory(o, visible)
	case fillSpill:
		return f.commitDisk(f.writer, o, visible)
	case fillSpool:
		return f.commitSpooled(o, visible)
	case fillPass:
	}
	if f.writer != nil {
		f.writer.Abort()
	}
	return f.reason
}

func (f *Fill) commitMemory(o *Object, visible func()) policy.Reason {
	if f.store.putRAM(o) {
		visible()
		f.lend(o)
		// RAM has it: nobody need wait for the disk.
		f.finish(nil)
		return f.store.putDisk(o, true)
	}
	reason := f.store.putDisk(o, false)
	if reason == policy.ReasonNone {
		visible()
	}
	return reason
}

func (f *Fill) commitDisk(w *disk.Writer, o *Object, visible func()) policy.Reason {
	if reason := f.store.commitDisk(w, o); reason != policy.ReasonNone {
		return reason
	}
	visible()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.budget.Give(f.buffer)
	f.buffer = 0
	return policy.ReasonNone
}

// commitSpooled brings a body that is in the spool to the tier that is to have it. The
// readers stay with the spool.
func (f *Fill) commitSpooled(o *Object, visible func()) policy.Reason {
	if f.n <= f.store.ramMax {
		body := make([]byte, f.n)
		err := f.readSpool(func(at int64, p []byte) error { copy(body[at:], p); return nil })
		if err != nil {
			return policy.ReasonMemory
		}
		o.Body = body
		return f.commitMemory(o, visible)
	}
	w, reason := f.newWriter()
	if reason != policy.ReasonNone {
		return reason
	}
	if err := f.readSpool(func(_ int64, p []byte) error { return w.Append(p) }); err != nil {
		w.Abort()
		if errors.Is(err, errSpool) {
			return policy.ReasonMemory
		}
		return f.store.writeTrouble(err)
	}
	return f.commitDisk(w, o, visible)
}

var errSpool = errors.New("cannot read the spool")

// readSpool hands the body to take, piece by piece.
func (f *Fill) readSpool(take func(at int64, p []byte) error) error {
	buf := make([]byte, fillChunk)
	for at := int64(0); at < f.n; {
		n, err := f.file.ReadAt(buf, at)
		if n == 0 {
			return fmt.Errorf("%w: %w", errSpool, err)
		}
		if err := take(at, buf[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// lend makes the readers read what RAM has now, so that it counts once RAM forgets it
// and they are still there.
func (f *Fill) lend(o *Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o.Length <= wholeMax || f.file != nil {
		return
	}
	f.loan = f.store.newLoan(&f.hash, o.Body)
	for _, r := range f.readers {
		r.lent = f.store.lend(&f.hash, o.Body, f.loan, min(r.pos, f.n), f.n, nil)
	}
	f.chunks = nil
	f.giveLocked(f.mem)
}

// join returns the body in one piece, which takes the place of the chunks. Only
// the owner calls it, at the end.
func (f *Fill) join() []byte {
	if len(f.chunks) == 0 {
		return []byte{}
	}
	if c := f.chunks[0]; len(f.chunks) == 1 && int64(len(c.buf)) == f.n {
		return c.buf[:f.n:f.n]
	}
	f.mu.Lock()
	f.takeLocked(f.n)
	f.mu.Unlock()
	body := make([]byte, 0, f.n)
	for _, c := range f.chunks {
		body = append(body, c.buf[:min(int64(len(c.buf)), f.n-c.off)]...)
	}
	f.mu.Lock()
	f.chunks = []fillPiece{{buf: body}}
	f.giveLocked(f.mem - f.n)
	f.mu.Unlock()
	return body
}
