package loadorigin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/loadtest/load"
	"weir/loadtest/selfcheck"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, rules string) (string, *Origin) {
	t.Helper()
	r, err := ParseRules([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	o, err := New(Options{Rules: r})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := o.Serve(ctx, ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); stop(); wg.Wait() })
	return "http://" + ln.Addr().String(), o
}

// get sends one request; fields are name, value, name, value.
func get(t *testing.T, method, url string, fields ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func TestURLSaysWhatItGets(t *testing.T) {
	base, _ := start(t, "")
	for _, tc := range []struct {
		target, cache, tags string
		status, size        int
	}{
		{"/a", "max-age=3600", "", 200, 10 << 10},
		{"/a;size=100;max-age=7;tag=x;tag=y", "max-age=7", "x y", 200, 100},
		{"/a?size=99&no-store", "no-store", "", 200, 99},
		{"/a;size=300000;private;stale-while-revalidate=5", "max-age=3600, private, stale-while-revalidate=5", "", 200, 300_000},
		{"/a;size=70000;chunked", "max-age=3600", "", 200, 70_000},
		{"/a;size=10;status=404;colour=red", "max-age=3600", "", 404, 10},
		{"/a%7Eb;size=64", "max-age=3600", "", 200, 64},
	} {
		resp, body := get(t, "GET", base+tc.target)
		h := resp.Header
		if resp.StatusCode != tc.status || h.Get("Cache-Control") != tc.cache || h.Get("Surrogate-Key") != tc.tags || len(body) != tc.size {
			t.Errorf("%s: %d, %d bytes, %v", tc.target, resp.StatusCode, len(body), h)
		}
		name := strings.ReplaceAll(tc.target, "%7E", "~")
		if i := selfcheck.Mismatch(body, selfcheck.SeedOf(name, 0), 0); i >= 0 {
			t.Errorf("%s: byte %d is wrong", tc.target, i)
		}
		if chunked := len(resp.TransferEncoding) > 0; chunked != strings.Contains(tc.target, "chunked") {
			t.Errorf("%s: Transfer-Encoding %v", tc.target, resp.TransferEncoding)
		}
		if resp, body := get(t, "HEAD", base+tc.target); len(body) != 0 || resp.StatusCode != tc.status {
			t.Errorf("HEAD %s: %d, %d bytes", tc.target, resp.StatusCode, len(body))
		}
	}
}

func TestRangesAndConditions(t *testing.T) {
	base, _ := start(t, "")
	url := base + "/r;size=1000"
	whole, _ := get(t, "GET", url)
	tag, modified := whole.Header.Get("ETag"), whole.Header.Get("Last-Modified")
	for _, tc := range []struct {
		fields       []string
		status       int
		from, length int64
		contentRange string
	}{
		{[]string{"Range", "bytes=3-12"}, 206, 3, 10, "bytes 3-12/1000"},
		{[]string{"Range", "bytes=990-"}, 206, 990, 10, "bytes 990-999/1000"},
		{[]string{"Range", "bytes=-5"}, 206, 995, 5, "bytes 995-999/1000"},
		{[]string{"Range", "bytes=5-2000"}, 206, 5, 995, "bytes 5-999/1000"},
		{[]string{"Range", "bytes=1-2,4-5"}, 200, 0, 1000, ""},
		{[]string{"Range", "bytes=1-2", "If-Range", `"other"`}, 200, 0, 1000, ""},
		{[]string{"Range", "bytes=1-2", "If-Range", tag}, 206, 1, 2, "bytes 1-2/1000"},
		{[]string{"If-None-Match", tag}, 304, 0, 0, ""},
		{[]string{"If-None-Match", `"v9"`}, 200, 0, 1000, ""},
		{[]string{"If-Modified-Since", modified}, 304, 0, 0, ""},
	} {
		resp, body := get(t, "GET", url, tc.fields...)
		if resp.StatusCode != tc.status || int64(len(body)) != tc.length || resp.Header.Get("Content-Range") != tc.contentRange {
			t.Errorf("%v: %d, %d bytes, Content-Range %q", tc.fields, resp.StatusCode, len(body), resp.Header.Get("Content-Range"))
		}
		if i := selfcheck.Mismatch(body, selfcheck.SeedOf("/r;size=1000", 0), tc.from); i >= 0 {
			t.Errorf("%v: byte %d is wrong", tc.fields, i)
		}
	}
	if resp, _ := get(t, "GET", url, "Range", "bytes=1000-"); resp.StatusCode != 416 {
		t.Errorf("a range behind the end: %d", resp.StatusCode)
	}
}

func TestVersions(t *testing.T) {
	base, o := start(t, "")
	version := func(path string) string {
		resp, body := get(t, "GET", base+path)
		v := resp.Header.Get(load.VersionField)
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil || selfcheck.Mismatch(body, selfcheck.SeedOf(path, n), 0) >= 0 || resp.Header.Get("ETag") != `"v`+v+`"` {
			t.Errorf("%s: version %q, ETag %s, or the body is another version's", path, v, resp.Header.Get("ETag"))
		}
		return v
	}
	const a, b, c = "/a;size=64", "/b;size=64;tag=t", "/c;size=64"
	bump := func(text string) string {
		resp, err := http.Post(base+load.BumpPath, "application/json", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		return strings.TrimSpace(string(answer))
	}
	steps := []struct{ bump, answer, a, b, c string }{
		{`{"target": "/a;size=64"}`, `{"version": 1}`, "1", "0", "0"},
		{`{"tag": "t"}`, `{"version": 2}`, "1", "2", "0"},
		{`{"target": "/a;size=64"}`, `{"version": 3}`, "3", "2", "0"},
		{`{"all": true}`, `{"version": 4}`, "4", "4", "4"},
	}
	for _, s := range steps {
		if got := bump(s.bump); got != s.answer {
			t.Errorf("%s answers %s", s.bump, got)
		}
		if x, y, z := version(a), version(b), version(c); x != s.a || y != s.b || z != s.c {
			t.Errorf("after %s the versions are %s, %s, %s", s.bump, x, y, z)
		}
	}
	if got := bump(`{}`); !strings.HasPrefix(got, "needed") {
		t.Errorf("a change of nothing answers %s", got)
	}
	if s := o.Stats(); s.Requests != 12 || s.Version != 4 {
		t.Errorf("counts: %+v", s)
	}
}

const sampleRules = `
rules:
  - match: /img/*
    size: lognormal:20KiB,1.0,1KiB,1MiB
    cache_control: public, max-age=86400
    tags: [img, "img-{1}"]
    tag_field: Cache-Tag
    headers: {Vary: Accept}
  - match: /broken/cut
    errors: {share: 1, how: cut}
  - match: /broken/*
    errors: {share: 1, how: reset}
  - match: /busy
    errors: {share: 1, how: "503"}
  - match: /slow
    delay: 50ms
    validators: false
  - match: "*"
    size: 2KiB
`

func TestRules(t *testing.T) {
	base, _ := start(t, sampleRules)
	resp, body := get(t, "GET", base+"/img/7.png")
	h := resp.Header
	if h.Get("Cache-Control") != "public, max-age=86400" || h.Get("Cache-Tag") != "img img-7.png" || h.Get("Vary") != "Accept" || len(body) < 1<<10 {
		t.Errorf("%d bytes, %v", len(body), h)
	}
	if resp, _ := get(t, "GET", base+"/img/7.png;max-age=5"); resp.Header.Get("Cache-Control") != "max-age=5" {
		t.Errorf("the URL does not win: %v", resp.Header)
	}
	if resp, _ := get(t, "GET", base+"/busy"); resp.StatusCode != 503 {
		t.Errorf("busy: %d", resp.StatusCode)
	}
	begin := time.Now()
	resp, body = get(t, "GET", base+"/slow")
	if took := time.Since(begin); took < 50*time.Millisecond || resp.Header.Get("ETag") != "" || len(body) != 2<<10 {
		t.Errorf("slow: %v, %d bytes, %v", took, len(body), resp.Header)
	}
	for path, want := range map[string]error{"/broken/cut": io.ErrUnexpectedEOF, "/broken/x": nil} {
		resp, err := http.Get(base + path)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Of most matters the first rule decides; what can be there more than once adds up.
func TestTagsAndHeadersOfRulesAddUp(t *testing.T) {
	base, _ := start(t, `
rules:
  - {match: /img/*, size: 100B, tags: ["img-{1}"], tag_field: Cache-Tag, headers: {Vary: Accept}}
  - {match: /other, tags: [other], headers: {X-Other: "1"}}
  - {match: "*", size: 200B, tags: [all], tag_field: Surrogate-Key, headers: {Vary: Origin, X-Rule: "*"}}
`)
	resp, body := get(t, "GET", base+"/img/7;tag=url")
	h := resp.Header
	if len(body) != 100 || h.Get("Cache-Tag") != "url img-7 all" || h.Get("Surrogate-Key") != "" ||
		strings.Join(h.Values("Vary"), ", ") != "Accept, Origin" || h.Get("X-Rule") != "*" || h.Get("X-Other") != "" {
		t.Errorf("%d bytes, %v", len(body), h)
	}
}

// Every fault is named, with its rule.
func TestRulesWithFaults(t *testing.T) {
	_, err := ParseRules([]byte(`
rules:
  - {match: img, size: "12", delay: soon}
  - match: /x
    stall: {share: 2, for: -1s}
    errors: {share: 7, how: explode}
    tags: ["a b"]
    headers: {"a b": c}
`))
	for _, want := range []string{"rule 1 (img): match", "rule 1 (img): size", "rule 1 (img): delay", "rule 2 (/x): stall", "share is 7", `how is "explode"`, "tags", "headers"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in:\n%v", want, err)
		}
	}
	if _, err := ParseRules([]byte("rules: [{match: /, colour: red}]")); err == nil {
		t.Error("an unknown key was taken")
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, path string
		want          bool
	}{
		{"*", "/x", true},
		{"/a", "/a", true},
		{"/a", "/ab", false},
		{"/a*", "/ab", true},
		{"/*/b", "/a/b", true},
		{"/*/b", "/a/bc", false},
		{"/*b*d", "/abcbd", true},
		{"/*b*d", "/abc", false},
		{"/a*a", "/a", false},
	} {
		if _, ok := match(tc.pattern, tc.path, nil); ok != tc.want {
			t.Errorf("%s and %s: %v", tc.pattern, tc.path, ok)
		}
	}
}

func TestRefusesWhatIsNoRequest(t *testing.T) {
	base, _ := start(t, "")
	for _, text := range []string{"nonsense\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, text)
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Errorf("%.30q: %.40q", text, answer)
		}
	}
}
