package script

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"weir/loadtest/selfcheck"
)

const (
	defaultChunk = 16 << 10
	pieceSize    = 32 << 10
)

// exchange is one request and its answer.
type exchange struct {
	conn   *conn
	req    *http.Request
	answer *Answer
	rec    *Recorded
	keep   bool  // whether the connection goes on afterwards
	sent   int64 // of the body
	// surplusSent: what comes after the answer has left.
	surplusSent bool
}

// run reads the request body and writes the answer. An error ends the connection.
func (x *exchange) run() error {
	if !x.answer.Early {
		if err := x.readBody(x.events(AtUpload)); err != nil {
			return err
		}
	}
	if err := x.fire(AtStart); err != nil {
		return err
	}
	for _, i := range x.answer.Interims {
		var b bytes.Buffer
		b.WriteString("HTTP/1.1 " + i.Status + "\r\n")
		x.writeFields(&b, i.Fields)
		if err := x.write(b.Bytes()); err != nil {
			return err
		}
	}
	if err := x.fire(AtFinal); err != nil {
		return err
	}
	p := x.plan()
	if err := x.writeHead(p); err != nil {
		return err
	}
	if p.hasBody {
		if err := x.writeBody(p); err != nil {
			return err
		}
	}
	return x.write(x.surplus(nil))
}

// surplus appends the bytes that come after the answer to its last ones. They leave in one write then: whoever reads the
// end of the answer finds them behind it.
func (x *exchange) surplus(last []byte) []byte {
	if x.surplusSent {
		return last
	}
	x.surplusSent = true
	return append(last, x.answer.Surplus...)
}

func (x *exchange) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := x.conn.net.Write(b)
	return err
}

// events returns those at p, in the order of their offsets.
func (x *exchange) events(p Point) []Event {
	var out []Event
	for _, e := range x.answer.Events {
		if e.Point == p {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b Event) int { return cmp.Compare(a.Offset, b.Offset) })
	return out
}

func (x *exchange) fire(p Point) error {
	for _, e := range x.events(p) {
		if err := x.do(e, !x.answer.Early); err != nil {
			return err
		}
	}
	return nil
}

// do lets one event happen. watch says that the request is read whole, so that reading on can only show its sender leaving.
func (x *exchange) do(e Event, watch bool) error {
	c := x.conn
	switch e.Action {
	case ActDelay:
		return c.wait(e.For, watch)
	case ActStall:
		// What was sent until now is what a waiting scenario may ask for.
		c.o.rec.update(func() { x.rec.Sent = x.sent })
		return c.stallAt(c.o.barriers[e.Name], cmp.Or(e.For, DefaultStallLimit), watch)
	case ActCut:
		return &stopError{OutcomeCut}
	case ActReset:
		return &stopError{OutcomeReset}
	}
	panic(fmt.Sprintf("BUG: action %d passed validation", e.Action))
}

func (x *exchange) writeFields(b *bytes.Buffer, fields []Field) {
	now := x.conn.o.opts.Now()
	for _, f := range fields {
		b.WriteString(f.line(now))
	}
	b.WriteString("\r\n")
}

// writeHead sends status line and fields.
func (x *exchange) writeHead(p *plan) error {
	var b bytes.Buffer
	b.WriteString(p.statusLine + "\r\n")
	fields := p.fields
	a := x.answer
	switch {
	case a.Framing == FramingLength && p.code != http.StatusNoContent && p.code != http.StatusNotModified:
		fields = append(fields, Field{Name: "Content-Length", Value: fmt.Sprint(p.length)})
	case a.Framing == FramingChunked && p.code != http.StatusNoContent && p.code != http.StatusNotModified:
		fields = append(fields, Field{Name: "Transfer-Encoding", Value: "chunked"})
	case a.Framing == FramingClose:
		x.keep = false
	}
	if a.Close || a.Early {
		fields = append(fields, Field{Name: "Connection", Value: "close"})
	}
	x.writeFields(&b, fields)
	half := b.Len() / 2
	events := x.events(AtHead)
	if len(events) == 0 {
		return x.write(b.Bytes())
	}
	if err := x.write(b.Bytes()[:half]); err != nil {
		return err
	}
	if err := x.fire(AtHead); err != nil {
		return err
	}
	return x.write(b.Bytes()[half:])
}

// bodyWriter sends one body piece by piece.
type bodyWriter struct {
	x      *exchange
	p      *plan
	events []Event
	chunk  int64 // 0: not chunked
	buf    []byte
	rest   int64 // of the chunk that is open
}

func (x *exchange) writeBody(p *plan) error {
	w := &bodyWriter{x: x, p: p, events: x.events(AtBody), buf: make([]byte, min(pieceSize, max(p.length, 1)))}
	if x.answer.Framing == FramingChunked {
		w.chunk = cmp.Or(x.answer.ChunkSize, defaultChunk)
	}
	for {
		if err := w.fire(); err != nil {
			return err
		}
		if x.sent == p.length {
			break
		}
		if err := w.piece(); err != nil {
			return err
		}
	}
	if err := x.fire(AtEnd); err != nil {
		return err
	}
	if w.chunk == 0 {
		return nil
	}
	var b bytes.Buffer
	b.WriteString("0\r\n")
	x.writeFields(&b, x.answer.Trailers)
	return x.write(x.surplus(b.Bytes()))
}

// fire lets happen what is due at the place that was reached.
func (w *bodyWriter) fire() error {
	for len(w.events) > 0 && w.events[0].Offset <= w.x.sent {
		e := w.events[0]
		w.events = w.events[1:]
		if err := w.x.do(e, !w.x.answer.Early); err != nil {
			return err
		}
	}
	return nil
}

// piece sends the next bytes: up to the next event, the end of the chunk, of the pace's step or of the buffer.
func (w *bodyWriter) piece() error {
	x := w.x
	a := x.answer
	n := min(int64(len(w.buf)), w.p.length-x.sent)
	if len(w.events) > 0 {
		n = min(n, w.events[0].Offset-x.sent)
	}
	if a.PaceSize > 0 {
		step := x.sent % a.PaceSize
		if step == 0 && x.sent > 0 {
			if err := x.conn.wait(a.PaceEvery, !a.Early); err != nil {
				return err
			}
		}
		n = min(n, a.PaceSize-step)
	}
	if w.chunk > 0 {
		if w.rest == 0 {
			w.rest = min(w.chunk, w.p.length-x.sent)
			if err := x.write(fmt.Appendf(nil, "%x\r\n", w.rest)); err != nil {
				return err
			}
		}
		n = min(n, w.rest)
		w.rest -= n
	}
	b := w.buf[:n]
	x.fill(b, w.p.offset+x.sent)
	if w.chunk == 0 && x.sent+n == w.p.length && len(w.events) == 0 && len(x.events(AtEnd)) == 0 {
		b = x.surplus(b)
	}
	m, err := x.conn.net.Write(b)
	x.sent += min(int64(m), n)
	if err != nil {
		return err
	}
	if w.chunk > 0 && w.rest == 0 {
		return x.write([]byte("\r\n"))
	}
	return nil
}

// fill copies the content from off on into b.
func (x *exchange) fill(b []byte, off int64) {
	body := &x.answer.Body
	if body.Text != "" {
		copy(b, body.Text[off:])
		return
	}
	selfcheck.Fill(b, body.seed(x.req.RequestURI), off)
}

func (b *Body) seed(target string) selfcheck.Seed {
	return selfcheck.SeedOf(cmp.Or(b.Name, target), b.Version)
}

// Content returns the whole body that this answer has for a request of target, to compare with what arrived. The caller
// closes nothing and owns nothing.
func (a *Answer) Content(target string) io.Reader {
	if a.Body.Text != "" {
		return strings.NewReader(a.Body.Text)
	}
	return selfcheck.NewReader(a.Body.seed(target), a.Body.Size)
}
