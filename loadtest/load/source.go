package load

import (
	"sync/atomic"
	"time"

	"weir/loadtest/workload"
)

// ticket is the right and the duty to send one request.
type ticket struct {
	number int64
	due    time.Duration // from the start of the run
}

// source says what request a ticket stands for. A source belongs to one worker.
type source interface {
	fill(t ticket, r *request)
}

// mixSource draws from a catalogue.
type mixSource struct {
	picker   *workload.Picker
	mix      *workload.Mix
	versions *versions
	verify   bool
}

func (s *mixSource) fill(t ticket, r *request) {
	p := s.picker.Next(t.due)
	s.object(r, p.ID, p.Object)
	r.from, r.to = p.From, p.To
	if p.Conditional {
		r.version = s.versions.seen(p.ID)
	}
}

func (s *mixSource) object(r *request, id int64, o workload.Object) {
	r.object, r.size, r.verify = id, o.Size, s.verify
	r.target = s.mix.Catalogue.AppendTarget(r.target, id, o)
	r.floor = s.versions.floor(id, o.Tag)
}

// everySource asks for each object of a catalogue once, in order.
type everySource struct{ mixSource }

func (s *everySource) fill(t ticket, r *request) {
	s.object(r, t.number, s.mix.Catalogue.Object(t.number))
}

// pathSource asks for one target again and again.
type pathSource struct {
	target   string
	size     int64 // -1: not known
	versions *versions
	verify   bool
}

func (s *pathSource) fill(_ ticket, r *request) {
	r.target = append(r.target, s.target...)
	r.object, r.size, r.verify = 0, s.size, s.verify
	r.floor = s.versions.floor(0, -1)
}

// entrySource sends what a log says.
type entrySource struct {
	entries []Entry
	verify  bool
}

func (s *entrySource) fill(t ticket, r *request) {
	e := &s.entries[t.number]
	r.method = e.Method
	r.target = append(r.target, e.Target...)
	r.name = append(r.name, e.Name...)
	r.size, r.status, r.verify = e.Size, e.Status, s.verify
	if e.RangeEnd >= 0 {
		r.from, r.to = 0, e.RangeEnd
		r.status = 0
	}
}

// versions knows which version of each object is the oldest that may still be served, and which one was seen last. Objects are
// counted from 0. All of it may be used by many goroutines.
type versions struct {
	all     atomic.Uint64
	tags    []atomic.Uint64
	objects []atomic.Uint32 // nil: objects are not purged one by one
	last    []atomic.Uint32 // one more than the version seen last; 0: none was. nil: nobody asks
}

// floor is the oldest version of an object that is not stale. The scripted origin counts all its changes with one counter, so
// the youngest change that touches an object says its version.
func (v *versions) floor(object, tag int64) uint64 {
	f := v.all.Load()
	if tag >= 0 && tag < int64(len(v.tags)) {
		f = max(f, v.tags[tag].Load())
	}
	if object >= 0 && object < int64(len(v.objects)) {
		f = max(f, uint64(v.objects[object].Load()))
	}
	return f
}

// seen is the version of an object that was seen last, or -1.
func (v *versions) seen(object int64) int64 {
	if object < 0 || object >= int64(len(v.last)) {
		return -1
	}
	return int64(v.last[object].Load()) - 1
}

// see notes the version of an object.
func (v *versions) see(object int64, version uint64) {
	if object >= 0 && object < int64(len(v.last)) {
		v.last[object].Store(uint32(version) + 1)
	}
}

// raise notes that a purge is in effect for what was changed up to version.
func raise(a *atomic.Uint64, version uint64) {
	for {
		old := a.Load()
		if old >= version || a.CompareAndSwap(old, version) {
			return
		}
	}
}

func raise32(a *atomic.Uint32, version uint64) {
	for {
		old := a.Load()
		if uint64(old) >= version || a.CompareAndSwap(old, uint32(version)) {
			return
		}
	}
}
