package front

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"weir/policy"
)

// What fasthttp does and does not promise. Nothing else in weir relies on more than
// its documentation. Each function names the test that fails when a version of
// fasthttp does otherwise.

// set sets the fields in h, which must be as fasthttp resets it, or a copy of such
// a header. It reports false when fasthttp does not do as it did; h is of no use then.
//
// Fasthttp takes the line ends out of what it is given as a value, and rightly. So
// the field is set with room for the value, and the value is written there: Peek
// returns the header's own memory.
func (f *folded) set(h *fasthttp.ResponseHeader, code int) bool {
	h.SetStatusCode(code)
	for i := range f.single {
		h.Set(f.single[i].Name, f.single[i].Value)
	}
	h.SetBytesV(f.name, f.value)
	room := h.Peek(f.name)
	if len(room) != len(f.value) {
		return false
	}
	copy(room, f.value)
	return true
}

// setHeader makes h the header of a response with these fields. It goes through
// fasthttp's parser, the one way to a Date and to field lines as they were.
func setHeader(h *fasthttp.ResponseHeader, code int, fields policy.Fields) {
	b := headerBuffers.Get().(*headerBuffer)
	defer headerBuffers.Put(b)
	b.raw.Reset()
	b.raw.WriteString("HTTP/1.1 ")
	b.raw.WriteString(strconv.Itoa(code))
	b.raw.WriteByte(' ')
	b.raw.WriteString(statusMessage(code))
	b.raw.WriteString("\r\n")
	if !Bodiless(code) {
		// Without one fasthttp's parser would mark the connection for closing.
		b.raw.WriteString("Content-Length: 0\r\n")
	}
	for i, f := range fields {
		switch f.Name {
		case "Content-Type", "Content-Encoding", "Server":
			// Fasthttp keeps one line of these: repeated lines are joined.
			if fields[:i].Has(f.Name) {
				continue
			}
			f.Value = fields.Joined(f.Name)
		}
		// They were checked when they came. Where one was not, it is left out: the
		// parser would take what is in it for fields.
		if unsent(f.Name) || !oneLine(&f) {
			continue
		}
		b.raw.WriteString(f.Name)
		b.raw.WriteString(": ")
		b.raw.WriteString(f.Value)
		b.raw.WriteString("\r\n")
	}
	b.raw.WriteString("\r\n")
	if b.raw.Len() > b.in.Size() {
		b.in = bufio.NewReaderSize(&b.raw, 2*b.raw.Len())
	}
	b.in.Reset(&b.raw)
	if err := h.Read(b.in); err != nil {
		// The fields were validated when they came; what is left cannot be
		// sent, so nothing of it is.
		h.Reset()
		h.SetStatusCode(fasthttp.StatusBadGateway)
	}
}

type headerBuffer struct {
	raw bytes.Buffer
	in  *bufio.Reader
}

var headerBuffers = sync.Pool{New: func() any { return &headerBuffer{in: bufio.NewReaderSize(nil, 8<<10)} }}

// serverSettings makes h an empty header with what the server has set in the header
// of each response, such as that it has no Date of its own. Only a copy carries that
// over. TestPreparedHasNoDate.
func serverSettings(response, h *fasthttp.ResponseHeader) { response.CopyTo(h) }

// somethingRead makes a Read into p one that has brought a byte beside its error.
// Fasthttp answers errors only where it has read something. TestRawRequests.
func somethingRead(p []byte) int {
	p[0] = '?'
	return 1
}

// closeWhenWritten closes c once the answer is written, or the connection lost.
// Fasthttp closes what is kept with the request when it makes room for the next one,
// or gives the context back. TestLentBodyIsGivenBack.
func (h *http1) closeWhenWritten(c io.Closer) { h.ctx.SetUserValue(releaseKey{}, c) }

type releaseKey struct{}

// joinBody takes a large body in memory from fasthttp, which then writes the header
// alone, with the body's length: the connection sends the two in one system call.
// Fasthttp would do that on a *net.TCPConn only; on others it copies the beginning
// of the body and makes two. TestBodyLeavesWithItsHeader.
func (h *http1) joinBody() {
	resp := &h.ctx.Response
	if resp.SkipBody || h.ctx.IsHead() || resp.IsBodyStream() || h.conn == nil || h.conn.tcp == nil {
		return
	}
	if body := resp.Body(); len(body) > writeBuffer/4 {
		h.conn.body, resp.SkipBody = body, true
	}
}

// Write implements net.Conn. What ends a header takes the body along that is to
// follow it: fasthttp writes a header without a body in one piece.
func (k *clientConn) Write(p []byte) (int, error) {
	if k.body == nil || !bytes.HasSuffix(p, headEnd) {
		return k.Conn.Write(p)
	}
	k.vec[0], k.vec[1] = p, k.body
	k.body = nil
	k.bufs = k.vec[:]
	n, err := k.bufs.WriteTo(k.tcp)
	k.bufs, k.vec[0], k.vec[1] = nil, nil, nil
	return min(int(n), len(p)), err
}

var headEnd = []byte("\r\n\r\n")

// flushedFirst has the header of a stream written at once, so that fasthttp's buffer
// is empty when the stream is asked to write itself, and pieces that go to the
// connection directly overtake nothing. TestStreamOvertakesNothing.
func flushedFirst(resp *fasthttp.Response) { resp.ImmediateHeaderFlush = true }
