package script

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options of StartWith. The zero value is what Start uses.
type Options struct {
	Addr string           // loopback address to listen on; default 127.0.0.1:0
	TLS  *tls.Config      // serve TLS with this configuration, which is not changed
	Now  func() time.Time // for header-time and Recorded.At; default time.Now
}

// Origin is a running script. Close it.
type Origin struct {
	script   *Script
	opts     Options
	addr     string
	barriers map[string]*Barrier
	rec      *recorder
	wg       sync.WaitGroup // the accept loop and every connection

	mu       sync.Mutex // protects the fields below
	ln       net.Listener
	conns    map[*conn]struct{}
	accepted int
	served   []int // requests that each route has answered
	closed   bool
}

// Start runs s on a free port of 127.0.0.1.
func Start(s *Script) (*Origin, error) { return StartWith(s, Options{}) }

// StartWith runs s. The script must not be changed while the origin runs.
func StartWith(s *Script, opts Options) (*Origin, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("cannot start origin: %w", err)
	}
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	host, _, err := net.SplitHostPort(opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("cannot start origin: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("cannot start origin on %s: it is not loopback", opts.Addr)
	}
	o := &Origin{
		script:   s,
		opts:     opts,
		addr:     opts.Addr,
		barriers: map[string]*Barrier{},
		rec:      newRecorder(),
		conns:    map[*conn]struct{}{},
		served:   make([]int, len(s.Routes)),
	}
	for name := range s.barriers() {
		o.barriers[name] = NewBarrier(name)
	}
	if err := o.Up(); err != nil {
		return nil, err
	}
	return o, nil
}

// Addr is host:port, the same after Down and Up.
func (o *Origin) Addr() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.addr
}

// URL is http://host:port or https://host:port.
func (o *Origin) URL() string {
	if o.opts.TLS != nil {
		return "https://" + o.Addr()
	}
	return "http://" + o.Addr()
}

// Up listens again after Down, on the same address.
func (o *Origin) Up() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return errors.New("cannot bring origin up: it is closed")
	}
	if o.ln != nil {
		return nil
	}
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return fmt.Errorf("cannot bring origin up: %w", err)
	}
	o.ln = ln
	o.addr = ln.Addr().String()
	o.wg.Go(func() { o.accept(ln) })
	return nil
}

// Down stops listening and closes every connection: from now on connections are refused by the kernel.
func (o *Origin) Down() {
	o.mu.Lock()
	ln := o.ln
	o.ln = nil
	for c := range o.conns {
		c.shut()
	}
	o.mu.Unlock()
	if ln != nil {
		ln.Close()
	}
}

// Close stops everything and waits for it. It may be called twice.
func (o *Origin) Close() error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.Down()
	o.wg.Wait()
	return nil
}

func (o *Origin) barrier(name string) (*Barrier, error) {
	if b := o.barriers[name]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("no stall of the script is named %q", name)
}

// Release opens the barrier for those who are stalled there and for all who come later.
func (o *Origin) Release(name string) error {
	b, err := o.barrier(name)
	if err != nil {
		return fmt.Errorf("cannot release: %w", err)
	}
	b.Release()
	return nil
}

// Hold closes the barrier again for those who come from now on.
func (o *Origin) Hold(name string) error {
	b, err := o.barrier(name)
	if err != nil {
		return fmt.Errorf("cannot hold: %w", err)
	}
	b.Hold()
	return nil
}

// WaitStalled returns once an exchange is stalled at the barrier.
func (o *Origin) WaitStalled(ctx context.Context, name string) error {
	return o.WaitStalledN(ctx, name, 1)
}

// WaitStalledN returns once n exchanges are stalled at the barrier at the same time.
func (o *Origin) WaitStalledN(ctx context.Context, name string, n int) error {
	b, err := o.barrier(name)
	if err != nil {
		return fmt.Errorf("cannot wait: %w", err)
	}
	return b.WaitStalled(ctx, n)
}

// Requests returns a copy of what was recorded so far, in the order of arrival.
func (o *Origin) Requests() []Recorded { return o.rec.snapshot() }

// WaitRequests returns once n requests have arrived, whether or not they are answered.
func (o *Origin) WaitRequests(ctx context.Context, n int) error {
	return o.rec.wait(ctx, n, "requests", func(*Recorded) bool { return true })
}

// WaitDone returns once n exchanges have ended, however they ended.
func (o *Origin) WaitDone(ctx context.Context, n int) error {
	return o.rec.wait(ctx, n, "ended exchanges", func(r *Recorded) bool { return r.Outcome != OutcomeRunning })
}

// Connections is the number of connections accepted so far, those that were refused by the script included.
func (o *Origin) Connections() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.accepted
}

// Open is the number of connections that are open now.
func (o *Origin) Open() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.conns)
}

func (o *Origin) accept(ln net.Listener) {
	for {
		raw, err := ln.Accept()
		if err != nil {
			return // closed by Down; a loopback listener has no other lasting errors
		}
		o.mu.Lock()
		if o.ln != ln {
			o.mu.Unlock()
			raw.Close()
			return
		}
		o.accepted++
		if o.accepted <= o.script.Refuse {
			o.mu.Unlock()
			reset(raw)
			continue
		}
		c := newConn(o, raw, o.accepted)
		o.conns[c] = struct{}{}
		o.wg.Go(func() {
			c.serve()
			o.mu.Lock()
			delete(o.conns, c)
			o.mu.Unlock()
		})
		o.mu.Unlock()
	}
}

// pick chooses the answer and counts it. The route is -1 when none fits.
func (o *Origin) pick(req *http.Request) (a *Answer, route, answer int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.script.Routes {
		r := &o.script.Routes[i]
		if !r.fits(req) {
			continue
		}
		n := min(o.served[i], len(r.Answers)-1)
		o.served[i]++
		return &r.Answers[n], i, n
	}
	return &Answer{
		StatusLine: "HTTP/1.1 404 Not Found",
		Body:       Body{Text: "no route for " + req.Method + " " + req.RequestURI + "\n"},
	}, -1, 0
}

func (r *Route) fits(req *http.Request) bool {
	if r.Method != "*" && r.Method != req.Method {
		return false
	}
	if r.Prefix {
		if !strings.HasPrefix(req.RequestURI, r.Target) {
			return false
		}
	} else if req.RequestURI != r.Target {
		return false
	}
	for _, c := range r.Where {
		values := req.Header.Values(c.Name)
		if strings.EqualFold(c.Name, "Host") {
			values = []string{req.Host}
		}
		switch {
		case c.Absent && len(values) > 0:
			return false
		case !c.Absent && len(values) == 0:
			return false
		case c.Exact && strings.Join(values, ", ") != c.Value:
			return false
		}
	}
	return true
}
