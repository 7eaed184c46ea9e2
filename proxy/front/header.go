package front

import (
	"sync"

	"github.com/valyala/fasthttp"
)

// Header is a response header that is made once and sent many times, so that an
// answer with it is one copy and the few fields of the answer's own. It is safe for
// use by several goroutines. Each kind of session keeps its own form in it.
type Header struct {
	made fasthttp.ResponseHeader
}

var scratchHeaders = sync.Pool{New: func() any { return new(fasthttp.ResponseHeader) }}

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
