package load

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// connState is what a connection of the event loop is doing.
type connState uint8

const (
	connClosed     connState = iota
	connConnecting           // being opened, for a request or before the start
	connIdle                 // open, without a request
	connBusy                 // a request is being sent or an answer awaited
)

func (s connState) String() string {
	switch s {
	case connClosed:
		return "closed"
	case connConnecting:
		return "connecting"
	case connIdle:
		return "idle"
	case connBusy:
		return "busy"
	}
	return "unknown"
}

// waits tells whether something has to happen within the timeout.
func (s connState) waits() bool { return s == connConnecting || s == connBusy }

// conn is one connection of a loop, which is opened anew when it ends.
type conn struct {
	loop    *loop
	index   int
	age     int32 // how often it was opened; tells late events of the last time apart
	fd      int   // -1: closed
	state   connState
	request bool // x has a request that is not answered yet
	write   bool // the kernel tells when there is room to write
	rest    []byte
	moved   time.Duration // when the last progress was made
	x       exchange
}

// start sends the request of a ticket.
func (c *conn) start(t ticket, now time.Duration) {
	c.loop.begin(&c.x, t)
	c.x.sent, c.moved, c.request = now, now, true
	c.loop.busy++
	switch c.state {
	case connIdle:
		c.send()
	case connClosed:
		c.connect()
	case connConnecting: // since before the start; it sends when it is open
	case connBusy:
		panic("BUG: a busy connection was given a request")
	}
}

// connect begins to open the connection.
func (c *conn) connect() {
	c.age++
	now := c.now()
	c.moved = now
	sa, family := socketAddress(c.loop.run.addr)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		c.fail(now, faultf(FaultConnect, "cannot make a socket: %v", err))
		return
	}
	c.fd, c.state = fd, connConnecting
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // without it requests are late, no more
	if !c.loop.begun {
		c.loop.connects++
	}
	ev := unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(c.index), Pad: c.age}
	err = unix.Connect(fd, sa)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		c.fail(now, faultf(FaultConnect, "%v", err))
		return
	}
	if err := unix.EpollCtl(c.loop.ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		c.fail(now, faultf(FaultConnect, "cannot watch a connection: %v", err))
	}
}

// now is the time since the start; before it, 0.
func (c *conn) now() time.Duration {
	if !c.loop.begun {
		return 0
	}
	return c.loop.run.now()
}

// watch chooses what the kernel tells of.
func (c *conn) watch(write bool) {
	c.write = write
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(c.index), Pad: c.age}
	if write {
		ev.Events |= unix.EPOLLOUT
	}
	_ = unix.EpollCtl(c.loop.ep, unix.EPOLL_CTL_MOD, c.fd, &ev) // fails for no open descriptor that was added
}

func (c *conn) handle(events uint32) {
	if c.state == connConnecting {
		c.connected()
		return
	}
	if c.write && events&(unix.EPOLLOUT|unix.EPOLLERR) != 0 {
		c.flush()
	}
	if c.fd >= 0 && events&^uint32(unix.EPOLLOUT) != 0 {
		c.read()
	}
}

func (c *conn) connected() {
	if errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || errno != 0 {
		c.fail(c.now(), faultf(FaultConnect, "%v", unix.Errno(errno)))
		return
	}
	c.loop.rec.opened++
	c.settle()
	c.state = connIdle
	c.watch(false)
	if c.request {
		c.send()
	}
}

// settle notes that a connection which was being opened before the start is, or is not to be.
func (c *conn) settle() {
	if c.state == connConnecting && !c.loop.begun {
		c.loop.connects--
	}
}

func (c *conn) send() {
	c.state = connBusy
	c.rest = c.x.out
	c.flush()
}

func (c *conn) flush() {
	n, err := unix.Write(c.fd, c.rest)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		c.broken(err)
		return
	}
	c.rest = c.rest[max(n, 0):]
	if full := len(c.rest) > 0; full != c.write {
		c.watch(full)
	}
}

// read takes what has come, once: the kernel tells again when there is more. To read until nothing is left would let a target that
// sends faster than it is read keep the thread from all its other connections, from what is due, and from the end of the run.
func (c *conn) read() {
	n, err := unix.Read(c.fd, c.loop.buf)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil:
		c.broken(err)
		return
	case n == 0:
		c.broken(errEnd)
		return
	}
	now := c.now()
	c.moved = now
	if c.state != connBusy {
		c.loop.surplus(&c.x, now, c.loop.buf[:n])
		c.close()
		return
	}
	rest, done, f := c.x.feed(c.loop.buf[:n], now)
	switch {
	case f != nil:
		c.fail(now, f)
	case done:
		c.done(now, rest)
	}
}

// done ends an exchange whose answer is whole.
func (c *conn) done(now time.Duration, rest []byte) {
	keep := c.loop.finish(&c.x, now)
	c.request = false
	c.loop.busy--
	switch {
	case len(rest) > 0:
		c.loop.surplus(&c.x, now, rest)
		c.close()
	case !keep || len(c.rest) > 0:
		c.close()
	default:
		c.state = connIdle
	}
	c.loop.idle.push(c)
}

// broken ends a connection that the other side, or the network, has ended.
func (c *conn) broken(err error) {
	if !c.request {
		c.loop.rec.reopened++
		c.close() // an idle connection may end at any time
		return
	}
	now := c.now()
	done, again, f := c.x.closed(err)
	switch {
	case done:
		c.done(now, nil)
	case again:
		c.loop.rec.reopened++
		c.close()
		c.x.retried = true
		c.x.arm(c.loop.run)
		c.connect()
	default:
		c.fail(now, f)
	}
}

// fail ends a connection, and the request on it if there is one.
func (c *conn) fail(now time.Duration, f *fault) {
	c.settle()
	c.close()
	if !c.request {
		return
	}
	c.loop.broke(&c.x, now, f)
	c.request = false
	c.loop.busy--
	c.loop.idle.push(c)
}

func (c *conn) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
	c.state, c.write, c.rest = connClosed, false, nil
	c.x.served = 0 // the next request is armed for a new connection, before that is opened
}
