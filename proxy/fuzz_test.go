package proxy

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/valyala/fasthttp"
)

// FuzzHandle sends whole request heads through the client machine. Whatever
// comes, there is one answer, and its Cache-Status is a structured field list
// whose last member is ours (RFC 9211).
func FuzzHandle(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://b/x%2fy?z HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1,3-4\r\n\r\n",
		"HEAD /a HTTP/1.0\r\nHost: a:80\r\nConnection: accept, x\r\nAccept: y\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "PURGE / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nCache-Control: only-if-cached\r\nIf-None-Match: *\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 weir, 1.1 weir\r\nAuthorization: x\r\n\r\n",
	} {
		f.Add(s)
	}
	b := newBench(f, Options{}, "", staticOrigin{hitHeader, make([]byte, 300)})
	f.Fuzz(func(t *testing.T, raw string) {
		var req fasthttp.Request
		if err := req.Header.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
			return // fasthttp answers it; badRequest is its entry
		}
		if n := req.Header.ContentLength(); n > 0 || n == -1 {
			return // there is no connection to read a body from
		}
		ctx := &fasthttp.RequestCtx{}
		ctx.Init(&req, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}, quietLogger{})
		if !ctx.Request.Header.IsHTTP11() {
			return // its body may go straight to the connection
		}
		status := b.do(ctx)
		if code := ctx.Response.StatusCode(); code < 200 || code > 599 {
			t.Fatalf("status %d for %q", code, raw)
		}
		list, err := httpsfv.UnmarshalList([]string{status})
		if err != nil || len(list) == 0 {
			t.Fatalf("Cache-Status %q: %v", status, err)
		}
		if item, ok := list[len(list)-1].(httpsfv.Item); !ok || item.Value != httpsfv.Token("weir") {
			t.Fatalf("Cache-Status %q: the last member is not ours", status)
		}
	})
}
