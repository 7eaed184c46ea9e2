package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
)

// parse feeds text in pieces of n bytes and returns the body; left is what came behind the answer.
func parse(text string, n int, head bool) (p *parser, body []byte, left string, err error) {
	p = &parser{}
	p.reset(head)
	for len(text) > 0 {
		piece := []byte(text[:min(n, len(text))])
		for len(piece) > 0 && p.state != atEnd {
			used, b, _, err := p.next(piece)
			if err != nil {
				return p, body, "", err
			}
			body = append(body, b...)
			piece, text = piece[used:], text[used:]
		}
		if p.state == atEnd {
			return p, body, text, nil
		}
	}
	return p, body, "", nil
}

func TestParser(t *testing.T) {
	for _, tc := range []struct {
		name, text, body, left string
		head                   bool
		end                    parseState
		status                 int
	}{
		{name: "length", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", body: "hello", end: atEnd, status: 200},
		{name: "surplus", text: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhello", body: "he", left: "llo", end: atEnd, status: 200},
		{name: "chunks", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n", body: "hello", end: atEnd, status: 200},
		{name: "chunks cut at a boundary", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", body: "hel", end: inChunkSize, status: 200},
		{name: "until the end", text: "HTTP/1.0 200 OK\r\n\r\nhello", body: "hello", end: inClose, status: 200},
		{name: "HEAD", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", head: true, end: atEnd, status: 200},
		{name: "304 with a length", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", end: atEnd, status: 304},
		{name: "interim", text: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", body: "x", end: atEnd, status: 200},
		{name: "no reason", text: "HTTP/1.1 204\r\n\r\n", end: atEnd, status: 204},
	} {
		for n := 1; n <= len(tc.text); n++ {
			p, body, left, err := parse(tc.text, n, tc.head)
			if err != nil || string(body) != tc.body || left != tc.left || p.state != tc.end || p.answer.status != tc.status {
				t.Errorf("%s, in pieces of %d: body %q, left %q, state %v, status %d, %v", tc.name, n, body, left, p.state, p.answer.status, err)
				break
			}
		}
	}
}

func TestParserRefuses(t *testing.T) {
	for _, text := range []string{
		"SSH-2.0-OpenSSH\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA b\r\n\r\n", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nab\r\n", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", maxHeader),
	} {
		for _, n := range []int{1, 7, len(text)} {
			if _, _, _, err := parse(text, n, false); !errors.Is(err, errMalformed) {
				t.Errorf("%.60q in pieces of %d: %v", text, n, err)
			}
		}
	}
}

func TestTierOfStatus(t *testing.T) {
	for field, want := range map[string]Tier{
		"weir; hit; ttl=3599; detail=ram": TierRAM, "weir; hit; ttl=5; detail=disk": TierDisk, "weir;hit": TierHit,
		"weir; hit; ttl=-5; detail=ram": TierStale, "weir; hit; ttl=0; detail=ram": TierRAM,
		"weir; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=60": TierCollapsed, "weir; fwd=stale; fwd-status=304": TierRevalidated,
		"weir; fwd=bypass; detail=policy": TierPass, "weir; fwd=vary-miss": TierMiss, "weir": TierNone, "": TierNone,
		`cdn; hit, weir; fwd=miss; key="a,b; hit"`: TierMiss, `weir; key="\"; hit; ,x"; hit; detail="disk"`: TierDisk,
	} {
		if got := tierOfStatus([]byte(field)); got != want {
			t.Errorf("%q is %v, want %v", field, got, want)
		}
	}
}

func TestTierOfMark(t *testing.T) {
	for field, want := range map[string]Tier{"HIT": TierHit, "TCP_MISS from x": TierMiss, "EXPIRED": TierMiss, "REVALIDATED": TierRevalidated, "STALE": TierStale, "BYPASS": TierPass, "-": TierNone} {
		if got := tierOfMark([]byte(field)); got != want {
			t.Errorf("%q is %v, want %v", field, got, want)
		}
	}
}

// What net/http accepts of the answers that this parser accepts has the same status and the same body; and pieces of another size make
// no difference.
func FuzzParser(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 3)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n", 1)
	f.Add("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 206 X\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nxy", 9)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = max(1, n&63)
		whole, body, left, err := parse(text, max(len(text), 1), false)
		other, body2, left2, err2 := parse(text, n, false)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("in one piece: %v; in pieces of %d: %v", err, n, err2)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(body, body2) || left != left2 || whole.state != other.state {
			t.Fatalf("in one piece %q, in pieces of %d %q", body, n, body2)
		}
		if whole.state != atEnd || strings.HasPrefix(text, "HTTP/1.1 1") {
			return
		}
		br := bufio.NewReader(strings.NewReader(text))
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return // stricter in places: names of fields, for instance
		}
		defer resp.Body.Close()
		want, err := io.ReadAll(resp.Body)
		if err == nil && whole.answer.status/100 != 1 && (resp.StatusCode != whole.answer.status || !bytes.Equal(want, body)) {
			t.Fatalf("status %d, body %q; net/http says %d, %q", whole.answer.status, body, resp.StatusCode, want)
		}
	})
}

// Whatever a parser of structured fields accepts as Cache-Status means the same here.
func FuzzTierOfStatus(f *testing.F) {
	for _, s := range []string{"weir; hit; detail=ram", `a;hit, "b;c";fwd=miss;detail="disk"`, "weir;hit=?0;fwd=stale", "x;ttl=-0;hit"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := tierOfStatus([]byte(s))
		list, err := httpsfv.UnmarshalList([]string{s})
		if err != nil || len(list) == 0 {
			return
		}
		item, ok := list[len(list)-1].(httpsfv.Item)
		if !ok {
			return
		}
		if hit, _ := item.Params.Get("hit"); (hit == true) != got.Hit() {
			t.Fatalf("%q is %v; hit is %v", s, got, hit)
		}
	})
}
