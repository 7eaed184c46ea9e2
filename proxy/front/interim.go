package front

import (
	"net"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// interims passes the origin's interim responses on to the client that caused the
// fetch (RFC 9110 section 15.2, RFC 8297). They are never stored, and followers do
// not see them: they may have begun to receive the final one.
//
// They are written by a goroutine of their own, which begins with the first. The
// losing interleaving otherwise: a client takes nothing, the write waits for it in
// the goroutine that reads the origin's connection, and with it wait the followers
// of the fetch, and everybody whose answers come by the same HTTP/2 connection.
type interims struct {
	conn   net.Conn
	http11 bool

	mu      sync.Mutex // protects what follows
	waiting []byte
	writer  chan struct{} // closed by the goroutine when it ends; nil: there is none
	over    bool
}

func newInterims(conn net.Conn, http11 bool) *interims { return &interims{conn: conn, http11: http11} }

// Got implements Interims.
func (in *interims) Got(code int, received policy.Fields) error {
	if !in.http11 || code == fasthttp.StatusSwitchingProtocols {
		// An HTTP/1.0 client knows no interim responses.
		return nil
	}
	fields, err := policy.EndToEnd(received)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return nil
	}
	in.waiting = appendInterim(in.waiting, code, fields)
	if in.writer == nil {
		in.writer = make(chan struct{})
		go in.write(in.writer)
	}
	return nil
}

// End implements Interims.
func (in *interims) End() {
	in.mu.Lock()
	in.over = true
	writer := in.writer
	in.mu.Unlock()
	if writer != nil {
		<-writer
	}
}

func (in *interims) write(ended chan struct{}) {
	defer close(ended)
	for {
		in.mu.Lock()
		b := in.waiting
		in.waiting = nil
		if b == nil {
			in.writer = nil
		}
		in.mu.Unlock()
		if b == nil {
			return
		}
		// A client that is gone does not stop the fetch: others may follow it.
		_, _ = in.conn.Write(b)
	}
}

func appendInterim(b []byte, code int, fields policy.Fields) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(b, ' ')
	b = append(b, statusMessage(code)...)
	b = append(b, "\r\n"...)
	for _, f := range fields {
		if f.Name == "Content-Length" { // which it has none of (RFC 9110 section 8.6)
			continue
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}
