package http1

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// continueWait is how long a body waits for "100 Continue" before it is sent all the
// same (RFC 9110 section 10.1.1).
const continueWait = time.Second

// pieceSize is the most of a request body that is read and written at once, and
// pieceRoom what stands around it as a chunk.
const (
	pieceSize = 32 << 10
	pieceRoom = len("8000\r\n") + len("\r\n")
)

var pieces = sync.Pool{New: func() any { return new([pieceSize + pieceRoom]byte) }}

// sending is a request body on its way. Its goroutine reads the body and writes to the
// connection; the exchange waits for the answer meanwhile.
type sending struct {
	c      *Conn
	body   io.Reader
	length int64
	ahead  chan struct{} // closed when the server asks for the body; nil: it need not
	goneOn bool          // ahead is closed; the exchange's
	stop   chan struct{} // closed when the exchange needs no more of the body
	ended  chan struct{} // closed by the goroutine when it ends
	done   bool          // the body was written whole; the goroutine's until ended is closed
}

func (c *Conn) startSending(r *Request) {
	s := &sending{c: c, body: r.Body, length: r.Length, stop: make(chan struct{}), ended: make(chan struct{})}
	if r.continues() {
		s.ahead = make(chan struct{})
	}
	c.sending = s
	c.wait.hold(c, true)
	go s.run()
}

// goAhead lets the body go that waits for the server's word.
func (c *Conn) goAhead() {
	if s := c.sending; s != nil && s.ahead != nil && !s.goneOn {
		s.goneOn = true
		close(s.ahead)
	}
}

// stopSending ends the upload, if there is one, and reports whether the server did not
// get all of it. It waits for the goroutine: a Write and, where the body can be closed, a
// Read that are under way end at once.
//
// Losing interleaving without the wait: the server has all of the body and answers, and
// the goroutine has not noted yet that its last Write has returned.
func (c *Conn) stopSending() (cut bool) {
	s := c.sending
	if s == nil {
		return false
	}
	select {
	case <-s.ended:
		return !s.done
	default:
	}
	close(s.stop)
	_ = c.conn.SetWriteDeadline(time.Unix(1, 0)) // ends a Write
	if closer, ok := s.body.(io.Closer); ok {
		_ = closer.Close() // ends a Read
	}
	<-s.ended
	return !s.done
}

func (s *sending) isStopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// run sends the body, and notes that before the next exchange can begin.
func (s *sending) run() {
	defer close(s.ended)
	s.done = s.begin() && s.sendAll()
	s.c.wait.hold(s.c, false)
}

// sendAll reports whether all was written. An error of the body ends the exchange, as
// does a server that takes nothing. Other errors of the connection are left to the
// exchange: the server may have answered before it broke.
func (s *sending) sendAll() bool {
	buf := pieces.Get().(*[pieceSize + pieceRoom]byte)
	defer pieces.Put(buf)
	const room = pieceRoom - len("\r\n")
	for sent := int64(0); ; {
		n, err := s.body.Read(buf[room : room+s.most(sent)])
		if s.isStopped() {
			return false
		}
		sent += int64(n)
		last := err == io.EOF || sent == s.length
		if err == io.EOF && s.length >= 0 && sent < s.length {
			err = fmt.Errorf("the request body ends after %d of %d bytes: %w", sent, s.length, io.ErrUnexpectedEOF)
		}
		if err != nil && err != io.EOF {
			s.c.Abort(&Error{Kind: RequestBody, Err: err})
			return false
		}
		if !s.write(s.piece(buf[:room+n+len("\r\n")], room, n, last)) {
			return false
		}
		if last {
			return true
		}
	}
}

// begin waits for the server's word, where the request asks for it.
func (s *sending) begin() bool {
	if s.ahead == nil {
		return true
	}
	timer := time.NewTimer(continueWait)
	defer timer.Stop()
	select {
	case <-s.ahead:
		return true
	case <-timer.C:
		return true
	case <-s.stop:
		return false
	}
}

// most is how much may be read at once behind so much.
func (s *sending) most(sent int64) int {
	if s.length < 0 {
		return pieceSize
	}
	return int(min(pieceSize, s.length-sent))
}

// piece is what to write for n bytes of data that stand at buf[room:].
func (s *sending) piece(buf []byte, room, n int, last bool) []byte {
	if s.length >= 0 {
		return buf[room : room+n]
	}
	out := buf[room:room]
	if n > 0 {
		size := strconv.AppendInt(make([]byte, 0, room), int64(n), 16)
		start := room - len(size) - len("\r\n")
		copy(buf[start:], size)
		copy(buf[start+len(size):], "\r\n")
		copy(buf[room+n:], "\r\n")
		out = buf[start : room+n+len("\r\n")]
	}
	if last {
		out = append(out[:len(out):len(out)], "0\r\n\r\n"...)
	}
	return out
}

// write writes a piece. The deadline is set before stop is looked at: whoever stops
// sets one behind it.
func (s *sending) write(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	conn := s.c.conn
	if err := conn.SetWriteDeadline(time.Now().Add(s.c.conf.Between)); err != nil || s.isStopped() {
		return false
	}
	_, err := conn.Write(b)
	if err != nil && timedOut(err) && !s.isStopped() {
		s.c.Abort(&Error{Kind: Stalled, Err: errors.New("timeout while sending the request body")})
	}
	return err == nil
}
