package load

import (
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// canLoop: this system has the event loop.
const canLoop = true

// loop is one thread with its share of the connections, and an epoll instance that watches them. A goroutine for each
// connection would cost a failing read and two switches for each answer, and Go's timers, which are late by up to a millisecond,
// would show in every latency of an open loop.
type loop struct {
	*worker
	ep        int
	conns     []*conn
	idle      fifo
	buf       []byte
	ticket    ticket // to be sent when it is due
	hasTicket bool
	drained   bool // there are no more tickets
	busy      int  // connections with a request under way
	connects  int  // connections that are being opened before the start
	begun     bool
	scanned   time.Duration // when timeouts were looked for
	events    [128]unix.EpollEvent
}

// readSize is how much is read at once: enough for the largest pieces that a kernel hands over in one go.
const readSize = 256 << 10

// runLoop sends until there are no more tickets and every answer has come. r.ready is told of n connections.
func runLoop(w *worker, n int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := &loop{worker: w, buf: make([]byte, readSize), idle: newFIFO(n)}
	defer w.rec.finish()
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		w.run.stop(fmt.Errorf("cannot watch connections: %w", err))
		w.run.ready.Add(-n)
		<-w.run.begin
		return
	}
	l.ep = ep
	defer unix.Close(ep)
	for i := range n {
		l.conns = append(l.conns, &conn{loop: l, index: i, fd: -1})
	}
	defer func() {
		for _, c := range l.conns {
			c.close()
		}
	}()
	l.warm()
	w.run.ready.Add(-n)
	<-w.run.begin
	l.begun = true
	for _, c := range l.conns {
		l.idle.push(c)
	}
	l.do()
}

// warmTime is how long the connections are waited for before the start.
const warmTime = 5 * time.Second

// warm opens the connections that are kept, so that the first answers are not those of a storm of new connections. One
// that fails is tried again with its first request, and counts then.
func (l *loop) warm() {
	if l.run.opts.PerConnection == 1 {
		return
	}
	begin := time.Now()
	for _, c := range l.conns {
		c.connect()
	}
	for l.connects > 0 && !l.run.stopped() && time.Since(begin) < warmTime {
		l.poll(50 * time.Millisecond)
	}
}

func (l *loop) do() {
	for {
		l.dispatch()
		if l.drained && l.busy == 0 {
			return
		}
		if l.run.stopped() {
			l.cut()
			return
		}
		l.poll(l.patience())
		l.scan()
	}
}

// cut counts what was taken and is neither answered nor broken when the run is cut short.
func (l *loop) cut() {
	now := l.run.now()
	for _, c := range l.conns {
		if c.request {
			l.cutShort(&c.x, now)
		}
	}
	if l.hasTicket {
		l.rec.held = append(l.rec.held, l.ticket.due)
	}
}

// patience is how long to wait for events at most.
func (l *loop) patience() time.Duration {
	const most = 50 * time.Millisecond
	if !l.hasTicket {
		return most
	}
	return min(max(l.ticket.due-l.run.now(), 0), most)
}

// poll waits for events and handles them. Between them it sends what has become due.
func (l *loop) poll(timeout time.Duration) {
	n, err := epollWait(l.ep, l.events[:], timeout)
	if err != nil {
		if err != unix.EINTR {
			l.run.stop(fmt.Errorf("cannot wait for answers: %w", err))
		}
		return
	}
	for i := range l.events[:n] {
		ev := &l.events[i]
		if c := l.conns[ev.Fd]; c.fd >= 0 && c.age == ev.Pad {
			c.handle(ev.Events)
		}
		l.dispatch()
	}
}

// dispatch sends what is due, as long as there are connections to send it on. A ticket is taken only by who can send it,
// so a thread whose connections are all busy holds none back.
func (l *loop) dispatch() {
	for l.begun && !l.drained && l.idle.len() > 0 {
		now := l.run.now()
		if !l.hasTicket {
			if l.ticket, l.hasTicket = l.run.claim(now); !l.hasTicket {
				l.drained = true
				return
			}
		}
		if l.ticket.due > now {
			return
		}
		l.hasTicket = false
		l.idle.pop().start(l.ticket, now)
	}
}

// scan looks for answers that make no progress, or that hold up the end of the run, now and then.
func (l *loop) scan() {
	now := l.run.now()
	if now-l.scanned < min(100*time.Millisecond, l.run.opts.Timeout/4) {
		return
	}
	l.scanned = now
	for _, c := range l.conns {
		if c.state == connBusy && now > l.run.limit(c.x.sent) {
			c.fail(now, unfinished(&c.x, now))
			continue
		}
		if c.state.waits() && now-c.moved > l.run.opts.Timeout {
			kind := FaultTimeout
			if c.state == connConnecting {
				kind = FaultConnect
			}
			c.fail(now, faultf(kind, "no progress for %v", l.run.opts.Timeout))
		}
	}
}

// fifo is a queue of connections, so that all of them take turns.
type fifo struct {
	ring        []*conn
	head, count int
}

func newFIFO(n int) fifo { return fifo{ring: make([]*conn, n)} }

func (f *fifo) len() int { return f.count }

func (f *fifo) push(c *conn) {
	f.ring[(f.head+f.count)%len(f.ring)] = c
	f.count++
}

func (f *fifo) pop() *conn {
	c := f.ring[f.head]
	f.head = (f.head + 1) % len(f.ring)
	f.count--
	return c
}

// socketAddress converts an address for the system calls.
func socketAddress(a *net.TCPAddr) (unix.Sockaddr, int) {
	if ip := a.IP.To4(); ip != nil {
		return &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}, unix.AF_INET
	}
	sa := &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
	if i, err := net.InterfaceByName(a.Zone); err == nil {
		sa.ZoneId = uint32(i.Index)
	}
	return sa, unix.AF_INET6
}
