package policy

import (
	"bytes"
	"testing"
)

// FuzzView holds the view to its word: what it lets through is framed in a way that every
// parser reads alike, and its fields are canonical.
func FuzzView(f *testing.F) {
	for _, s := range []string{
		"Host: a\r\nCache-Control: no-cache\r\nCache-Control: max-age=1\r\n",
		"Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n",
		"Host: a\nX: b\r\n", "X: a\r\n b\r\n", ": a\r\n", "If-None-Match:\r\n", "Content-Length: 1, 1\r\n",
		"Transfer-Encoding: identity\r\n", "\r\n", "Range: bytes=0-\r\nRange: bytes=1-", "X:\x00\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var v View
		if !v.Read(raw, len(raw)%2 == 0) {
			if v.Fault == "" {
				t.Error("refused without saying why")
			}
			return
		}
		for i, c := range raw {
			if c == '\n' && (i == 0 || raw[i-1] != '\r') {
				t.Fatalf("a bare LF went through: %q", raw)
			}
		}
		var q Request
		v.Fill(&q)
		for _, f := range q.Fields {
			if !isToken(f.Name) || f.Name != CanonicalName(f.Name) || !validValue(f.Value) || hopByHop(f.Name) {
				t.Fatalf("%q: %q went through", f.Name, f.Value)
			}
		}
		lower := bytes.ToLower(raw)
		te, cl := countLines(lower, "transfer-encoding:"), countLines(lower, "content-length:")
		if te > 1 || cl > 1 || te+cl > 1 {
			t.Fatalf("%d Transfer-Encoding and %d Content-Length went through: %q", te, cl, raw)
		}
	})
}

func countLines(raw []byte, prefix string) int {
	n := 0
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if bytes.HasPrefix(line, []byte(prefix)) {
			n++
		}
	}
	return n
}
