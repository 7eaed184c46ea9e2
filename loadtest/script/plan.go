package script

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// plan is what is sent for one request: the answer itself, a 304, or a range of it.
type plan struct {
	statusLine string
	code       int
	fields     []Field // a slice of its own
	offset     int64   // of the first body byte
	length     int64   // of the body, whether or not it is sent
	hasBody    bool
}

func (x *exchange) plan() *plan {
	a := x.answer
	now := x.conn.o.opts.Now()
	p := &plan{
		statusLine: a.statusLine(),
		fields:     append([]Field(nil), a.Fields...),
		length:     a.bodySize(),
	}
	p.code = statusCode(p.statusLine)
	reading := x.req.Method == http.MethodGet || x.req.Method == http.MethodHead
	if a.Conditional && reading && p.code/100 == 2 && notModified(x.req.Header, a.value("Etag", now), a.value("Last-Modified", now)) {
		p.notModified()
	} else if a.Ranges && x.req.Method == http.MethodGet && p.code == http.StatusOK {
		p.cut(x.req.Header, a.value("Etag", now), a.value("Last-Modified", now))
	}
	// FramingNone sends its bytes whatever HTTP says: that is what it is for.
	p.hasBody = a.Framing == FramingNone ||
		(x.req.Method != http.MethodHead && p.code != http.StatusNoContent && p.code != http.StatusNotModified)
	return p
}

// notModified turns the plan into a 304: RFC 9110 section 15.4.5 keeps the fields that describe no content.
func (p *plan) notModified() {
	p.statusLine, p.code, p.length = "HTTP/1.1 304 Not Modified", http.StatusNotModified, 0
	kept := p.fields[:0]
	for _, f := range p.fields {
		name := strings.ToLower(f.Name)
		if !strings.HasPrefix(name, "content-") || name == "content-location" {
			kept = append(kept, f)
		}
	}
	p.fields = kept
}

// notModified evaluates RFC 9110 section 13.2.2: If-None-Match alone where it is there, else If-Modified-Since.
func notModified(h http.Header, etag, lastModified string) bool {
	if list := h.Values("If-None-Match"); len(list) > 0 {
		for tag := range strings.SplitSeq(strings.Join(list, ","), ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || (etag != "" && strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/")) {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(h.Get("If-Modified-Since"))
	if err != nil {
		return false
	}
	modified, err := http.ParseTime(lastModified)
	return err == nil && !modified.After(since)
}

// cut turns the plan into a 206 or a 416 where the request asks for one range and If-Range does not forbid it.
func (p *plan) cut(h http.Header, etag, lastModified string) {
	spec, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	if !ok || strings.Contains(spec, ",") || !ifRange(h.Get("If-Range"), etag, lastModified) {
		return
	}
	from, n, ok := parseRange(spec, p.length)
	if !ok {
		return
	}
	if n == 0 {
		p.statusLine, p.code = "HTTP/1.1 416 Range Not Satisfiable", http.StatusRequestedRangeNotSatisfiable
		p.fields = append(p.fields, Field{Name: "Content-Range", Value: fmt.Sprintf("bytes */%d", p.length)})
		p.length = 0
		return
	}
	p.statusLine, p.code = "HTTP/1.1 206 Partial Content", http.StatusPartialContent
	p.fields = append(p.fields, Field{Name: "Content-Range", Value: fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, p.length)})
	p.offset, p.length = from, n
}

// ifRange evaluates RFC 9110 section 13.1.5: strong comparison, exact dates.
func ifRange(v, etag, lastModified string) bool {
	if v == "" {
		return true
	}
	if strings.HasPrefix(v, `"`) {
		return v == etag
	}
	a, err := http.ParseTime(v)
	if err != nil {
		return false
	}
	b, err := http.ParseTime(lastModified)
	return err == nil && a.Equal(b)
}

// parseRange reads "a-b", "a-" or "-n" of a body of size bytes. n is 0 when nothing of it can be sent, ok is false when
// it is no range.
func parseRange(spec string, size int64) (from, n int64, ok bool) {
	first, last, found := strings.Cut(strings.TrimSpace(spec), "-")
	if !found {
		return 0, 0, false
	}
	if first == "" {
		suffix, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return 0, 0, false
		}
		n = min(int64(suffix), size)
		return size - n, n, true
	}
	start, err := strconv.ParseUint(first, 10, 63)
	if err != nil {
		return 0, 0, false
	}
	end := size - 1
	if last != "" {
		e, err := strconv.ParseUint(last, 10, 63)
		if err != nil || e < start {
			return 0, 0, false
		}
		end = min(int64(e), end)
	}
	if int64(start) >= size {
		return 0, 0, true
	}
	return int64(start), end - int64(start) + 1, true
}
