package origin

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// sink is a connection of which only Write is used.
type sink struct {
	net.Conn
	b *bytes.Buffer
}

func (s sink) Write(p []byte) (int, error) { return s.b.Write(p) }

type lineWriter struct {
	w io.Writer
	b []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.b = append(l.b, p...)
	return len(p), nil
}

func TestSniffer(t *testing.T) {
	tests := []struct {
		raw  string
		want fields
	}{
		{"HTTP/1.1 200 OK\r\n\r\nContent-Length: 5\r\n", fields{}},
		{"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\n", fields{contentLength: true}},
		{"HTTP/1.1 200\nTransfer-Encoding:chunked\nContent-Length: 1\n\n", fields{contentLength: true, transferEncoding: true}},
		{"HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 5\r\nCache-Control: a\r\n\r\n", fields{cacheControl: true}},
		{"HTTP/1.1 103 Early\r\nContent-Length: 5\r\nCache-Control: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", fields{transferEncoding: true}},
		{"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\n\r\n", fields{promise: promise{true, 5 * time.Second}}},
		{"HTTP/1.1 103 Early\r\nKeep-Alive: timeout=9\r\n\r\nHTTP/1.1 200 OK\nkeep-alive:timeout=0\n\n", fields{promise: promise{true, 0}}},
		{"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=soon\r\n\r\n", fields{}},
		{"HTTP/1.1 101 Switch\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", fields{}},
		{"HTTP/1.1  103 Odd\r\n\r\n", fields{oddStatusLine: true}},
		{"HTTP/1.1 2000 Odd\r\n\r\n", fields{oddStatusLine: true}},
		{"ICY 200 OK\r\n\r\n", fields{oddStatusLine: true}},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: odd\r\nA: b\r\n\r\n", fields{transferEncoding: true, unknownCoding: true}},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: odd\r\nTransfer-Encoding: chunked\r\n\r\n", fields{transferEncoding: true, unknownCoding: true, codingAgain: true}},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: odd\r\n , chunked\r\n\r\n", fields{transferEncoding: true, unknownCoding: true, codingAgain: true}},
		{"HTTP/1.1 103 E\r\nTransfer-Encoding: odd\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", fields{}},
	}
	for _, tt := range tests {
		for size := 1; size <= len(tt.raw); size++ {
			var s sniffer
			for rest := tt.raw; rest != ""; rest = rest[min(size, len(rest)):] {
				s.feed([]byte(rest[:min(size, len(rest))]))
			}
			if s.seen != tt.want {
				t.Errorf("%q in pieces of %d: %+v, want %+v", tt.raw, size, s.seen, tt.want)
			}
		}
	}
}

// TestUnknownCoding: what net/http is handed is what arrived, without a transfer
// coding that names nothing, however the bytes are cut up.
func TestUnknownCoding(t *testing.T) {
	const ok, rest = "HTTP/1.1 200 OK\r\nDate: x\r\n", "X: y\r\n\r\nbody\nTransfer-Encoding: odd\r\n"
	tests := []struct{ line, want string }{
		{"Transfer-Encoding: odd\r\n", ""},
		{"transfer-ENCODING:odd\n", ""},
		{"Transfer-Encoding:  Identity \r\n", ""},
		{"Transfer-Encoding: odd\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n"}, // and codingAgain
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: odd\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: odd\r\n"},
		{"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n"},
		{"Transfer-Encoding: gzip\r\n", "Transfer-Encoding: gzip\r\n"},
		{"Transfer-Encoding: odd, chunked\r\n", "Transfer-Encoding: odd, chunked\r\n"},
		{"Transfer-Encoding: odd;q=1\r\n", "Transfer-Encoding: odd;q=1\r\n"},
		{"Transfer-Encoding:\r\n", "Transfer-Encoding:\r\n"},
		{"Transfer-Encoding : odd\r\n", "Transfer-Encoding : odd\r\n"},
		{"Transfer-Encodin: odd\r\n", "Transfer-Encodin: odd\r\n"},
		{"Transfer-Encoding: " + strings.Repeat("o", maxSniff) + "\r\n", "Transfer-Encoding: " + strings.Repeat("o", maxSniff) + "\r\n"},
	}
	for _, tt := range tests {
		raw, want := ok+tt.line+rest, ok+tt.want+rest
		for size := 1; size <= len(raw); size++ {
			var s sniffer
			var got []byte
			for b := []byte(raw); len(b) > 0; b = b[min(size, len(b)):] {
				got = append(got, s.feed(bytes.Clone(b[:min(size, len(b))]))...)
			}
			if string(got) != want {
				t.Fatalf("%q in pieces of %d: %q, want %q", raw, size, got, want)
			}
		}
	}
}

// FuzzSniffer holds the sniffer against net/http's parser: what net/http shows in
// a final response, the sniffer has seen, however the bytes are cut up.
func FuzzSniffer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\r\n", 3)
	f.Add("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.0 200 OK\nTransfer-Encoding: chunked\nContent-Length: 3\n\n0\n\n", 1)
	f.Add("HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 1, 1\r\n\r\n", 7)
	f.Fuzz(func(t *testing.T, raw string, size int) {
		size = max(1, size%64)
		var s sniffer
		var handed bytes.Buffer
		for rest := raw; rest != ""; rest = rest[min(size, len(rest)):] {
			handed.Write(s.feed([]byte(rest[:min(size, len(rest))])))
		}
		if !s.seen.unknownCoding && !strings.HasPrefix(raw, handed.String()) {
			t.Fatalf("%q became %q", raw, handed.String())
		}
		br := bufio.NewReader(strings.NewReader(raw))
		req := &http.Request{Method: "GET"}
		resp, err := http.ReadResponse(br, req)
		for err == nil && resp.StatusCode >= 100 && resp.StatusCode < 200 && resp.StatusCode != 101 {
			resp, err = http.ReadResponse(br, req)
		}
		if err != nil || s.seen.oddStatusLine {
			return
		}
		if len(resp.TransferEncoding) > 0 && !s.seen.transferEncoding {
			t.Fatalf("transfer encoding not seen in %q", raw)
		}
		if resp.Header.Get("Content-Length") != "" && !s.seen.contentLength {
			t.Fatalf("content length not seen in %q", raw)
		}
		if cc := resp.Header["Cache-Control"]; len(cc) > 0 && resp.Header.Get("Pragma") == "" && !s.seen.cacheControl {
			t.Fatalf("cache control not seen in %q", raw)
		}
	})
}

// TestEarlyBytesAreTold plays the losing interleaving by hand.
func TestEarlyBytesAreTold(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	w := &wire{Conn: near, now: func() time.Duration { return 0 }, askedAt: -1}
	buf := make([]byte, 64)
	exchange := func(answer string) {
		go func() { _, _ = far.Read(make([]byte, 64)); _, _ = io.WriteString(far, answer) }()
		if _, err := w.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	w.expect("GET", "", nil)
	exchange("answer and surplus")
	if w.early() {
		t.Fatal("an answer after the question is called early")
	}
	w.expect("GET", "", nil)
	if !w.early() {
		t.Fatal("bytes from before the request is written are not called early")
	}
	go func() { _, _ = far.Read(make([]byte, 64)) }()
	if _, err := w.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if !w.early() {
		t.Fatal("bytes buffered before the request was written are not called early")
	}
	go func() { _, _ = io.WriteString(far, "answer") }()
	if _, err := w.Read(buf); err != nil {
		t.Fatal(err)
	}
	if w.early() {
		t.Fatal("the real answer is called early")
	}
}
