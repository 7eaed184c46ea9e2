package origin

import (
	"io"
	"net"
	"sync"
	"time"
)

// wire is an HTTP/1 connection (above TLS, where there is TLS) as net/http sees
// it. It exists for six things that net/http cannot do or hides:
//
//   - a request target that begins with "//" is sent as it stands (net/http
//     sends it as an absolute URI);
//   - bytes that a server sent before it was asked are recognised, so that they
//     cannot be taken for the answer to the next request;
//   - the raw header's fields that net/http removes or adds are seen;
//   - a connection that its server may be about to close is turned down before
//     anything of a request is written to it (see idle.go);
//   - a transfer coding without a meaning does not make a response unreadable
//     (see sniffer.go);
//   - how long the server was silent before it closed the connection is known
//     (see silence.go).
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
	rest     []byte        // read from the server, not handed on yet
	silence  time.Duration // how long the read lasted that found the end; -1 before
	body     *part         // the body being sent, to be ended when the connection dies
}

// expect readies the connection for one request. cut, when not empty, is the
// prefix of the target that must not reach the server.
func (w *wire) expect(method, cut string, body *part) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.askedAt, w.written = -1, false
	w.cut, w.keep = cut, len(method)+1
	w.head = sniffer{}
	w.silence = -1
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
	for {
		if n := w.takeRest(p); n > 0 || len(p) == 0 {
			return n, nil
		}
		began := w.now()
		n, err := w.Conn.Read(p)
		n = w.took(p, n, began, err)
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (w *wire) takeRest(p []byte) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n
}

// took notes what a read brought and returns how much of p is to be handed on.
func (w *wire) took(p []byte, n int, began time.Duration, err error) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == io.EOF {
		w.silence = w.now() - began
	}
	if n <= 0 {
		return n
	}
	w.received += int64(n)
	w.heard = w.now()
	if w.askedAt < 0 {
		return n
	}
	out := w.head.feed(p[:n])
	// Noted here and not when the response is looked at: net/http may have given
	// the connection to the next request before.
	if w.head.seen.promise.given {
		w.promise = w.head.seen.promise
	}
	n = copy(p, out)
	w.rest = out[n:]
	return n
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
