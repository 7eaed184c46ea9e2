package proxy

import (
	"testing"

	"github.com/dunglas/httpsfv"

	"weir/proxy/front"
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
		r, err := front.NewRecorder(raw, peer)
		if err != nil || r.Request().HasBody() {
			return // the server answers it; and there is no connection to read a body from
		}
		if r.Request().Version != "1.1" {
			return // its body may go straight to the connection
		}
		status := b.do(r)
		if code := r.Code(); code < 200 || code > 599 {
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
