package metrics

import (
	"context"
	"sync"
	"time"
)

const (
	offloadSpan = 5 * time.Minute
	// offloadStep bounds the error of the window: it covers between
	// offloadSpan-offloadStep and offloadSpan.
	offloadStep = 10 * time.Second
)

// offloadSample is what had been counted at one moment.
type offloadSample struct {
	at                          time.Time
	clientRequests, clientBytes uint64
	originRequests, originBytes uint64
}

// offloadWindow remembers samples for offloadSpan.
type offloadWindow struct {
	now func() time.Time

	mu sync.Mutex // protects the fields below
	// samples are in order of time. The first may be older than offloadSpan
	// until the next one is taken.
	samples []offloadSample
}

func newOffloadWindow(now func() time.Time) *offloadWindow {
	// The first sample is all zeros: a young process reports since its start.
	return &offloadWindow{now: now, samples: []offloadSample{{at: now()}}}
}

// sample remembers t and forgets what has left the window.
func (w *offloadWindow) sample(t offloadSample) {
	t.at = w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropOldLocked(t.at)
	w.samples = append(w.samples, t)
}

// dropOldLocked forgets samples older than the span. It keeps the youngest of
// them when nothing else is left: after a pause of the process that is the best
// base there is.
func (w *offloadWindow) dropOldLocked(now time.Time) {
	n := 0
	for n < len(w.samples)-1 && now.Sub(w.samples[n].at) > offloadSpan {
		n++
	}
	w.samples = append(w.samples[:0], w.samples[n:]...)
}

// ratios compares t with the oldest sample of the window.
func (w *offloadWindow) ratios(t offloadSample) (requests, bytes float64) {
	w.mu.Lock()
	w.dropOldLocked(w.now())
	base := w.samples[0]
	w.mu.Unlock()
	return saved(t.clientRequests-base.clientRequests, t.originRequests-base.originRequests),
		saved(t.clientBytes-base.clientBytes, t.originBytes-base.originBytes)
}

// saved returns 1 - origin/client. Without client traffic there is nothing to
// save, and 0 is the value that raises no false hope. It is not cut off at 0:
// an origin that gets more than clients ask for is worth seeing.
func saved(client, origin uint64) float64 {
	if client == 0 {
		return 0
	}
	return 1 - float64(origin)/float64(client)
}

// Offload returns the share of client requests and of client body bytes that
// cost the origins nothing over the last five minutes (or since New, when that
// is shorter). A request counts when it is over, on either side.
func (r *Registry) Offload() (requests, bytes float64) {
	return r.offload.ratios(r.totals())
}

// sampleLoop is the goroutine between Start and Close.
type sampleLoop struct {
	stop context.CancelFunc
	done chan struct{}
}

// Start begins sampling for the offload ratios. It is a no-op when already started.
func (r *Registry) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loop.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	r.loop = sampleLoop{stop: stop, done: make(chan struct{})}
	go func(done chan struct{}) {
		defer close(done)
		t := time.NewTicker(offloadStep)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				r.offload.sample(r.totals())
			}
		}
	}(r.loop.done)
}

// Close ends what Start began and returns when it has ended. The page can
// still be written.
func (r *Registry) Close() {
	r.mu.Lock()
	loop := r.loop
	r.loop = sampleLoop{}
	r.mu.Unlock()
	if loop.stop != nil {
		loop.stop()
		<-loop.done
	}
}
