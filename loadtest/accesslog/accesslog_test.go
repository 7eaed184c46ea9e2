package accesslog

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const goodLine = `83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 203023 "http://x.test/" "Mozilla/5.0 (X11)"`

func TestParse(t *testing.T) {
	at := time.Date(2015, time.May, 17, 10, 5, 3, 0, time.UTC)
	base := Entry{
		Client: "83.149.9.216", Ident: "-", User: "-", Time: at,
		Request: "GET /a?b=c HTTP/1.1", Method: "GET", Target: "/a?b=c", Proto: "HTTP/1.1",
		Status: 200, Size: 203023, Referer: "http://x.test/", Agent: "Mozilla/5.0 (X11)",
	}
	with := func(f func(*Entry)) Entry { e := base; f(&e); return e }
	request := func(line, method, target, proto string) func(*Entry) {
		return func(e *Entry) { e.Request, e.Method, e.Target, e.Proto = line, method, target, proto }
	}
	for _, c := range []struct {
		name, from, to string
		want           Entry
	}{
		{"plain", "", "", base},
		{"carriage return", `(X11)"`, `(X11)"` + "\r", base},
		{"no size", " 203023 ", " - ", with(func(e *Entry) { e.Size = -1 })},
		{"common format", ` "http://x.test/" "Mozilla/5.0 (X11)"`, "", with(func(e *Entry) { e.Referer, e.Agent = "", "" })},
		{"surplus fields", `(X11)"`, `(X11)" "-" 0.003`, base},
		{"user with a space", "- - [", "- jane doe [", with(func(e *Entry) { e.User = "jane doe" })},
		{"escaped quote", "GET /a?b=c", `GET /\"q\\`, with(request(`GET /"q\ HTTP/1.1`, "GET", `/"q\`, "HTTP/1.1"))},
		{"escaped bytes", "GET /a?b=c", `GET /\xe4\x00\t`, with(request("GET /\xe4\x00\t HTTP/1.1", "GET", "/\xe4\x00\t", "HTTP/1.1"))},
		{"unknown escape", "GET /a?b=c", `GET /\q\xzz`, with(request(`GET /\q\xzz HTTP/1.1`, "GET", `/\q\xzz`, "HTTP/1.1"))},
		{"target with spaces", "GET /a?b=c", "GET /a b  c", with(request("GET /a b  c HTTP/1.1", "GET", "/a b  c", "HTTP/1.1"))},
		{"HTTP/0.9", "GET /a?b=c HTTP/1.1", "GET /a", with(request("GET /a", "GET", "/a", ""))},
		{"no request", "GET /a?b=c HTTP/1.1", "-", with(request("-", "", "", ""))},
		{"TLS on a plain port", "GET /a?b=c HTTP/1.1", `\x16\x03\x01 x`, with(request("\x16\x03\x01 x", "", "", ""))},
		{"double slash", "GET /a?b=c", "GET //favicon.ico", with(request("GET //favicon.ico HTTP/1.1", "GET", "//favicon.ico", "HTTP/1.1"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(strings.Replace(goodLine, c.from, c.to, 1))
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestParseZone(t *testing.T) {
	e, err := Parse(strings.Replace(goodLine, "+0000", "-0330", 1))
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2015, time.May, 17, 13, 35, 3, 0, time.UTC); !e.Time.Equal(want) {
		t.Errorf("got %v, want %v", e.Time, want)
	}
}

func TestParseFaults(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		fault          Fault
		column         int
		usable         bool
	}{
		{"garbage", goodLine, "hello", FaultClient, 1, false},
		{"no time", "[17/May/2015:10:05:03 +0000] ", "", FaultClient, 1, false},
		{"bad month", "May", "Mai", FaultTime, 18, false},
		{"bad zone", "+0000", "+9999", FaultTime, 18, false},
		{"no quote", `"GET`, `GET`, FaultRequest, 47, false},
		{"open quote", goodLine[strings.Index(goodLine, ` HTTP/1.1"`):], "", FaultRequest, 47, false},
		{"two digits", " 200 ", " 20 ", FaultStatus, 69, false},
		{"signed status", " 200 ", " +20 ", FaultStatus, 69, false},
		{"negative size", " 203023 ", " -3 ", FaultSize, 73, false},
		{"huge size", " 203023 ", " 99999999999999999999 ", FaultSize, 73, false},
		{"bad referer", `"http://x.test/"`, `http`, FaultReferer, 80, true},
		{"cut agent", `(X11)"`, `(X11)`, FaultAgent, 97, true},
		{"no agent", ` "Mozilla/5.0 (X11)"`, ``, FaultAgent, 96, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Parse(strings.Replace(goodLine, c.from, c.to, 1))
			var got *ParseError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a *ParseError", err)
			}
			if got.Fault != c.fault || got.Column != c.column || got.Usable != c.usable {
				t.Errorf("got %s at column %d usable %t, want %s at %d usable %t",
					got.Fault, got.Column, got.Usable, c.fault, c.column, c.usable)
			}
			if got.Usable && (e.Target != "/a?b=c" || e.Size != 203023) {
				t.Errorf("usable line gave target %q size %d", e.Target, e.Size)
			}
		})
	}
}

func TestReaderGoesOnAfterFaults(t *testing.T) {
	text := goodLine + "\n\n" + "junk\n" + strings.Repeat("x", 3*MaxLine) + "\r\n" + goodLine + "\r\n" + goodLine
	for name, r := range map[string]io.Reader{
		"plain":    strings.NewReader(text),
		"one byte": iotest.OneByteReader(strings.NewReader(text)),
	} {
		log, err := ReadAll(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(log.Entries) != 3 || len(log.Faults) != 2 {
			t.Fatalf("%s: got %d entries and %d faults, want 3 and 2", name, len(log.Entries), len(log.Faults))
		}
		if f := log.Faults[0]; f.Line != 3 || f.Fault != FaultClient {
			t.Errorf("%s: first fault is %v", name, f)
		}
		if f := log.Faults[1]; f.Line != 4 || f.Fault != FaultTooLong || len(f.Text) > textLimit+3 {
			t.Errorf("%s: second fault is %v", name, f)
		}
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	broken := errors.New("disk gone")
	r := io.MultiReader(strings.NewReader(goodLine+"\n"+goodLine[:20]), iotest.ErrReader(broken))
	log, err := ReadAll(r)
	if !errors.Is(err, broken) || len(log.Entries) != 1 {
		t.Fatalf("got %d entries and %v, want 1 and %v", len(log.Entries), err, broken)
	}
	if _, err := ReadFile("no-such-file.log"); err == nil {
		t.Error("a missing file was read")
	}
}

func TestRealTrace(t *testing.T) {
	path, ok := FindTrace(".")
	if !ok {
		t.Skip("the real trace does not lie beside the project")
	}
	log, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Line 8899 ends inside the user agent; everything that a replay needs stands before that.
	if len(log.Faults) != 1 || log.Faults[0].Fault != FaultAgent || log.Faults[0].Line != 8899 {
		t.Errorf("faults: %v", log.Faults)
	}
	status := map[int]int{}
	targets := map[string]bool{}
	sum := int64(0)
	for _, e := range log.Entries {
		status[e.Status]++
		targets[e.Target] = true
		sum += max(e.Size, 0)
	}
	want := map[int]int{200: 9126, 304: 445, 404: 213, 301: 164, 206: 45, 500: 3, 416: 2, 403: 2}
	for code, n := range want {
		if status[code] != n {
			t.Errorf("status %d: got %d lines, want %d", code, status[code], n)
		}
	}
	if len(log.Entries) != 10_000 || len(targets) != 1498 || sum != 2747282740 {
		t.Errorf("got %d entries, %d targets, %d bytes", len(log.Entries), len(targets), sum)
	}
}

func TestGenerateIsDeterministicAndOdd(t *testing.T) {
	var a, b, other bytes.Buffer
	for buf, seed := range map[*bytes.Buffer]uint64{&a: 1, &b: 1, &other: 2} {
		if err := Generate(buf, GenerateOptions{Seed: seed}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same options gave two logs")
	}
	if bytes.Equal(a.Bytes(), other.Bytes()) {
		t.Error("two seeds gave one log")
	}
	log, err := ReadAll(&a)
	if err != nil || len(log.Faults) > 0 || len(log.Entries) != 10_000 {
		t.Fatalf("%d entries, faults %v, error %v", len(log.Entries), log.Faults, err)
	}
	seen := map[string]int{}
	count := map[string]int{}
	size := map[string]int64{}
	for _, e := range log.Entries {
		seen[e.Method]++
		seen[e.Proto]++
		seen[map[bool]string{true: "query", false: "no query"}[strings.Contains(e.Target, "?")]]++
		seen[map[int]string{200: "200", 206: "206", 301: "301", 304: "304", 404: "404"}[e.Status]]++
		count[e.Target]++
		if e.Method != "GET" || e.Status != 200 {
			continue
		}
		if old, ok := size[e.Target]; ok && old != e.Size {
			t.Fatalf("%s has sizes %d and %d", e.Target, old, e.Size)
		}
		size[e.Target] = e.Size
	}
	for _, kind := range []string{"GET", "HEAD", "POST", "HTTP/1.0", "HTTP/1.1", "query", "200", "206", "301", "304", "404"} {
		if seen[kind] == 0 {
			t.Errorf("no %s in the log", kind)
		}
	}
	top := 0
	for _, n := range count {
		top = max(top, n)
	}
	// Zipf 0.9 over 1,500 URLs gives the first one about 9 % of the requests; uniform would give 0.07 %.
	if top < 500 || top > 1500 {
		t.Errorf("the most popular URL has %d of 10000 requests", top)
	}
}

func TestGenerateRefuses(t *testing.T) {
	err := Generate(io.Discard, GenerateOptions{Lines: -1, URLs: -1, Zipf: -1, MaxSize: 1})
	if err == nil {
		t.Fatal("impossible options were accepted")
	}
	for _, word := range []string{"lines", "urls", "zipf", "max size"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not name %s", err, word)
		}
	}
	if err := Generate(brokenWriter{}, GenerateOptions{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v from a broken writer", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestLoadFallsBack(t *testing.T) {
	log, source, err := Load(t.TempDir(), GenerateOptions{Seed: 9, Lines: 50})
	if err != nil || len(log.Entries) != 50 || source != "generated log, seed 9" {
		t.Errorf("got %q with %v", source, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(goodLine)
	f.Add(`h - - [17/May/2015:10:05:03 -0330] "-" 408 - "-" "-"`)
	f.Add(`h - u v [17/May/2015:10:05:03 +0000] "GET /\x22\" b HTTP/1.0" 304 - "\\" ""`)
	f.Add(`h - - [17/May/2015:10:05:03 +0000] "\x16\x03" 400 0`)
	f.Add(strings.Replace(goodLine, `(X11)"`, `(X11)`, 1))
	f.Fuzz(func(t *testing.T, line string) {
		e, err := Parse(line)
		if err != nil {
			var fault *ParseError
			if !errors.As(err, &fault) || fault.Column < 1 || fault.Column > len(line)+1 {
				t.Fatalf("error %#v for %q", err, line)
			}
			return
		}
		again, err := Parse(string(e.AppendTo(nil)))
		if err != nil {
			t.Fatalf("%q was written as %q: %v", line, e.AppendTo(nil), err)
		}
		if !again.Time.Equal(e.Time) {
			t.Fatalf("%q: time %v became %v", line, e.Time, again.Time)
		}
		again.Time = e.Time
		// An empty referer beside an empty agent is written in the common format: equal as an entry.
		if again != e {
			t.Fatalf("%q: %+v became %+v", line, e, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(goodLine)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(goodLine); err != nil {
			b.Fatal(err)
		}
	}
}
