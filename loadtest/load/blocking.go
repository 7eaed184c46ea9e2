package load

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"time"
)

// shard is a worker that several blocking connections share.
type shard struct {
	mu sync.Mutex // protects the worker
	*worker
}

// startBlocking starts a goroutine for each connection: what TLS needs, and systems without epoll. Go's timers make it late
// by up to a millisecond when it waits for a request to be due; the result shows by how much.
func startBlocking(r *run, wg *sync.WaitGroup) {
	shards := make([]*shard, len(r.workers))
	for i, w := range r.workers {
		shards[i] = &shard{worker: w}
	}
	var connections sync.WaitGroup
	for i := range r.opts.Connections {
		c := &blockingConn{shard: shards[i%len(shards)], run: r}
		connections.Go(c.do)
	}
	wg.Go(func() {
		connections.Wait()
		for _, w := range r.workers {
			w.rec.finish()
		}
	})
}

// blockingConn is one connection and the goroutine that uses it.
type blockingConn struct {
	shard *shard
	run   *run
	conn  net.Conn
	stop  func() bool // ends the watch over the run
	buf   []byte
	x     exchange
}

func (c *blockingConn) do() {
	c.buf = make([]byte, 32<<10)
	defer c.close()
	if c.run.opts.PerConnection != 1 {
		_ = c.connect() // what fails now is tried again with the first request, and counts then
	}
	c.run.ready.Done()
	<-c.run.begin
	for {
		t, ok := c.run.claim(c.run.now())
		if !ok {
			return
		}
		if !c.wait(t.due) {
			c.shard.mu.Lock()
			c.shard.rec.held = append(c.shard.rec.held, t.due)
			c.shard.mu.Unlock()
			return
		}
		c.exchange(t)
		if c.run.stopped() {
			return
		}
	}
}

// wait sleeps until a request is due. It is false when the run has ended.
func (c *blockingConn) wait(due time.Duration) bool {
	d := due - c.run.now()
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.run.ctx.Done():
		return false
	}
}

func (c *blockingConn) exchange(t ticket) {
	c.shard.mu.Lock()
	c.shard.begin(&c.x, t)
	c.shard.mu.Unlock()
	c.x.sent = c.run.now()
	for {
		rest, again, f := c.once()
		if again && !c.run.stopped() {
			c.shard.mu.Lock()
			c.shard.rec.reopened++
			c.shard.mu.Unlock()
			c.x.retried = true
			c.x.arm(c.run)
			continue
		}
		c.settle(rest, again, f)
		return
	}
}

// settle counts how an exchange ended. again: it would have been sent once more.
func (c *blockingConn) settle(rest []byte, again bool, f *fault) {
	now := c.run.now()
	if f != nil {
		c.close()
	}
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if (again || f != nil) && c.run.stopped() {
		c.shard.cutShort(&c.x, now) // the end of the run broke it, not the target
		return
	}
	if f != nil {
		c.shard.broke(&c.x, now, f)
		return
	}
	keep := c.shard.finish(&c.x, now)
	if len(rest) > 0 {
		c.shard.surplus(&c.x, now, rest)
	}
	if !keep || len(rest) > 0 {
		c.close()
	}
}

// once sends the request and reads the answer.
func (c *blockingConn) once() (rest []byte, again bool, f *fault) {
	if c.conn == nil {
		if f := c.connect(); f != nil {
			return nil, false, f
		}
	}
	c.extend()
	if _, err := c.conn.Write(c.x.out); err != nil {
		return c.ended(err)
	}
	for {
		n, err := c.conn.Read(c.buf)
		if n > 0 {
			rest, done, f := c.x.feed(c.buf[:n], c.run.now())
			if f != nil || done {
				return rest, false, f
			}
			c.extend() // a slow answer that progresses is no fault
		}
		if err != nil {
			return c.ended(err)
		}
	}
}

// extend gives the answer the timeout for its next progress, up to its limit.
func (c *blockingConn) extend() {
	c.conn.SetDeadline(c.run.start.Add(min(c.run.now()+c.run.opts.Timeout, c.run.limit(c.x.sent))))
}

func (c *blockingConn) ended(err error) (rest []byte, again bool, f *fault) {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		if now := c.run.now(); now >= c.run.limit(c.x.sent) {
			return nil, false, unfinished(&c.x, now)
		}
		return nil, false, faultf(FaultTimeout, "no progress for %v", c.run.opts.Timeout)
	}
	if errors.Is(err, io.EOF) {
		err = errEnd
	}
	_, again, f = c.x.closed(err) // before the connection's count of answers is gone
	c.close()
	return nil, again, f
}

func (c *blockingConn) connect() *fault {
	ctx, cancel := context.WithTimeout(c.run.ctx, c.run.opts.Timeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return &fault{FaultConnect, err.Error()}
	}
	c.conn = conn
	c.stop = context.AfterFunc(c.run.ctx, func() { conn.Close() })
	c.shard.mu.Lock()
	c.shard.rec.opened++
	c.shard.mu.Unlock()
	return nil
}

func (c *blockingConn) dial(ctx context.Context) (net.Conn, error) {
	var conn net.Conn
	var err error
	if dial := c.run.opts.Dial; dial != nil {
		conn, err = dial("tcp", c.run.addr.String())
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", c.run.addr.String())
	}
	u, _ := url.Parse(c.run.opts.Target) // checked before
	if err != nil || u.Scheme != "https" {
		return conn, err
	}
	cfg := &tls.Config{}
	if c.run.opts.TLS != nil {
		cfg = c.run.opts.TLS.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = hostOnly(c.run.opts.Host)
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}

func (c *blockingConn) close() {
	if c.conn != nil {
		c.stop()
		c.conn.Close()
		c.conn = nil
	}
	c.x.served = 0 // the next request is armed for a new connection, before that is opened
}
