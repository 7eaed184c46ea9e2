package front

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// filterChunks is what a chunkFilter makes of raw in pieces of so many bytes: what it hands on, how much of raw is the
// body, and what is wrong.
func filterChunks(raw []byte, size int) (out []byte, used int, text string) {
	var f chunkFilter
	for used < len(raw) && f.state != chunkDone {
		b := bytes.Clone(raw[used:min(len(raw), used+size)])
		n, u, text := f.feed(b)
		out, used = append(out, b[:n]...), used+u
		if text != "" {
			return out, used, text
		}
	}
	if f.state != chunkDone {
		return out, used, "cut"
	}
	return append(out, lastChunk...), used, ""
}

// FuzzChunkFilter holds the filter against net/http's reader of chunks: a body that the filter takes, net/http takes
// too, with the same bytes, before and behind the filter; what is handed on has neither extensions nor trailers; and
// how the bytes come makes no difference.
func FuzzChunkFilter(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0;c\r\n\r\n", "5\r\nhello\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\nrest",
		"a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\n",
		"000005\r\nhello\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n X: 1\r\n\r\n",
		"10\r\n0123456789abcdef\r\n0\r\nX:\r\n\r\n", "ffffffff\r\nx", "5;\r\nhello\r\n0\r\n\r\n", "5\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		out, used, text := filterChunks(raw, max(len(raw), 1))
		pieces, usedInPieces, textInPieces := filterChunks(raw, min(max(size, 1), max(len(raw), 1)))
		if text != textInPieces || text == "" && (!bytes.Equal(out, pieces) || used != usedInPieces) {
			t.Fatalf("%q at once: %q, %d, %q; in pieces of %d: %q, %d, %q", raw, out, used, text, size, pieces, usedInPieces, textInPieces)
		}
		if text != "" {
			return
		}
		body, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(raw[:used])))
		if err != nil {
			t.Fatalf("%q is taken, but net/http says %v", raw, err)
		}
		r := bufio.NewReader(bytes.NewReader(out))
		clean, err := io.ReadAll(httputil.NewChunkedReader(r))
		if err != nil || !bytes.Equal(clean, body) {
			t.Fatalf("%q is handed on as %q: %q, %v, want %q", raw, out, clean, err, body)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "\r\n" {
			t.Fatalf("%q is handed on as %q, which ends in %q", raw, out, rest)
		}
	})
}

// FuzzInbound holds the heads that are handed on against fasthttp and net/http: fasthttp finds the end of each where it
// was found here, both see the same framing, and neither more than one request.
func FuzzInbound(f *testing.F) {
	for _, row := range pieceRows {
		f.Add([]byte(row), 9)
	}
	for _, line := range badLines {
		f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n"+line+"\r\n\r\n"), 9)
	}
	f.Fuzz(func(t *testing.T, raw []byte, size int) {
		out, fault := readPieces(raw, min(max(size, 1), max(len(raw), 1)), 1<<20)
		if fault != nil {
			if fault.Text == "" || fault.Status != 400 && fault.Status != 505 {
				t.Errorf("%q is refused with %d %q", raw, fault.Status, fault.Text)
			}
			return
		}
		end := bytes.Index(out, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		first := out[:end+4]
		var h fasthttp.RequestHeader
		r := bufio.NewReader(bytes.NewReader(first))
		if err := h.Read(r); err != nil {
			return // stricter still, and answered with 400
		}
		if r.Buffered() > 0 {
			t.Fatalf("fasthttp leaves %d bytes of the head %q", r.Buffered(), first)
		}
		req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(first), strings.NewReader("x"))))
		if err != nil {
			return
		}
		if want := max(int64(h.ContentLength()), -1); req.ContentLength != want && (req.ContentLength != 0 || want > 0) {
			t.Fatalf("%q: net/http has length %d, fasthttp %d", first, req.ContentLength, h.ContentLength())
		}
		if req.Method != string(h.Method()) || req.RequestURI != string(h.RequestURI()) {
			t.Fatalf("%q: net/http has %s %s, fasthttp %s %s", first, req.Method, req.RequestURI, h.Method(), h.RequestURI())
		}
	})
}
