package front

import (
	"fmt"
	"io"
	"net"

	"github.com/valyala/fasthttp"
)

// Names and texts of what differs from answer to answer.
var (
	nameAge          = []byte("Age")
	nameCacheStatus  = []byte("Cache-Status")
	nameContentRange = []byte("Content-Range")
	nameLocation     = []byte("Location")
	messagePartial   = []byte("Partial Content")
)

// Send implements Session.
func (h *http1) Send(a *Answer) {
	resp := &h.ctx.Response
	if h.sent {
		resp.Reset()
	}
	h.sent = true
	h.sendHeader(a)
	switch {
	case a.Stream != nil:
		h.stream(a.Stream, a.Length)
	case a.Body != nil:
		resp.SetBodyRaw(a.Body)
	default:
		resp.SkipBody = true
		switch {
		case Bodiless(resp.StatusCode()):
		case a.Length >= 0:
			resp.Header.SetContentLength(int(a.Length))
		default:
			noLength(&resp.Header)
		}
	}
	if a.Release != nil {
		h.closeWhenWritten(a.Release)
	}
}

func (h *http1) sendHeader(a *Answer) {
	hdr := &h.ctx.Response.Header
	switch {
	case a.Header == nil:
		setFolded(hdr, a.Code, a.Fields)
	default:
		a.Header.http1.CopyTo(hdr)
		if a.Code != 0 {
			hdr.SetStatusCode(a.Code)
		}
	}
	if a.Code == fasthttp.StatusPartialContent {
		hdr.SetStatusMessage(messagePartial)
	}
	if a.Close {
		hdr.SetConnectionClose()
	}
	if a.Age != nil {
		hdr.SetCanonical(nameAge, a.Age)
	}
	if a.CacheStatus != nil {
		hdr.SetCanonical(nameCacheStatus, a.CacheStatus)
	}
	if a.Location != nil {
		hdr.SetCanonical(nameLocation, a.Location)
	}
	if a.ContentRange != nil {
		hdr.SetCanonical(nameContentRange, a.ContentRange)
	}
	if a.ContentType != nil {
		hdr.SetContentTypeBytes(a.ContentType)
	}
}

// stream sends n bytes piece by piece after the handler has returned.
func (h *http1) stream(src Stream, n int64) {
	h.out = outgoing{conn: h.ctx.Conn(), src: src, direct: n >= 0}
	if n < 0 && h.req.Version == "1.0" {
		h.sendUntilClose()
		return
	}
	resp := &h.ctx.Response
	flushedFirst(resp)
	resp.SetBodyStream(&h.out, int(n))
}

// outgoing is a Stream as fasthttp writes it after the handler has returned.
type outgoing struct {
	conn net.Conn
	src  Stream
	// direct: the pieces go to the connection itself.
	direct bool
	rest   []byte
	n      int64
	gone   bool
}

// Read implements io.Reader.
func (o *outgoing) Read(p []byte) (int, error) {
	if len(o.rest) == 0 {
		b, err := o.src.Next()
		if err != nil {
			return 0, err
		}
		o.rest = b
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	o.n += int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo. A body of unknown length goes through w,
// where fasthttp makes each Write a chunk and sends it at once. One of known
// length goes straight to the connection: w would hold back up to a buffer of
// what has arrived until more does (see flushedFirst).
func (o *outgoing) WriteTo(w io.Writer) (total int64, err error) {
	if o.direct {
		w = o.conn
	}
	for {
		p, err := o.src.Next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(p)
		total += int64(n)
		o.n += int64(n)
		if err != nil {
			o.gone = true
			return total, err
		}
	}
}

// SupportsBodyWriteTo tells fasthttp that WriteTo may take Read's place.
func (o *outgoing) SupportsBodyWriteTo() bool { return true }

// Close ends the answer. Fasthttp calls it once, also when writing failed.
func (o *outgoing) Close() error {
	if src := o.src; src != nil {
		n, gone := o.n, o.gone
		*o = outgoing{}
		src.Done(n, gone)
	}
	return nil
}

// sendUntilClose sends a body of unknown length to an HTTP/1.0 client, which
// reads until the connection closes: fasthttp would send chunks, which such a
// client does not understand.
func (h *http1) sendUntilClose() {
	hdr := &h.ctx.Response.Header
	hdr.SetConnectionClose()
	h.ctx.HijackSetNoResponse(true)
	h.ctx.Hijack(func(net.Conn) {})
	noLength(hdr)
	conn := h.out.conn
	_, err := conn.Write(hdr.Header())
	if err == nil {
		_, err = h.out.WriteTo(conn)
	}
	if err != nil {
		// An orderly close would look like the end of the body.
		if c, ok := conn.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0)
		}
	}
	if err := h.out.Close(); err != nil {
		panic(fmt.Sprintf("BUG: closing a body stream: %v", err))
	}
}
