package tiers

import (
	"time"

	"weir/policy"
	"weir/tiers/disk"
)

// room returns where the next bytes go; nil when the stated length is full. It waits
// for readers where there is nothing else left to do.
func (f *Fill) room() ([]byte, error) {
	if f.length >= 0 && f.n >= f.length {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := len(f.chunks) - 1; last >= 0 {
		c := f.chunks[last]
		if used := f.n - c.off; used < int64(len(c.buf)) {
			return c.buf[used:], nil
		}
	}
	for {
		if size, ok := f.growLocked(); ok {
			buf := f.spare
			if f.spare = nil; int64(len(buf)) != size {
				buf = make([]byte, size)
			}
			f.chunks = append(f.chunks, fillPiece{off: f.n, buf: buf})
			return buf, nil
		}
		switch f.mode {
		case fillMemory:
			f.mu.Unlock()
			reason := f.leaveMemory()
			f.mu.Lock()
			if reason != policy.ReasonNone {
				f.passLocked(reason)
			}
		case fillSpill, fillSpool:
			// All of it is elsewhere.
			f.dropLocked(f.n)
		case fillPass:
			if err := f.makeWayLocked(); err != nil {
				return nil, err
			}
		}
	}
}

// growLocked takes what the next chunk needs, and returns its size. Without any chunk
// there is always a small one.
func (f *Fill) growLocked() (size int64, ok bool) {
	size = fillFree
	switch f.mode {
	case fillMemory:
		switch {
		case f.length >= 0:
			size = f.length
		case f.n == 0:
			size = fillFirst
		default:
			// Doubling keeps the number of chunks, and the waste, small.
			size = min(f.n, fillChunk)
		}
	case fillSpill:
		size = fillChunk
	case fillPass:
		if f.unreadLocked() >= passWindow {
			return 0, false
		}
	case fillSpool:
	}
	if f.length >= 0 {
		size = min(size, f.length-f.n)
	}
	if f.tryLocked(size) {
		return size, true
	}
	if size = min(size, fillFree); f.mode == fillSpill && f.tryLocked(size) {
		return size, true
	}
	return 0, false
}

// tryLocked takes size bytes of memory, if the budget has room for what is beyond
// the free chunk.
func (f *Fill) tryLocked(size int64) bool {
	more := max(f.mem+size-fillFree, 0) - f.taken
	if more > 0 {
		if !f.budget.TryTake(more) {
			return false
		}
		f.taken += more
	}
	f.mem += size
	return true
}

// takeLocked is tryLocked for what is needed for a moment and cannot wait.
func (f *Fill) takeLocked(size int64) {
	f.mem += size
	if more := max(f.mem-fillFree, 0) - f.taken; more > 0 {
		f.budget.Take(more)
		f.taken += more
	}
}

// giveLocked gives size bytes of memory back.
func (f *Fill) giveLocked(size int64) {
	f.mem -= size
	if less := f.taken - max(f.mem-fillFree, 0); less > 0 {
		f.budget.Give(less)
		f.taken -= less
	}
}

// leaveMemory moves the fill from memory to the disk tier, or to the spool where that
// is not possible and it may still be stored from there. The reason is why neither is.
func (f *Fill) leaveMemory() policy.Reason {
	reason := f.spill()
	if reason == policy.ReasonNone {
		return reason
	}
	limit := f.store.ramMax
	if reason == policy.ReasonMemory {
		limit = f.store.MaxObject()
	}
	if f.length > limit || f.n > limit || !f.openSpool() {
		return reason
	}
	return policy.ReasonNone
}

// newWriter begins a body in the disk tier, where it may be stored.
func (f *Fill) newWriter() (*disk.Writer, policy.Reason) {
	d := f.store.diskStore()
	if d == nil {
		return nil, policy.ReasonTooLarge
	}
	if limit := f.store.diskLimit(d); f.length > limit || f.n > limit {
		return nil, policy.ReasonTooLarge
	}
	if !f.store.admission.admits(f.policy, &f.hash) {
		return nil, policy.ReasonNotAdmitted
	}
	w, err := d.In(f.policy).NewWriter(f.hash, []byte(f.text))
	if err != nil {
		return nil, f.store.writeTrouble(err)
	}
	return w, policy.ReasonNone
}

// spill moves the fill from memory to disk. The reason is why it cannot, or
// could only in part.
func (f *Fill) spill() policy.Reason {
	d := f.store.diskStore()
	if d == nil {
		return policy.ReasonTooLarge
	}
	// The writer has a chunk in memory until the commit.
	if !f.budget.TryTake(d.ChunkSize()) {
		return policy.ReasonMemory
	}
	w, reason := f.newWriter()
	if reason != policy.ReasonNone {
		f.budget.Give(d.ChunkSize())
		return reason
	}
	f.buffer = d.ChunkSize()
	// The writer's own reference goes with Commit or Abort; this one is for the
	// readers, and goes with the last of them.
	w.Retain()
	var err error
	for _, c := range f.chunks {
		if err = w.Append(c.buf[:min(int64(len(c.buf)), f.n-c.off)]); err != nil {
			break
		}
	}
	f.mu.Lock()
	f.mode, f.writer = fillSpill, w
	f.mu.Unlock()
	if err != nil {
		return f.store.writeTrouble(err)
	}
	return policy.ReasonNone
}

func (f *Fill) appendDisk(p []byte) policy.Reason {
	if d := f.store.diskStore(); d == nil || f.n > f.store.diskLimit(d) {
		return policy.ReasonTooLarge
	}
	if err := f.writer.Append(p); err != nil {
		return f.store.writeTrouble(err)
	}
	return policy.ReasonNone
}

// openSpool moves the fill from memory to the spool, and reports whether it could.
func (f *Fill) openSpool() bool {
	file := f.budget.NewFile(0)
	if file == nil {
		return false
	}
	for _, c := range f.chunks {
		if p := c.buf[:min(int64(len(c.buf)), f.n-c.off)]; len(p) > 0 && file.Append(p) != nil {
			file.Release()
			return false
		}
	}
	f.mu.Lock()
	f.mode, f.file = fillSpool, file
	f.mu.Unlock()
	return true
}

func (f *Fill) appendSpool(p []byte) policy.Reason {
	if f.n > f.store.MaxObject() {
		return policy.ReasonTooLarge
	}
	if f.file.Append(p) != nil {
		return policy.ReasonMemory
	}
	return policy.ReasonNone
}

// trimLocked forgets chunks that late readers will read from disk or from the spool,
// or that nobody but a laggard wants.
func (f *Fill) trimLocked() {
	switch f.mode {
	case fillMemory:
	case fillSpill:
		keep := f.n - fillWindow*fillChunk
		if f.budget.Tight() {
			keep = f.n
		}
		f.dropLocked(keep)
	case fillSpool:
		f.dropLocked(f.n)
	case fillPass:
		f.trimPassLocked()
	}
}

// trimPassLocked is trimLocked for a body that is passed through. What no reader has
// read yet is in memory or in the file, and what was in memory when storing failed may
// be nowhere else.
func (f *Fill) trimPassLocked() {
	slow, _ := f.slowestLocked()
	keep := f.n
	if slow != nil {
		keep, f.pace = slow.pos, max(f.pace, slow.pos)
	}
	if f.file != nil {
		f.file.Discard(keep)
		keep = max(keep, f.file.Size())
	}
	if !f.relay && !f.budget.Tight() {
		// For those who come later.
		keep = min(keep, f.n-passWindow)
	}
	f.dropLocked(keep)
}

// dropLocked forgets the chunks that end at keep or before, and not the last one
// unless it is full.
func (f *Fill) dropLocked(keep int64) {
	i := 0
	for i < len(f.chunks) && f.chunks[i].off+int64(len(f.chunks[i].buf)) <= min(keep, f.n) {
		i++
	}
	if i == 0 {
		return
	}
	var size int64
	for _, c := range f.chunks[:i] {
		size += int64(len(c.buf))
		if len(c.buf) == fillFree && !f.done && f.lentBelowLocked(c.off+fillFree) {
			f.spare = c.buf
		}
	}
	// Copied, so that the forgotten chunks can be collected.
	f.chunks = append(make([]fillPiece, 0, len(f.chunks)-i+2), f.chunks[i:]...)
	f.giveLocked(size)
}

// lentBelowLocked reports whether no reader borrows bytes below off.
func (f *Fill) lentBelowLocked(off int64) bool {
	for _, r := range f.readers {
		if r.held < off {
			return false
		}
	}
	return true
}

// unreadLocked is how many bytes in memory the slowest reader has not read, of a body
// that is passed through.
func (f *Fill) unreadLocked() int64 {
	slow, _ := f.slowestLocked()
	if slow == nil {
		return f.n - max(f.pace, f.spooledLocked())
	}
	return f.n - max(slow.pos, f.spooledLocked())
}

// spooledLocked is up to where the spool has the body.
func (f *Fill) spooledLocked() int64 {
	if f.file == nil {
		return 0
	}
	return f.file.Size()
}

// makeWayLocked makes room in memory for more of a body that is passed through: it
// forgets what was read, or moves what was not to the spool, or waits for readers.
func (f *Fill) makeWayLocked() error {
	if f.cut != nil {
		return f.cut
	}
	before := f.mem
	f.trimLocked()
	slow, caughtUp := f.slowestLocked()
	if slow == nil && !f.anyAheadLocked() {
		return ErrNoReaders
	}
	if f.unreadLocked() < passWindow {
		// It is the budget that has no room.
		keep := f.n
		if slow != nil {
			keep = max(slow.pos, f.spooledLocked())
		}
		f.dropLocked(keep)
	}
	switch {
	case slow == nil:
		// All wait for a later part: the owner goes there.
		f.pace = f.n
	case f.mem < before && f.unreadLocked() < passWindow:
	case f.toSpoolLocked():
	case slow.pos < f.n:
		f.awaitLocked(slow, caughtUp)
	}
	return nil
}

// toSpoolLocked moves what is in memory and was not read to the spool, as far as that
// has room, and reports whether it moved anything.
func (f *Fill) toSpoolLocked() bool {
	at, moved := f.n, false
	if len(f.chunks) > 0 {
		at = f.chunks[0].off
	}
	if f.file != nil && f.file.Size() < at {
		// What lies between was read from memory: a file has no gap.
		f.file.Release()
		f.file = nil
	}
	if f.file == nil {
		if f.file = f.budget.NewFile(at); f.file == nil {
			return false
		}
		moved = len(f.chunks) == 0
	}
	file := f.file
	at = file.Size()
	f.mu.Unlock()
	defer f.mu.Lock()
	for _, c := range f.chunks {
		end := min(c.off+int64(len(c.buf)), f.n)
		if end <= at {
			continue
		}
		if file.Append(c.buf[max(at-c.off, 0):end-c.off]) != nil {
			break
		}
		moved = true
	}
	return moved
}

// slowestLocked is the reader that has come least far, and whether another has
// read everything and waits. Those that wait for a later part, of which nothing
// has arrived, and those that were given up set no pace.
func (f *Fill) slowestLocked() (slow *FillReader, caughtUp bool) {
	for _, r := range f.readers {
		if r.lost || r.pos > f.n {
			continue
		}
		caughtUp = caughtUp || r.pos == f.n
		if slow == nil || r.pos < slow.pos {
			slow = r
		}
	}
	return slow, caughtUp
}

func (f *Fill) anyAheadLocked() bool {
	for _, r := range f.readers {
		if !r.lost && r.pos > f.n {
			return true
		}
	}
	return false
}

// awaitLocked waits for a reader to move. While another waits for more, the
// slow one has passStall to do so, and is given up then.
func (f *Fill) awaitLocked(slow *FillReader, caughtUp bool) {
	if f.waits != nil {
		f.waits(true)
		defer f.waits(false)
	}
	if !caughtUp {
		f.space.Wait()
		return
	}
	at, stalled := slow.pos, false
	timer := time.AfterFunc(f.store.stall, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		stalled = true
		f.space.Signal()
	})
	f.space.Wait()
	timer.Stop()
	if stalled && slow.pos == at {
		slow.lost = true
	}
}
