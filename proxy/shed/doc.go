// Package shed decides which requests are turned away before they go to an origin,
// so that what can be answered from the store is answered whatever the others wait for.
//
// What it guarantees:
//   - at most three quarters of the client connections wait for origins (Room);
//   - when the machine has more to do than it can, the share of requests that go to
//     origins falls until goroutines get a processor in time again (Overload);
//   - neither costs a request that is answered from the store anything.
//
// What it refuses: to turn away what is stored. To refuse a request costs about as
// much as to answer it from RAM, so nothing would be gained.
package shed

import "sync/atomic"

// Room bounds how many requests wait for origins.
type Room struct {
	max     int64
	waiting atomic.Int64
}

// NewRoom returns the room for the requests of so many connections; 0 is without bound.
func NewRoom(connections int) *Room {
	r := &Room{}
	if connections > 0 {
		r.max = max(1, int64(connections)-(int64(connections)+3)/4)
	}
	return r
}

// Enter counts a request that is going to wait, until Leave. It reports false where as
// many wait as may: then Leave must not be called.
func (r *Room) Enter() bool {
	if n := r.waiting.Add(1); r.max > 0 && n > r.max {
		r.waiting.Add(-1)
		return false
	}
	return true
}

// Leave ends what Enter began.
func (r *Room) Leave() { r.waiting.Add(-1) }

// Waiting returns how many requests wait.
func (r *Room) Waiting() int64 { return r.waiting.Load() }
