package front

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	host    = "Host: h.example\r\n"
	chunked = "POST /c HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n"
)

// pieceRows are what clients send, right and wrong. What becomes of such requests as a whole is in the tests of
// package proxy.
var pieceRows = []string{
	"GET /a HTTP/1.1\r\n" + host + "\r\n",
	"GET /a HTTP/1.1\r\n" + host + "\r\nGET /b HTTP/1.1\r\n" + host + "\r\n",
	"\r\nGET /a HTTP/1.1\r\n" + host + "\r\n",
	"GET /a HTTP/1.0\r\n\r\n",
	"GET http://h.example/a HTTP/1.1\r\n" + host + "\r\n",
	"GET /a HTTP/1.1\r\nHost:h.example\r\nX-A:\r\nX-B: \t \r\nX-C:a\tb\xc3\xa9\r\n\r\n",
	"POST /p HTTP/1.1\r\n" + host + "Content-Length: 4\r\n\r\nabcd",
	"POST /p HTTP/1.1\r\n" + host + "Content-Length:\t0004 \r\n\r\nabcd\r\nGET /a HTTP/1.1\r\n" + host + "\r\n",
	"POST /p HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n",
	"POST /p HTTP/1.1\r\n" + host + "Content-Length: 5000\r\n\r\n" + strings.Repeat("abcde", 1000) + "GET /a HTTP/1.1\r\n" + host + "\r\n",
	chunked + "0\r\n\r\n",
	chunked + "5\r\nhello\r\n0\r\n\r\nGET /a HTTP/1.1\r\n" + host + "\r\n",
	chunked + "00000005\r\nhello\r\n000\r\n\r\n",
	chunked + "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
	chunked + "5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n",
	chunked + "5;" + strings.Repeat("x", maxChunkExt) + "\r\nhello\r\n0\r\n\r\n",
	chunked + "5\r\nhello\r\n0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n",
	strings.Replace(chunked, ": chunked", ":\tChunked ", 1) + "5\r\nhello\r\n0\r\n\r\n",
	"GET /a HTTP/1.1\n" + host + "\r\n", "GET /a HTTP/1.1\r\n" + host + "\n", "\r\n\r\nGET /a HTTP/1.1\r\n" + host + "\r\n",
	"\nGET /a HTTP/1.1\r\n" + host + "\r\n", "GET  /a HTTP/1.1\r\n" + host + "\r\n", "GET /a\r\n" + host + "\r\n",
	"GET /a HTTP/1.2\r\n" + host + "\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET a HTTP/1.1\r\n" + host + "\r\n",
	"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n", "GET /a HTTP/1.1\r\n\r\n",
	"POST /p HTTP/1.1\r\n" + host + "Content-Length: 4\r\n\r\nabcd\x00\n",
	chunked + "5\nhello\r\n0\r\n\r\n", chunked + "5\r\nhello0\r\n\r\n", chunked + "0\r\n\n", chunked + "+5\r\nhello\r\n0\r\n\r\n",
	chunked + "000000005\r\nhello\r\n0\r\n\r\n", chunked + "5;a\x00b\r\nhello\r\n0\r\n\r\n",
	chunked + "5;" + strings.Repeat("x", maxChunkExt+1) + "\r\nhello\r\n0\r\n\r\n",
	chunked + strings.Repeat("1;"+strings.Repeat("x", maxChunkExt)+"\r\na\r\n", maxChunkExts/maxChunkExt+1) + "0\r\n\r\n",
	chunked + "5\r\nhello\r\n0\r\nX-A : 1\r\n\r\n", chunked + "5\r\nhello\r\n0\r\nHost: evil.test\r\n\r\n",
	chunked + "5\r\nhello\r\n0\r\n" + strings.Repeat("X-A: 1\r\n", maxTrailer/8+1) + "\r\n",
}

// badLines are some of the field lines that are refused.
var badLines = []string{
	"Content-Length abcde: 40", "Content-Length : 4", ": 4", "X-A", " X-A: 1", "X-A: a\x00b", "X-A: 1\nX-B: 2", "X-A: 1\r\n 2",
	"Host: other.example", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4",
	"Content-Length: +5", "Content-Length: 5\r\nContent-Length: 5",
}

// piecesConn hands out what is to be read in pieces.
type piecesConn struct {
	net.Conn
	pieces [][]byte
}

func (c *piecesConn) Read(p []byte) (int, error) {
	if len(c.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, nil
}

func (c *piecesConn) SetReadDeadline(time.Time) error { return nil }

// readPieces returns what a connection that gets raw in pieces of so many bytes hands on, with "|" where a request ends,
// and its fault.
func readPieces(raw []byte, size, room int) (out []byte, f *Fault) {
	c := &piecesConn{}
	for p := range slices.Chunk(bytes.Clone(raw), size) {
		c.pieces = append(c.pieces, p)
	}
	var clock coarseClock
	k := newClientConn(c, netip.Addr{}, &clock, 0)
	p := make([]byte, room)
	for {
		n, err := k.Read(p)
		out = append(out, p[:n]...)
		if k.in.fault != nil {
			return out, k.in.fault
		}
		if err != nil {
			return out, nil
		}
		if k.in.whole() && !k.in.inHead() && k.in.tail == "" {
			out = append(out, '|')
		}
	}
}

// TestPieces: however the bytes come, the same is handed on.
func TestPieces(t *testing.T) {
	for _, row := range pieceRows {
		whole, f := readPieces([]byte(row), len(row), 1<<20)
		if f != nil {
			continue // how much came before a fault is not determined
		}
		for _, size := range []int{1, 2, 3, 7, 64} {
			for _, room := range []int{5, 64, 1 << 20} {
				got, f := readPieces([]byte(row), size, room)
				if f != nil || !bytes.Equal(bytes.ReplaceAll(got, []byte("|"), nil), bytes.ReplaceAll(whole, []byte("|"), nil)) {
					t.Errorf("%.100q in pieces of %d for %d: %q, %v, want %q", row, size, room, got, f, whole)
				}
			}
		}
	}
	for _, row := range pieceRows {
		if _, f := readPieces([]byte(row), len(row), 1<<20); f == nil {
			continue
		}
		for _, size := range []int{1, 2, 3, 7, 64} {
			if _, f := readPieces([]byte(row), size, 1<<20); f == nil {
				t.Errorf("%.100q in pieces of %d: no fault", row, size)
			}
		}
	}
}
