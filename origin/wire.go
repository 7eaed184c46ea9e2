package origin

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// wire is an HTTP/1 connection (above TLS, where there is TLS) as net/http sees
// it. It exists for four things that net/http cannot do or hides:
//
//   - a request target that begins with "//" is sent as it stands (net/http
//     sends it as an absolute URI);
//   - bytes that a server sent before it was asked are recognised, so that they
//     cannot be taken for the answer to the next request;
//   - the raw header's fields that net/http removes or adds are seen;
//   - a connection that its server may be about to close is turned down before
//     anything of a request is written to it (see idle.go).
//
// The losing interleaving behind the second: a server sends a whole second
// response behind the first, in the same segment. net/http puts the connection
// back into its pool when the first body ends, another goroutine takes it before
// the read loop looks at its buffer, and the surplus answers that request.
type wire struct {
	net.Conn
	now func() time.Duration

	mu       sync.Mutex    // protects the fields below
	heard    time.Duration // when the server last sent something
	promise  promise       // how long the server keeps an idle connection
	refused  bool          // nothing may be written any more
	written  bool          // something of the current request reached the connection
	received int64         // bytes read from the server so far
	askedAt  int64         // received when the current request began to be written; -1 before
	cut      string        // what to remove from the start of the next write, after keep
	keep     int           // bytes (method and space) that stand before cut
	head     sniffer
	body     *part // the body being sent, to be ended when the connection dies
}

// expect readies the connection for one request. cut, when not empty, is the
// prefix of the target that must not reach the server.
func (w *wire) expect(method, cut string, body *part) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.askedAt, w.written = -1, false
	w.cut, w.keep = cut, len(method)+1
	w.head = sniffer{}
	w.body = body
}

// early reports whether the bytes that begin the answer were there before the
// request was. It is meant for when the first byte of the answer is looked at,
// in the goroutine that reads the connection.
func (w *wire) early() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.askedAt < 0 || w.received == w.askedAt
}

// seen returns which fields the last response header had on the wire.
func (w *wire) seen() fields {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.head.seen
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.mu.Lock()
		w.received += int64(n)
		w.heard = w.now()
		if w.askedAt >= 0 {
			w.head.feed(p[:n])
			// Noted here and not when the response is looked at: net/http may have
			// given the connection to the next request before.
			if w.head.seen.promise.given {
				w.promise = w.head.seen.promise
			}
		}
		w.mu.Unlock()
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	if w.refused {
		w.mu.Unlock()
		return 0, errTurnedDown
	}
	first := w.askedAt < 0
	if first {
		w.askedAt = w.received
	}
	cut, keep := w.cut, w.keep
	w.cut = ""
	w.mu.Unlock()
	if !first || cut == "" || len(p) < keep+len(cut) || string(p[keep:keep+len(cut)]) != cut {
		n, err := w.Conn.Write(p)
		w.wrote(n)
		return n, err
	}
	b := make([]byte, 0, len(p)-len(cut))
	b = append(append(b, p[:keep]...), p[keep+len(cut):]...)
	n, err := w.Conn.Write(b)
	w.wrote(n)
	if n > keep {
		n += len(cut)
	}
	return n, err
}

func (w *wire) wrote(n int) {
	if n > 0 {
		w.mu.Lock()
		w.written = true
		w.mu.Unlock()
	}
}

// Close also releases a request body that the transport is still reading: its
// write loop is waited for, and would otherwise hang on a client that sends
// nothing more.
func (w *wire) Close() error {
	err := w.Conn.Close()
	w.mu.Lock()
	body := w.body
	w.mu.Unlock()
	body.abandon()
	return err
}

// fields are the header fields that net/http hides or invents.
type fields struct {
	contentLength, transferEncoding, cacheControl bool
	oddStatusLine                                 bool // not "HTTP/d.d ddd", alone or before a space
	promise                                       promise
}

// sniffer reads raw response headers as they arrive, interim ones included, and
// notes fields until the final one has ended. Apart from the status line, by
// which it tells interim from final, it does not judge syntax: that is net/http's
// part, on the same bytes.
type sniffer struct {
	seen    fields
	line    [maxSniff]byte // the start of the current line
	n       int            // how much of line is filled
	length  int            // bytes of the current line so far, without LF
	lines   int            // lines of the current header so far
	interim bool
	done    bool
}

// maxSniff holds the longest name looked for, with its colon, and the value of a
// Keep-Alive as servers write it.
const maxSniff = 64

func (s *sniffer) feed(p []byte) {
	for len(p) > 0 && !s.done {
		part := p
		i := bytes.IndexByte(p, '\n')
		if i >= 0 {
			part = p[:i]
		}
		s.n += copy(s.line[s.n:], part)
		s.length += len(part)
		if i < 0 {
			return
		}
		s.endLine()
		p = p[i+1:]
	}
}

func (s *sniffer) endLine() {
	line := s.line[:s.n]
	empty := s.length == 0 || (s.length == 1 && line[0] == '\r')
	switch {
	case s.lines == 0:
		if !plainStatusLine(line) {
			s.seen.oddStatusLine = true
			s.done = true
			return
		}
		s.interim = line[9] == '1' && string(line[9:12]) != "101"
	case empty && s.interim:
		*s = sniffer{}
		return
	case empty:
		s.done = true
	case hasName(line, "content-length:"):
		s.seen.contentLength = true
	case hasName(line, "transfer-encoding:"):
		s.seen.transferEncoding = true
	case hasName(line, "cache-control:"):
		s.seen.cacheControl = true
	case hasName(line, "keep-alive:"):
		if p := parseKeepAlive(string(line[len("keep-alive:"):])); p.given {
			s.seen.promise = p
		}
	}
	s.lines++
	s.n, s.length = 0, 0
}

func plainStatusLine(line []byte) bool {
	const form = "HTTP/d.d ddd"
	if len(line) < len(form) {
		return false
	}
	for i := range len(form) {
		if form[i] == 'd' && (line[i] < '0' || line[i] > '9') || form[i] != 'd' && line[i] != form[i] {
			return false
		}
	}
	return len(line) == len(form) || line[len(form)] == ' ' || line[len(form)] == '\r'
}

func hasName(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}
