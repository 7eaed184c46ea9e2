package tiers

import (
	"sync"

	"weir/policy"
)

// behind is what RAM has and the disk is yet to be told: the disk is written by a
// goroutine of the store, behind the request that brought the object. Of several
// objects of one key only the last is written, so what is renewed all the time
// costs no write each time. It is bounded: what finds no room is written by
// whoever brings it, as before.
//
// The losing interleavings, all of which end with the disk holding what is newest:
// a later put that writes the disk itself, and a delete, take the job away under
// the key's guard, under which it would be written. A lookup that finds RAM to have
// forgotten the object gets it from here instead of something older from disk. Of
// two puts of a key whose jobs come in the wrong order the earlier sees that RAM
// has something else.
type behind struct {
	mu   sync.Mutex // protects what follows
	jobs map[policy.Hash]*job
	// queue has the keys in order. What a key stands for may have been dropped.
	queue  []policy.Hash
	bytes  int64
	limit  int64
	closed bool

	wake chan struct{}
	done chan struct{}
}

// job is what the disk is yet to be told about one key. It holds one begin of the
// key's guard.
type job struct {
	o *Object
	// old is what o renews, where the disk has its body already; nil: all of o is
	// written.
	old *Object
	r   renewal
	// writing is set once the disk is being told; protected by behind.mu.
	writing bool
}

const (
	// behindJobs and behindBytes bound what waits for the disk, and what a crash can
	// cut off: some milliseconds of misses.
	behindJobs  = 512
	behindBytes = 8 << 20
)

// init starts the writer, for a RAM tier of that size. Objects stay in a window of a
// thirty-second of it for longer than in here.
func (b *behind) init(s *Store, ramSize int64) {
	b.jobs = make(map[policy.Hash]*job)
	b.limit = min(behindBytes, ramSize/64)
	b.wake, b.done = make(chan struct{}, 1), make(chan struct{})
	go b.write(s)
}

// add takes o, which was published in RAM, to be written to disk, and its begin with
// it; old is what it renews where the disk has the body already, with what was
// found of that. It reports false, and nothing has happened, when there is no room.
func (b *behind) add(s *Store, o, old *Object, r renewal) bool {
	g := s.guards.of(&o.Hash)
	b.mu.Lock()
	was := b.jobs[o.Hash]
	grown := jobSize(o)
	if was != nil {
		grown -= jobSize(was.o)
	}
	switch now := s.ram.current(&o.Hash); {
	case b.jobs == nil, b.closed, b.bytes+grown > b.limit, len(b.queue) >= behindJobs:
		b.mu.Unlock()
		return false
	case now != nil && now != o:
		// A later one is coming, or has come.
		b.mu.Unlock()
		g.end()
		return true
	}
	j := &job{o: o, old: old, r: r}
	switch {
	case old == nil, was == nil, was.writing:
	case was.old != nil && was.o.sharesBody(old):
		// The disk was not told of was, so what it has is what was was to renew.
		j.old, j.r = was.old, was.r
	default:
		j.old = nil
	}
	b.jobs[o.Hash] = j
	if was == nil || was.writing {
		b.queue = append(b.queue, o.Hash)
	}
	b.bytes += grown
	b.mu.Unlock()
	if was != nil {
		g.end()
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// jobSize is what a job pins, in bytes.
func jobSize(o *Object) int64 { return 1<<10 + o.Length }

// get returns the object that the disk is yet to be told of, or nil.
func (b *behind) get(h *policy.Hash) *Object {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j := b.jobs[*h]; j != nil {
		return j.o
	}
	return nil
}

// waiting returns the key's job, or nil.
func (b *behind) waiting(h *policy.Hash) *job {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.jobs[*h]
}

// drop takes the job away, unless another one has its place. It reports whether it
// did, and the caller ends the job's begin.
func (b *behind) drop(j *job) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.jobs[j.o.Hash] != j {
		return false
	}
	delete(b.jobs, j.o.Hash)
	b.bytes -= jobSize(j.o)
	return true
}

// next returns the key that has waited longest, and false when there is none.
func (b *behind) next() (h policy.Hash, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return h, false
	}
	h = b.queue[0]
	if b.queue = b.queue[1:]; len(b.queue) == 0 {
		b.queue = nil
	}
	return h, true
}

func (b *behind) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// write does the jobs, until close and to the last one.
func (b *behind) write(s *Store) {
	defer close(b.done)
	for {
		h, ok := b.next()
		switch {
		case ok:
			b.writeOne(s, &h)
		case b.isClosed():
			return
		default:
			<-b.wake
		}
	}
}

func (b *behind) writeOne(s *Store, h *policy.Hash) {
	g := s.guards.of(h)
	g.mu.Lock()
	defer g.mu.Unlock()
	b.mu.Lock()
	j := b.jobs[*h]
	if j != nil {
		j.writing = true
	}
	b.mu.Unlock()
	if j == nil {
		return // it was superseded
	}
	s.writeJobLocked(j)
	// While it was being written it could be looked up here, and be followed by
	// another one, which is in the queue.
	if b.drop(j) {
		g.end()
	}
}

// writeJobLocked tells the disk. The caller holds the guard.
func (s *Store) writeJobLocked(j *job) {
	d := s.disk.Load()
	switch {
	case d == nil:
		s.forgetLater(&j.o.Hash)
	case j.old != nil:
		if home := s.ram.homeOf(j.o); home != nil {
			j.r.home = home
		}
		s.refreshDiskLocked(d, j.old, j.o, j.r)
	default:
		s.putDiskLocked(d, j.o, true)
	}
}

// close waits until the disk has been told everything. Add refuses from now on.
func (b *behind) close() {
	if b.done == nil {
		return
	}
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	<-b.done
}

// supersede returns what takes away the job of the key that is waiting now, if there
// is one: it is called when the disk was told something newer. The caller holds the
// guard meanwhile. A job that was added since is newer still, and stays.
func (s *Store) supersede(g *guard, h *policy.Hash) func() {
	if g.pending.Load() == 0 {
		return func() {}
	}
	j := s.behind.waiting(h)
	if j == nil {
		return func() {}
	}
	return func() {
		if s.behind.drop(j) {
			g.end()
		}
	}
}
