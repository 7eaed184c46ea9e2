package front

import (
	"bufio"
	"bytes"
	"io"
	"net"
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

// setFolded is setHeader with the fields folded where that is possible.
func setFolded(h *fasthttp.ResponseHeader, code int, fields policy.Fields) {
	if f, ok := fold(fields); !ok || !f.set(h, code) {
		setHeader(h, code, fields)
	}
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
// or gives the context back. TestReleasedWhenWritten.
func closeWhenWritten(ctx *fasthttp.RequestCtx, c io.Closer) { ctx.SetUserValue(releaseKey{}, c) }

type releaseKey struct{}

// joined is a large body in memory that leaves in one system call with its header.
// Fasthttp would do that on a *net.TCPConn only; on others it copies the beginning of
// the body and makes two. So the body is taken from it: it then writes the header
// alone, with the body's length, and in one piece. TestBodyLeavesWithItsHeader.
type joined struct {
	body []byte // of the answer whose header is about to be written
	vec  [2][]byte
	bufs net.Buffers
}

// writeBuffer holds a response header and the small bodies that are worth one
// write; larger bodies go out with the header in one writev.
const writeBuffer = 4 << 10

// take takes the body of the answer, if that is worth it.
func (j *joined) take(ctx *fasthttp.RequestCtx) {
	resp := &ctx.Response
	if resp.SkipBody || ctx.IsHead() || resp.IsBodyStream() {
		return
	}
	if body := resp.Body(); len(body) > writeBuffer/4 {
		j.body, resp.SkipBody = body, true
	}
}

// follows reports whether the body is to follow the bytes that are written.
func (j *joined) follows(p []byte) bool { return j.body != nil && bytes.HasSuffix(p, headEnd) }

// write writes the end of a header, and the body. It counts the former only.
func (j *joined) write(c *net.TCPConn, p []byte) (int, error) {
	j.vec[0], j.vec[1] = p, j.body
	j.body = nil
	j.bufs = j.vec[:]
	n, err := j.bufs.WriteTo(c)
	j.bufs, j.vec[0], j.vec[1] = nil, nil, nil
	return min(int(n), len(p)), err
}

// left reports whether a body was not written, and forgets it.
func (j *joined) left() bool {
	was := j.body != nil
	j.body = nil
	return was
}

var headEnd = []byte("\r\n\r\n")

// flushedFirst has the header of a stream written at once, so that fasthttp's buffer
// is empty when the stream is asked to write itself, and pieces that go to the
// connection directly overtake nothing. TestStreamOvertakesNothing.
func flushedFirst(resp *fasthttp.Response) { resp.ImmediateHeaderFlush = true }
