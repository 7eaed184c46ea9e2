package policy

import (
	"bytes"
	"strings"
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

// seen makes a View of the lines, for a sender that is trusted or not.
func seen(trusted bool, lines ...string) (*View, *Request, bool) {
	v, q := new(View), &Request{Method: "GET", Scheme: "http", Host: []byte("a.example"), Path: []byte("/")}
	ok := v.Read([]byte(strings.Join(lines, "\r\n")+"\r\n"), trusted)
	if ok {
		v.Fill(q)
	}
	return v, q, ok
}

func linesOf(f Fields) string {
	var b strings.Builder
	for i := range f {
		b.WriteString(f[i].Name + ": " + f[i].Value + "\n")
	}
	return b.String()
}

func TestViewRefuses(t *testing.T) {
	for _, lines := range [][]string{
		{"Content-Length abcde: 40"},
		{"Content-Length : 40"},
		{"X A: 1"},
		{"X\x00: 1"},
		{"X(a): 1"},
		{"\"X\": 1"},
		{"Content-Length\t: 4"},
		{"caf\xc3\xa9: 1"},
		{": 1"},
		{"X"},
		{" X: 1"},
		{"X: 1", " 2"},
		{"X: 1", "\t2"},
		{"X: a\nY: b"},
		{"X: a\rY: b"},
		{"X: a\x00b"},
		{"X: \x01"},
		{"X: \x7f"},
		{"X: aaaaaaaa\x1baaaaaaaa"},
		{"X: a long value with \x0b in it"},
		{"User-Agent: Evil", "User-Agent: Chrome/100"},
		{"user-agent: Evil", "USER-AGENT: Chrome"},
		{"Content-Type: a/b", "Content-Type: c/d"},
		{"Authorization: Basic a", "Authorization: Basic b"},
		{"Referer: a", "Referer: b"},
		{"If-Modified-Since: a", "If-Modified-Since: b"},
		{"If-Range: a", "If-Range: b"},
		{"Range: bytes=0-", "Range: bytes=1-"},
		{"Max-Forwards: 1", "Max-Forwards: 2"},
		{"Origin: a", "Origin: b"},
		{"From: a", "From: b"},
		{"Date: a", "Date: b"},
		{"If-Unmodified-Since: a", "If-Unmodified-Since: b"},
		{"Content-Location: a", "Content-Location: b"},
		{"User-Agent: a", "X: y", "User-Agent:"},
		{"Host: a", "Host: a"},
		{"Content-Length: 4", "Content-Length: 4"},
		{"Content-Length: 4", "Transfer-Encoding: chunked"},
		{"Transfer-Encoding: chunked", "Transfer-Encoding: chunked"},
		{"Transfer-Encoding: gzip"},
		{"Content-Length: +4"},
	} {
		if v, _, ok := seen(false, lines...); ok || v.Fault == "" {
			t.Errorf("%q goes through, or without a word", lines)
		}
	}
}

// What goes on from a sender that is not trusted, from one that is, and under a
// rule that names more.
func TestViewFields(t *testing.T) {
	keyed := Rule{
		Key:         KeySpec{Headers: []string{"x-forwarded-prefix", "x-original-url", "x-http-method-override", "x-forwarded-ssl"}},
		Underscores: []string{"api_key"},
	}
	for _, c := range []struct {
		name  string
		lines []string
		// others, trusted and keyed are what goes on; keyed is from a trusted sender.
		others, trusted, keyed string
		override               bool // from a trusted sender
	}{
		{
			name: "ordinary lines in their order", lines: []string{"Host: b", "accept: a", "x-b: 1", "Accept: b", "X-A:\t 2 ", "X-Empty:"},
			others:  "Host: a.example\nAccept: a\nX-B: 1\nAccept: b\nX-A: 2\nX-Empty: \n",
			trusted: "Host: a.example\nAccept: a\nX-B: 1\nAccept: b\nX-A: 2\nX-Empty: \n",
			keyed:   "Host: a.example\nAccept: a\nX-B: 1\nAccept: b\nX-A: 2\nX-Empty: \n",
		},
		{
			name: "one value twice", lines: []string{"User-Agent: x", "X: 1", "user-agent:  x "},
			others: "User-Agent: x\nX: 1\n", trusted: "User-Agent: x\nX: 1\n", keyed: "User-Agent: x\nX: 1\n",
		},
		{
			name:   "hop by hop, nominated, framing",
			lines:  []string{"X-Hop: 1", "Connection: close, x-hop,, Cache-Control", "Cache-Control: no-cache", "TE: trailers", "Trailer: X", "Upgrade: h2c", "Expect: 100-continue", "Content-Length: 0", "Keep-Alive: 1", "Proxy: x", "X: 1"},
			others: "X: 1\n", trusted: "X: 1\n", keyed: "X: 1\n",
		},
		{
			name:   "who the client is",
			lines:  []string{"X-Real-IP: 6.6.6.6", "True-Client-IP: 6.6.6.6", "CF-Connecting-IP: 6.6.6.6", "Connection: X-Real-Ip"},
			others: "", trusted: "X-Real-Ip: 6.6.6.6\nTrue-Client-Ip: 6.6.6.6\nCf-Connecting-Ip: 6.6.6.6\n",
			keyed: "X-Real-Ip: 6.6.6.6\nTrue-Client-Ip: 6.6.6.6\nCf-Connecting-Ip: 6.6.6.6\n",
		},
		{
			name:   "scheme, host, port and prefix",
			lines:  []string{"X-Forwarded-Prefix: /evil", "X-Forwarded-Port: 1", "X-Forwarded-Ssl: on", "Front-End-Https: on", "X-Scheme: https", "X-Forwarded-Scheme: https", "X-Forwarded-Server: evil"},
			others: "", trusted: "", keyed: "X-Forwarded-Prefix: /evil\nX-Forwarded-Ssl: on\n",
		},
		{
			name: "another path", lines: []string{"X-Original-URL: /admin"},
			trusted: "X-Original-Url: /admin\n", keyed: "X-Original-Url: /admin\n", override: true,
		},
		{
			name: "another host", lines: []string{"X-Host: evil"}, trusted: "X-Host: evil\n", keyed: "X-Host: evil\n", override: true,
		},
		{
			name: "another method", lines: []string{"X-HTTP-Method-Override: DELETE"},
			trusted: "X-Http-Method-Override: DELETE\n", keyed: "X-Http-Method-Override: DELETE\n", override: true,
		},
		{
			name:   "underscores and what servers turn into them",
			lines:  []string{"X_Forwarded_For: 6.6.6.6", "X-Forwarded_Host: evil", "X.Forwarded.For: 6", "X~Original~URL: /", "api_key: 1", "Content_Length: 4", "X: 1"},
			others: "X: 1\n", trusted: "X: 1\n", keyed: "Api_key: 1\nX: 1\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			plain, rule := mustSet(t, Rule{}).Rules()[0], mustSet(t, keyed).Rules()[0]
			for _, run := range []struct {
				who     string
				trusted bool
				rule    *Rule
				want    string
			}{{"others", false, plain, c.others}, {"trusted", true, plain, c.trusted}, {"keyed", true, rule, c.keyed}} {
				v, q, ok := seen(run.trusted, c.lines...)
				if !ok {
					t.Fatal(v.Fault)
				}
				v.Settle(run.rule, q)
				if got := linesOf(q.Fields); got != run.want {
					t.Errorf("from %s:\n%swant\n%s", run.who, got, run.want)
				}
				if run.who == "trusted" && v.Override != c.override || run.who == "others" && v.Override {
					t.Errorf("from %s: override %t", run.who, v.Override)
				}
			}
		})
	}
	// A method override that the key holds goes on from anybody, a path does not.
	v, q, _ := seen(false, "X-HTTP-Method-Override: PUT", "X-Original-URL: /")
	v.Settle(mustSet(t, keyed).Rules()[0], q)
	if got := linesOf(q.Fields); got != "X-Http-Method-Override: PUT\n" || v.Override || len(v.Withheld) != 1 {
		t.Errorf("%q, override %t, withheld %q", got, v.Override, v.Withheld)
	}
}

// A field by which a proxy speaks of its client is noticed before Connection is
// applied.
func TestViewProxied(t *testing.T) {
	for _, line := range []string{"X-Forwarded-For: 1", "Forwarded: for=1", "X-Real-IP: 1", "Via: 1.1 a", "True-Client-IP: 1", "X-Forwarded-Host: a"} {
		name, _, _ := strings.Cut(line, ":")
		for _, trusted := range []bool{false, true} {
			if v, _, ok := seen(trusted, line, "Connection: close, "+name); !ok || !v.Proxied {
				t.Errorf("%q, named by Connection: %t, %t", line, ok, v.Proxied)
			}
		}
	}
	if v, _, _ := seen(true, "Accept: a", "Cookie: b=c"); v.Proxied {
		t.Error("a request without such a field counts as forwarded")
	}
}

func TestViewAllocatesNothing(t *testing.T) {
	raw := []byte("host: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\naccept-encoding: gzip, br\r\nX-Forwarded-For: 192.0.2.1\r\n" +
		"X-Forwarded-Proto: https\r\nCookie: a=b\r\nX-Real-IP: 192.0.2.1\r\nX_odd: 1\r\nIf-None-Match: \"a\"\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n")
	rule := mustSet(t, Rule{}).Rules()[0]
	var v View
	var q Request
	from := Sender{Scheme: "http"}
	zeroAllocs(t, "a view", func() {
		v.Reset()
		if !v.Read(raw, true) {
			t.Fatal(v.Fault)
		}
		q = Request{Scheme: v.Scheme(&from), Host: v.Host}
		v.Fill(&q)
		v.Settle(rule, &q)
	})
}

func TestCloneIsItsOwn(t *testing.T) {
	raw := []byte("Host: a.example\r\nAccept: x\r\nCache-Control: no-cache\r\nCookie: a=b\r\n")
	var v View
	v.Read(raw, false)
	path := []byte("/path")
	q := Request{Method: "GET", Host: []byte("a.example"), Path: path, Query: []byte{}}
	v.Fill(&q)
	var c Request
	if n := testing.AllocsPerRun(100, func() { c = q.Clone() }); n > 2 {
		t.Errorf("%v allocations", n)
	}
	want := linesOf(q.Fields)
	for i := range raw {
		raw[i] = '!'
	}
	path[1] = '!'
	if got := linesOf(c.Fields); got != want || string(c.Path) != "/path" || string(c.CacheControl) != "no-cache" || c.Query == nil || c.Pragma != nil {
		t.Errorf("%q %+v", got, c)
	}
}
