package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// manner is how a server of the origin answers.
type manner uint8

const (
	good    manner = iota
	hang           // reads the request and never answers
	reset          // resets the connection in place of an answer
	trickle        // sends a little at a time
	stall          // stops in the middle of the answer
	slow           // answers after a second or so
	lie            // frames its answers wrongly
	garbage        // sends what is no HTTP
	errs           // answers 503
)

// gate is a listener of a server of the origin, and the place where that server goes wrong: whoever serves it knows
// nothing of faults. It can be shut (connections are refused) while its server goes on.
type gate struct {
	addr   string
	accept chan net.Conn
	manner atomic.Uint32
	busy   atomic.Int64 // answers that are being waited for or sent
	asked  atomic.Int64 // requests, roughly: what began to be answered
	most   atomic.Int64 // the highest that busy was
	turn   atomic.Uint32

	mu     sync.Mutex // protects the fields below
	ln     net.Listener
	conns  map[*gateConn]struct{}
	closed bool
	done   chan struct{}
}

func newGate() (*gate, error) {
	g := &gate{addr: "127.0.0.1:0", accept: make(chan net.Conn), conns: make(map[*gateConn]struct{}), done: make(chan struct{})}
	if err := g.open(); err != nil {
		return nil, err
	}
	g.addr = g.ln.Addr().String()
	return g, nil
}

// open listens again.
func (g *gate) open() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ln != nil || g.closed {
		return nil
	}
	ln, err := net.Listen("tcp", g.addr)
	if err != nil {
		return fmt.Errorf("cannot open a server of the origin: %w", err)
	}
	g.ln = ln
	go g.take(ln)
	return nil
}

func (g *gate) take(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		gc := &gateConn{Conn: c, gate: g, ended: make(chan struct{})}
		g.mu.Lock()
		g.conns[gc] = struct{}{}
		g.mu.Unlock()
		select {
		case g.accept <- gc:
		case <-g.done:
			_ = gc.Close()
			return
		}
	}
}

// shut refuses connections from now on; those that are open go on, or are reset.
func (g *gate) shut(cut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ln != nil {
		_ = g.ln.Close()
		g.ln = nil
	}
	if cut {
		for c := range g.conns {
			c.abort()
		}
	}
}

// be sets the manner of all answers that begin from now on. What hangs by an earlier one goes on hanging until weir
// gives it up.
func (g *gate) be(m manner) { g.manner.Store(uint32(m)) }

// connections is how many are open.
func (g *gate) connections() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}

// Accept, Close and Addr make it a net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case c := <-g.accept:
		return c, nil
	case <-g.done:
		return nil, net.ErrClosed
	}
}

// Close ends it for good.
func (g *gate) Close() error {
	g.shut(true)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.done)
	}
	return nil
}

// Addr is where it listens.
func (g *gate) Addr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", g.addr)
	if err != nil {
		return &net.TCPAddr{}
	}
	return a
}

// gateConn is a connection of a gate. The manner is asked at the first Write of an answer.
type gateConn struct {
	net.Conn
	gate    *gate
	once    sync.Once
	ended   chan struct{}
	manner  manner // of the answer; only the writer's
	sent    int    // bytes of it; only the writer's
	mu      sync.Mutex
	writing bool   // an answer has begun; protected by mu
	after   func() // called before the next request is read; protected by mu
}

var errGate = errors.New("the origin's fault")

func (c *gateConn) Read(p []byte) (int, error) {
	if after := c.end(); after != nil {
		after()
	}
	return c.Conn.Read(p)
}

// end notes that the answer is over. It returns what is to be done before anything else.
func (c *gateConn) end() (after func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		c.writing = false
		c.gate.busy.Add(-1)
		after, c.after = c.after, nil
	}
	return after
}

func (c *gateConn) Close() error {
	c.once.Do(func() {
		close(c.ended)
		c.gate.mu.Lock()
		delete(c.gate.conns, c)
		c.gate.mu.Unlock()
	})
	c.end()
	return c.Conn.Close()
}

// abort resets the connection.
func (c *gateConn) abort() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Conn.Close()
}

func (c *gateConn) Write(p []byte) (int, error) {
	c.begin()
	n, err := c.write(p)
	c.sent += n
	return n, err
}

// begin notes that an answer begins, unless one has.
func (c *gateConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return
	}
	c.writing, c.sent, c.manner = true, 0, manner(c.gate.manner.Load())
	c.gate.asked.Add(1)
	raise(&c.gate.most, c.gate.busy.Add(1))
}

func (c *gateConn) write(p []byte) (int, error) {
	first := c.sent == 0
	switch c.manner {
	case good:
	case hang:
		return 0, c.wait(0)
	case reset:
		c.abort()
		return 0, errGate
	case trickle:
		return c.trickle(p)
	case stall:
		if n, err := c.Conn.Write(p[:len(p)/2]); err != nil {
			return n, err
		}
		return len(p) / 2, c.wait(0)
	case slow:
		if first {
			if err := c.wait(300*time.Millisecond + time.Duration(c.gate.turn.Add(1)%8)*200*time.Millisecond); err != nil {
				return 0, err
			}
		}
	case lie:
		if first {
			return c.lie(p)
		}
	case garbage:
		_, _ = c.Conn.Write([]byte("\x16\x03\x01 this is no HTTP\r\n\r\n<html>"))
		_ = c.Conn.Close()
		return 0, errGate
	case errs:
		_, _ = c.Conn.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsorry"))
		_ = c.Conn.Close()
		return 0, errGate
	}
	return c.Conn.Write(p)
}

// wait waits for d, or for ever, until the other side has gone.
func (c *gateConn) wait(d time.Duration) error {
	end := time.Now().Add(d)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for d == 0 || time.Now().Before(end) {
		select {
		case <-c.ended:
			return errGate
		case <-c.gate.done:
			return errGate
		case <-tick.C:
			if c.gone() {
				return errGate
			}
		}
	}
	return nil
}

// gone reports whether the other side has closed the connection.
func (c *gateConn) gone() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
	})
	return gone || err != nil
}

func (c *gateConn) trickle(p []byte) (int, error) {
	const pieces = 40
	done := 0
	for size := max(64, len(p)/pieces); done < len(p); {
		if manner(c.gate.manner.Load()) != trickle {
			size = len(p)
		}
		n, err := c.Conn.Write(p[done:min(len(p), done+size)])
		if done += n; err != nil {
			return done, err
		}
		if done < len(p) {
			if err := c.wait(25 * time.Millisecond); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// strange is what an answer's surplus looks like: another answer, which nobody asked for.
const strange = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 22\r\n\r\nnobody asked for this\n"

// lie changes the framing of an answer in one of several ways. The first Write has the whole head.
func (c *gateConn) lie(p []byte) (int, error) {
	head, body, ok := bytes.Cut(p, []byte("\r\n\r\n"))
	at := bytes.Index(head, []byte("\r\nContent-Length: "))
	if !ok || at < 0 {
		return c.Conn.Write(p)
	}
	field, rest, _ := bytes.Cut(head[at+2:], []byte("\r\n"))
	n, err := strconv.ParseInt(string(field[len("Content-Length: "):]), 10, 64)
	if err != nil {
		return c.Conn.Write(p)
	}
	lines := []string{fmt.Sprintf("Content-Length: %d", n)}
	surplus := ""
	switch c.gate.turn.Add(1) % 5 {
	case 0: // more than comes
		lines[0] = fmt.Sprintf("Content-Length: %d", n+7)
		c.mu.Lock()
		c.after = func() { _ = c.Conn.Close() }
		c.mu.Unlock()
	case 1: // more comes than it says
		if int64(len(body)) == n {
			surplus = strange
		}
	case 2:
		lines = append(lines, fmt.Sprintf("Content-Length: %d", n+1))
	case 3:
		lines[0] = "Transfer-Encoding: chunked"
	case 4:
		lines = append(lines, "Transfer-Encoding: chunked")
	}
	var b bytes.Buffer
	b.Write(head[:at])
	for _, l := range lines {
		b.WriteString("\r\n" + l)
	}
	if len(rest) > 0 {
		b.WriteString("\r\n")
		b.Write(rest)
	}
	b.WriteString("\r\n\r\n")
	b.Write(body)
	b.WriteString(surplus)
	if _, err := c.Conn.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}
