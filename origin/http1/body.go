package http1

import (
	"bytes"
	"io"

	"weir/policy"
)

type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// body is where the body of a response stands.
type body struct {
	framing framing
	left    int64  // bytes to come: of the body, or of the chunk
	behind  bool   // the data of a chunk was read, and its CRLF comes next
	excess  int64  // bytes of chunk lines beyond what is usual
	held    []byte // read by Immediate, and not taken yet
	trailer policy.Fields
}

// Bounds of a chunked body.
const (
	maxChunkLine  = 1024     // the size of a chunk and its extensions
	maxChunkWaste = 16 << 10 // extensions beyond 16 bytes for each chunk and twice its data
	maxTrailer    = 8 << 10
)

// frame takes from a final head how its body ends, and whether the connection goes on
// (RFC 9112 sections 6.3 and 9.3).
func (c *Conn) frame(r *Request, h *head, resp *Response) {
	c.keep = !h.close && (h.Minor > 0 || h.keep)
	switch {
	case r.Method == "HEAD":
	case resp.Status == 204 || resp.Status == 304:
		resp.ContentLength = 0
	case h.chunked:
		c.body.framing = byChunks
	case resp.ContentLength > 0:
		c.body.framing, c.body.left = byLength, resp.ContentLength
	case resp.ContentLength < 0:
		c.body.framing, c.keep = byClose, false
		resp.CloseDelimited = true
	}
	switch {
	case c.body.framing == noBody:
		c.finish()
	case resp.Status >= 300:
		// The server has decided, whatever there is to come of the request.
		c.stopSending()
	}
	c.wait.mu.Lock()
	c.wait.bound = c.conf.Between
	c.wait.mu.Unlock()
}

// Read reads the body. The error is io.EOF, which may come with the last bytes, or an
// *Error.
func (c *Conn) Read(p []byte) (int, error) {
	switch {
	case c.failed != nil:
		return 0, c.failed
	case c.over:
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.readBody(p)
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		c.finish()
		return n, io.EOF
	}
	e, ok := err.(*Error)
	if !ok {
		e = c.broken(err, true)
	}
	c.fail(e)
	return n, e
}

func (c *Conn) readBody(p []byte) (int, error) {
	switch c.body.framing {
	case byLength:
		n, err := c.take(p, c.body.left)
		if c.body.left -= int64(n); c.body.left == 0 {
			err = io.EOF
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	case byChunks:
		return c.readChunks(p)
	case byClose:
		return c.take(p, int64(len(p)))
	case noBody:
	}
	return 0, io.EOF
}

// take reads at most limit bytes of the body's data: from the buffer, else straight
// from the connection.
func (c *Conn) take(p []byte, limit int64) (int, error) {
	if int64(len(p)) > limit {
		p = p[:limit]
	}
	if len(c.body.held) > 0 {
		n := copy(p, c.body.held)
		c.body.held = c.body.held[n:]
		return n, nil
	}
	if c.r < c.w {
		n := copy(p, c.buf[c.r:c.w])
		c.r += n
		return n, nil
	}
	c.wait.start(c, c.conf.Between)
	return c.pull(p)
}

// Immediate returns the whole body in memory of its own, when its length is declared
// and at most limit, and it can be had without waiting; the exchange is over then. If
// not, Read yields all of it.
func (c *Conn) Immediate(limit int) ([]byte, bool) {
	b := &c.body
	switch {
	case c.over:
		return nil, b.framing == noBody && c.failed == nil
	case b.framing != byLength || b.left > int64(limit) || len(b.held) > 0:
		return nil, false
	case b.left > int64(c.w-c.r) && c.sock.raw == nil:
		return nil, false
	}
	whole := make([]byte, b.left)
	n := copy(whole, c.buf[c.r:c.w])
	c.r += n
	if n < len(whole) {
		more, _ := c.readNow(whole[n:]) // an error comes again
		if n += more; n < len(whole) {
			b.held = whole[:n]
			return nil, false
		}
	}
	c.finish()
	return whole, true
}

// readNow reads what is there.
func (c *Conn) readNow(p []byte) (int, error) {
	c.sock.instant = true
	n, err := c.conn.Read(p)
	c.sock.instant = false
	if n > 0 {
		c.heard = c.conf.Now()
	}
	return n, err
}

// Drain reads the rest of the body, at most limit bytes, as far as it is there, and
// reports whether the exchange is over.
func (c *Conn) Drain(limit int) bool {
	if c.over || c.body.framing != byLength || c.body.left > int64(limit) || c.sock.raw == nil {
		return c.over
	}
	c.body.left -= int64(len(c.body.held))
	buffered := min(int64(c.w-c.r), c.body.left)
	c.r += int(buffered)
	c.body.left -= buffered
	for c.body.left > 0 {
		n, err := c.readNow(c.buf[:min(int64(len(c.buf)), c.body.left)])
		if c.body.left -= int64(n); err != nil {
			break
		}
	}
	if c.body.left == 0 {
		c.finish()
	}
	return c.over
}

// Trailer returns the fields of the trailer section, once the exchange is over.
func (c *Conn) Trailer() policy.Fields { return c.body.trailer }

// readChunks reads the data of chunks (RFC 9112 section 7.1).
func (c *Conn) readChunks(p []byte) (int, error) {
	b := &c.body
	if b.left == 0 {
		if err := c.nextChunk(); err != nil {
			return 0, err
		}
	}
	n, err := c.take(p, b.left)
	if b.left -= int64(n); b.left == 0 {
		b.behind = true
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// nextChunk reads up to the data of a chunk. The end of the body, with its trailer
// section, is io.EOF.
func (c *Conn) nextChunk() error {
	b := &c.body
	if b.behind {
		if err := c.need(2); err != nil {
			return err
		}
		if string(c.buf[c.r:c.r+2]) != "\r\n" {
			return malformed("a chunk is longer than its size says")
		}
		c.r += 2
		b.behind = false
	}
	line, err := c.chunkLine()
	if err != nil {
		return err
	}
	size, ok := parseChunk(line)
	if !ok {
		return malformed("a chunk does not begin with its size: %.80q", line)
	}
	if b.excess = max(0, b.excess+int64(len(line))+4-16-2*size); b.excess > maxChunkWaste {
		return malformed("the chunks hold too much beside data")
	}
	if b.left = size; size > 0 {
		return nil
	}
	return c.readTrailer()
}

// need waits until the buffer holds n bytes.
func (c *Conn) need(n int) error {
	for c.w-c.r < n {
		c.wait.start(c, c.conf.Between)
		if err := c.more(); err != nil {
			return c.broken(err, true)
		}
	}
	return nil
}

// chunkLine returns the line that begins a chunk, without its CRLF. It is in the
// buffer.
func (c *Conn) chunkLine() ([]byte, error) {
	for {
		b := c.buf[c.r:c.w]
		if i := bytes.IndexByte(b, '\n'); i >= 0 && i <= maxChunkLine {
			if i == 0 || b[i-1] != '\r' {
				return nil, malformed("the line that begins a chunk does not end in CRLF")
			}
			c.r += i + 1
			return b[:i-1], nil
		}
		if len(b) > maxChunkLine {
			return nil, malformed("the line that begins a chunk exceeds %d bytes", maxChunkLine)
		}
		if err := c.need(len(b) + 1); err != nil {
			return nil, err
		}
	}
}

// parseChunk reads a chunk's size, behind which extensions or spaces may stand.
func parseChunk(line []byte) (size int64, ok bool) {
	line, ext, _ := bytes.Cut(bytes.TrimRight(line, " \t"), []byte(";"))
	if len(line) == 0 || len(line) > 15 || !validValue(ext) {
		return 0, false
	}
	for _, d := range line {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d|0x20 && d|0x20 <= 'f':
			d = d | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		size = size<<4 | int64(d)
	}
	return size, true
}

// readTrailer reads the trailer section, which is as strict as a head.
func (c *Conn) readTrailer() error {
	c.wait.start(c, c.conf.Between)
	end, n, err := c.lines(maxTrailer, false)
	if err != nil {
		if err.Kind == HeaderTooLarge {
			err.Kind = Malformed
		}
		return err
	}
	var h head
	if err := h.fields(c.buf[c.r:end], n); err != nil {
		return err
	}
	c.r, c.body.trailer = end, h.Fields
	return io.EOF
}
