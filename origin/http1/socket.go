package http1

import (
	"io"
	"net"
	"os"
	"syscall"
)

// Socket is a connection that can be read without waiting, which needs a
// descriptor. TLS is put on top of a Socket, so that a read of the TLS connection
// need not wait either. One goroutine reads a Socket, and no other writes to it
// during ask.
type Socket struct {
	net.Conn
	raw     syscall.RawConn // nil: without a descriptor, a read that must not wait finds nothing
	instant bool            // Read does not wait

	// The arguments and results of the callbacks, which are made once.
	in, out   []byte
	n, wrote  int
	asked     bool
	tried     bool
	err       error
	tryFD     func(fd uintptr) bool
	askFD     func(fd uintptr) bool
	lookFirst bool
	one       [1]byte // for what must not be there
}

// NewSocket wraps a connection as it was dialled.
func NewSocket(c net.Conn) *Socket {
	s := &Socket{Conn: c}
	if sc, ok := c.(syscall.Conn); ok && canPeek {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
			s.tryFD, s.askFD = s.tryOnce, s.askOnce
		}
	}
	return s
}

// Read implements net.Conn. Without waiting, os.ErrDeadlineExceeded says that there
// is nothing to read now; crypto/tls keeps its state over such an error.
func (s *Socket) Read(p []byte) (int, error) {
	if s.instant {
		return s.try(p)
	}
	return s.Conn.Read(p)
}

// try reads what is there.
func (s *Socket) try(p []byte) (int, error) {
	if s.raw == nil {
		return 0, os.ErrDeadlineExceeded
	}
	s.in, s.tried = p, false
	err := s.raw.Read(s.tryFD)
	s.in = nil
	if err != nil {
		return 0, err
	}
	return s.n, s.err
}

func (s *Socket) tryOnce(fd uintptr) bool {
	s.n, s.err = readFD(fd, s.in)
	s.tried = true
	return true
}

// ask writes out and reads into in what comes of it, and waits for that without a
// read in vain. wrote is how much of out was written; if that is not all, nothing was
// waited for. With look, bytes that are there before out is, and the end of the
// connection, are errors, and nothing is written.
//
// All of it happens in one callback of RawConn.Read. Losing interleaving otherwise:
// the answer comes between a write and the beginning of a wait; to wait for
// readability forgets what was noted before, the poller tells of a change once, and
// the wait lasts until its deadline. Inside the callback the wait has begun before
// anything is written.
func (s *Socket) ask(out, in []byte, look bool) (n, wrote int, err error) {
	s.in, s.out, s.lookFirst = in, out, look
	s.n, s.wrote, s.asked, s.err = 0, 0, false, nil
	err = s.raw.Read(s.askFD)
	s.in, s.out = nil, nil
	if err == nil {
		err = s.err
	}
	return s.n, s.wrote, err
}

func (s *Socket) askOnce(fd uintptr) bool {
	if s.asked {
		s.n, s.err = readFD(fd, s.in)
		return s.err != os.ErrDeadlineExceeded
	}
	if s.lookFirst {
		switch n, err := peekFD(fd); {
		case err == io.EOF:
			s.err = ErrEnded
			return true
		case err == nil && n > 0:
			s.err = ErrEarly
			return true
		case err != os.ErrDeadlineExceeded:
			s.err = err
			return true
		}
	}
	s.asked = true
	s.wrote, s.err = writeFD(fd, s.out)
	return s.err != nil || s.wrote < len(s.out)
}
