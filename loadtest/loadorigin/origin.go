package loadorigin

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"weir/loadtest/replay"
)

// Options of New.
type Options struct {
	Rules     Rules
	Catalogue *replay.Catalogue // sizes and statuses of the URLs of a log; none by default
	Idle      time.Duration     // how long a connection may be silent, default 2 min
	Version   uint64            // of every body at first
}

// Origin answers requests. Its methods may be used by many goroutines.
type Origin struct {
	opts      Options
	plans     []plan
	catalogue *replay.Catalogue
	versions  versions
	begin     time.Time
	date      atomic.Pointer[dateText]

	requests    atomic.Int64
	notModified atomic.Int64
	errors      atomic.Int64
	bytes       atomic.Int64

	mu    sync.Mutex // protects the fields below
	conns map[net.Conn]struct{}
	over  bool
}

// New makes an origin. The error names every fault of the rules.
func New(opts Options) (*Origin, error) {
	if opts.Idle == 0 {
		opts.Idle = 2 * time.Minute
	}
	plans, err := opts.Rules.compile()
	if err != nil {
		return nil, err
	}
	o := &Origin{opts: opts, plans: plans, catalogue: opts.Catalogue, begin: time.Now(), conns: map[net.Conn]struct{}{}}
	o.versions.all = opts.Version
	o.versions.count.Store(opts.Version)
	return o, nil
}

// Serve answers what comes in on ln until ctx ends, then closes ln and every connection and returns when nothing runs any more.
func (o *Origin) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		ln.Close()
		o.closeAll()
	})
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				continue
			}
			o.closeAll()
			return err
		}
		if !o.keep(conn) {
			conn.Close()
			continue
		}
		wg.Go(func() {
			o.serveConn(ctx, conn)
			o.forget(conn)
		})
	}
}

func (o *Origin) keep(conn net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return false
	}
	o.conns[conn] = struct{}{}
	return true
}

func (o *Origin) forget(conn net.Conn) {
	conn.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, conn)
}

func (o *Origin) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	for conn := range o.conns {
		conn.Close()
	}
}

// Bump makes a new version of one URL, of all with a tag, or of all, and returns it.
func (o *Origin) Bump(target, tag string, all bool) uint64 {
	if target != "" {
		target = replay.Canonical(target)
	}
	return o.versions.change(target, tag, all)
}

// Stats is what an origin was asked for. Requests to the paths that steer it are not in it.
type Stats struct {
	Requests    int64  `json:"requests"`
	NotModified int64  `json:"not_modified"` // answered 304
	Errors      int64  `json:"errors"`       // that the rules asked for
	Bytes       int64  `json:"bytes"`        // of bodies
	Version     uint64 `json:"version"`      // the number of the last change
}

// Stats returns the counts so far.
func (o *Origin) Stats() Stats {
	return Stats{
		Requests: o.requests.Load(), NotModified: o.notModified.Load(), Errors: o.errors.Load(), Bytes: o.bytes.Load(),
		Version: o.versions.count.Load(),
	}
}

// dateText is the Date field of one second.
type dateText struct {
	second int64
	text   string
}

// dateField is made anew once a second.
func (o *Origin) dateField() string {
	now := time.Now()
	if d := o.date.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &dateText{second: now.Unix(), text: now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
	o.date.Store(d)
	return d.text
}
