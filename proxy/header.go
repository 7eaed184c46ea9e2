package proxy

import (
	"bufio"
	"bytes"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"weir/policy"
	"weir/tiers"
)

// shown is how an object is shown, as far as it follows from the object and the
// configuration.
type shown struct {
	// status is the Cache-Status of caches before us, with ", " behind it.
	status []byte
	// cacheName and hidden are all of the configuration that the header and the
	// fields of the 304 are made with; when a reload changes them they are made
	// anew. The lists are compared and not where they lie: most reloads leave them as
	// they are, and would else make every header anew.
	cacheName string
	hidden    []string
}

// prepared is what the proxy keeps beside a stored object: its header as
// fasthttp wants it, so that a hit is one copy and two more fields.
type prepared struct {
	shown
	header fasthttp.ResponseHeader
	// notModified are the fields of a 304 (RFC 9110 section 15.4.5); nil before the
	// first, and where they cannot be folded.
	notModified atomic.Pointer[folded]
}

// prepare returns how the object is shown, with its prepared header, which is made
// at the first hit. What has just come from the origin is shown without: it may
// never be asked for again, and to keep the header is as dear as to make it.
func (x *exchange) prepare(o *tiers.Object) (*shown, *prepared) {
	var hidden []string
	if x.rule != nil {
		hidden = x.rule.Hidden()
	}
	if p, ok := o.Aside().(*prepared); ok && p.cacheName == x.cfg.CacheName && slices.Equal(p.hidden, hidden) {
		return &p.shown, p
	}
	show := shown{cacheName: x.cfg.CacheName, hidden: hidden}
	for i := range o.Fields {
		if o.Fields[i].Name == "Cache-Status" {
			show.status = append(append(show.status, o.Fields[i].Value...), ", "...)
		}
	}
	if x.outcome == outcomeFetched || x.outcome == outcomeRevalidated {
		x.shown = show
		return &x.shown, nil
	}
	p := &prepared{shown: show}
	// Made elsewhere and copied: what fasthttp needs to make it is as much again.
	scratch := scratchHeaders.Get().(*fasthttp.ResponseHeader)
	defer scratchHeaders.Put(scratch)
	// A copy of the response's own header carries the server's settings over.
	x.ctx.Response.Header.CopyTo(scratch)
	setFolded(scratch, o.Status, p.answerFields(o))
	scratch.CopyTo(&p.header)
	o.SetAside(p)
	return &p.shown, p
}

var scratchHeaders = sync.Pool{New: func() any { return new(fasthttp.ResponseHeader) }}

// answerFields are the fields of an answer with the object, without those that
// annotate sets. They follow from the object and from what s keeps of the
// configuration, and from nothing else: they are kept for requests to come.
func (s *shown) answerFields(o *tiers.Object) policy.Fields {
	fields := make(policy.Fields, 0, len(o.Fields)+1)
	via := "1.1 " + s.cacheName
	if before := o.Fields.Joined("Via"); before != "" {
		via = before + ", " + via
	}
	for _, f := range o.Fields {
		switch {
		case f.Name == "Cache-Status", f.Name == "Via", f.Name == "Content-Length", f.Name == "Age" && o.Freshness.Born != 0:
		case slices.Contains(s.hidden, f.Name):
		default:
			fields = append(fields, f)
		}
	}
	return append(fields, policy.Field{Name: "Via", Value: via})
}

// setNotModified makes the response's header that of a 304 for x.obj. What is
// prepared for it is kept in p, unless that is nil.
func (x *exchange) setNotModified(show *shown, p *prepared) {
	h := &x.ctx.Response.Header
	if p != nil {
		if f := p.notModified.Load(); f != nil && f.set(h, fasthttp.StatusNotModified) {
			return
		}
	}
	fields := notModifiedFields(show.answerFields(x.obj))
	setFolded(h, fasthttp.StatusNotModified, fields)
	if f, ok := fold(fields); ok && p != nil {
		p.notModified.Store(&f)
	}
}

// notModifiedFields keeps what a 304 carries: what the 200 would have carried
// of these, and nothing that describes a body that is not sent.
func notModifiedFields(f policy.Fields) policy.Fields {
	var out policy.Fields
	for _, v := range f {
		switch v.Name {
		case "Content-Length", "Content-Type", "Content-Encoding", "Content-Language", "Content-Range",
			"Last-Modified", "Trailer", "Accept-Ranges":
			if v.Name != "Last-Modified" || f.Has("Etag") {
				continue
			}
		}
		out = append(out, v)
	}
	return out
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
	if !bodiless(code) {
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

// noLength takes the length off the header, for what is sent without one.
func noLength(h *fasthttp.ResponseHeader) {
	h.SetContentLength(-1)
	h.Del("Transfer-Encoding")
}

// statusMessage is the reason phrase; an unknown code has none.
func statusMessage(code int) string {
	if code < 100 || code > 599 || fasthttp.StatusMessage(code) == fasthttp.StatusMessage(999) {
		return ""
	}
	return fasthttp.StatusMessage(code)
}

type headerBuffer struct {
	raw bytes.Buffer
	in  *bufio.Reader
}

var headerBuffers = sync.Pool{New: func() any { return &headerBuffer{in: bufio.NewReaderSize(nil, 8<<10)} }}

var (
	nameAge          = []byte("Age")
	nameCacheStatus  = []byte("Cache-Status")
	nameContentRange = []byte("Content-Range")
	nameLocation     = []byte("Location")
	messagePartial   = []byte("Partial Content")
)

// annotate adds what differs from answer to answer: Age and Cache-Status.
func (x *exchange) annotate(show *shown, age int64) {
	h := &x.ctx.Response.Header
	if x.closing {
		h.SetConnectionClose()
	}
	if age >= 0 {
		x.age = strconv.AppendInt(x.age[:0], age, 10)
		h.SetCanonical(nameAge, x.age)
	}
	x.status = append(x.status[:0], show.status...)
	x.status = x.appendCacheStatus(x.status)
	h.SetCanonical(nameCacheStatus, x.status)
}
