package script

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Outcome is how an exchange ended.
type Outcome uint8

const (
	// OutcomeRunning has not ended yet.
	OutcomeRunning Outcome = iota
	// OutcomeDone was written as the script says.
	OutcomeDone
	// OutcomeCut was cut by the script.
	OutcomeCut
	// OutcomeReset was reset by the script.
	OutcomeReset
	// OutcomeStallExpired was cut since nobody released a stall: a fault of the scenario.
	OutcomeStallExpired
	// OutcomePeerGone lost its connection to the other side.
	OutcomePeerGone
	// OutcomeMalformed was no request that net/http.ReadRequest takes.
	OutcomeMalformed
	// OutcomeClosed was ended by Down or Close.
	OutcomeClosed
)

func (o Outcome) String() string {
	switch o {
	case OutcomeRunning:
		return "running"
	case OutcomeDone:
		return "done"
	case OutcomeCut:
		return "cut"
	case OutcomeReset:
		return "reset"
	case OutcomeStallExpired:
		return "stall expired"
	case OutcomePeerGone:
		return "peer gone"
	case OutcomeMalformed:
		return "malformed"
	case OutcomeClosed:
		return "closed"
	}
	return "unknown"
}

// Recorded is one request that reached the origin, and what became of it. The caller owns it; Header is shared and must
// not be changed.
type Recorded struct {
	N      int // from 1, in the order in which the heads were complete
	Conn   int // from 1, the accepted connection that brought it
	At     time.Time
	Method string
	Target string // raw
	Proto  string
	Host   string
	Header http.Header // without Host

	// RawHead is the head as it came, up to and with the empty line; empty when it was larger than 64 KiB.
	RawHead string

	Route  int // index into Script.Routes, -1 when none fitted
	Answer int // index into the route's answers

	// Of the request body, as far as it was read. The sum is set when the body was read to its end.
	BodyLen    int64
	BodySHA256 string // hex

	Sent    int64   // response body bytes given to the connection, without framing
	Outcome Outcome // and Err says more, where there is more to say
	Err     string
}

// recorder is the list of all requests.
type recorder struct {
	mu      sync.Mutex // protects the fields below
	list    []*Recorded
	changed chan struct{} // closed and replaced at every change
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{})} }

func (r *recorder) add(rec *Recorded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.N = len(r.list) + 1
	r.list = append(r.list, rec)
	r.notifyLocked()
}

// update changes a record that was added.
func (r *recorder) update(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	r.notifyLocked()
}

func (r *recorder) notifyLocked() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) snapshot() []Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Recorded, len(r.list))
	for i, rec := range r.list {
		out[i] = *rec
	}
	return out
}

// wait returns once n records fulfil ok.
func (r *recorder) wait(ctx context.Context, n int, what string, ok func(*Recorded) bool) error {
	for {
		r.mu.Lock()
		count := 0
		for _, rec := range r.list {
			if ok(rec) {
				count++
			}
		}
		changed := r.changed
		r.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("cannot see %d %s (%d seen): %w", n, what, count, ctx.Err())
		}
	}
}
