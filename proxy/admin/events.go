package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Events is a stream that any number of clients follow with GET /v1/events, as
// Server-Sent Events. Whoever publishes never waits: a client that falls behind
// is cut off, and its library connects again.
type Events struct {
	mu     sync.Mutex // protects what follows
	subs   map[chan []byte]struct{}
	closed bool
}

const (
	// eventBuffer is how many events a client may be behind.
	eventBuffer = 1024
	// eventBeat keeps proxies from taking a quiet stream for a dead one.
	eventBeat = 15 * time.Second
	// eventWrite is how long a client may take to take an event.
	eventWrite = 30 * time.Second
)

// Publish tells every client. data becomes JSON.
func (e *Events) Publish(kind string, data any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.subs) == 0 {
		return
	}
	b, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("BUG: event %s: %v", kind, err))
	}
	text := fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, b)
	for c := range e.subs {
		select {
		case c <- text:
		default:
			delete(e.subs, c)
			close(c)
		}
	}
}

// Close ends every stream.
func (e *Events) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for c := range e.subs {
		close(c)
	}
	e.subs = nil
}

// subscribe returns a channel that is closed when the stream is over, nil when it
// is already.
func (e *Events) subscribe() chan []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	if e.subs == nil {
		e.subs = make(map[chan []byte]struct{})
	}
	c := make(chan []byte, eventBuffer)
	e.subs[c] = struct{}{}
	return c
}

func (e *Events) unsubscribe(c chan []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.subs, c)
}

// stream writes events to one client until it leaves or falls behind.
func (e *Events) stream(w http.ResponseWriter, req *http.Request) {
	c := e.subscribe()
	if c == nil {
		return
	}
	defer e.unsubscribe(c)
	rc := http.NewResponseController(w)
	write := func(b []byte) bool {
		// The server's own deadline is for answers that have an end.
		_ = rc.SetWriteDeadline(time.Now().Add(eventWrite))
		_, err := w.Write(b)
		return err == nil && rc.Flush() == nil
	}
	if !write([]byte(": weir events\n\n")) {
		return
	}
	beat := time.NewTicker(eventBeat)
	defer beat.Stop()
	for {
		select {
		case b, ok := <-c:
			if !ok || !write(b) {
				return
			}
		case <-beat.C:
			if !write([]byte(": still here\n\n")) {
				return
			}
		case <-req.Context().Done():
			return
		}
	}
}

// events answers GET /v1/events.
func (h *Handler) events(req *http.Request) reply {
	r := reply{status: http.StatusOK, contentType: "text/event-stream", stream: func(http.ResponseWriter) {}}
	if req.Method == http.MethodHead {
		return r
	}
	release, no := claim(req, streaming)
	if no != nil {
		return no.reply()
	}
	r.stream = func(w http.ResponseWriter) {
		defer release()
		h.o.Events.stream(w, req)
	}
	return r
}
