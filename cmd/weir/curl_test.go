package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weir/loadtest/script"
	"weir/loadtest/selfcheck"
)

const curlOrigin = `
on * /page
    header Cache-Control: max-age=600
    header ETag: "v1"
    header Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT
    body 300000
on GET /text
    where Accept-Encoding: deflate, gzip
    header Cache-Control: max-age=600
    header Vary: Accept-Encoding
    header Content-Encoding: gzip
    text "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xcbH\xcd\xc9\xc9W(\xcf/\xcaI\xe1\x02\x00-;\x08\xaf\x0c\x00\x00\x00"
on GET /text
    header Cache-Control: max-age=600
    header Vary: Accept-Encoding
    text "hello world\n"
on * /upload
    text "thanks"
`

// TestCurl asks a running weir with the curl that everybody has: what its
// parser and its options make of the answers is no idea of ours.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("WEIR_REQUIRE_TOOLS") == "1" {
			t.Fatalf("WEIR_REQUIRE_TOOLS=1 and there is no curl: %v", err)
		}
		t.Skipf("there is no curl on this machine: %v", err)
	}
	s, err := script.ParseScript(curlOrigin)
	if err != nil {
		t.Fatal(err)
	}
	o, err := script.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	r := &curlRun{curl: curl, dir: t.TempDir(), origin: o}
	r.serve(t)
	// One after the other: each builds on what is stored by then.
	t.Run("get", r.get)
	t.Run("head", r.head)
	t.Run("range", r.ranges)
	t.Run("conditional", r.conditional)
	t.Run("compressed", r.compressed)
	t.Run("upload", r.upload)
	t.Run("http10", r.http10)
	t.Run("purge", r.purge)
}

// curlRun is one weir and what curl needs to ask it.
type curlRun struct {
	curl, dir, url string
	origin         *script.Origin
}

// serve starts weir and stops it when the test ends.
func (r *curlRun) serve(t *testing.T) {
	config := filepath.Join(r.dir, "weir.yaml")
	text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\norigins: {o: {servers: [%q]}}\npolicies: [{name: all, origin: o}]\n", r.origin.URL())
	if err := os.WriteFile(config, []byte(hasty(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := launchWeir(config, r.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.end(); err != nil {
			t.Errorf("weir: %v\n%s", err, p.log)
		}
	})
	line := p.awaitReady()
	if line == "" {
		t.Fatalf("weir did not get ready:\n%s", p.log)
	}
	data, _, _ := strings.Cut(line, "admin")
	r.url = "http://" + listenAddress.FindString(data)
}

// run returns the response's head, body and status code as curl tells them.
// curl prints the code without its reason; 0 is none.
func (r *curlRun) run(t *testing.T, target string, args ...string) (http.Header, []byte, string) {
	t.Helper()
	head, body := filepath.Join(r.dir, "head"), filepath.Join(r.dir, "body")
	for _, f := range []string{head, body} {
		if err := os.RemoveAll(f); err != nil {
			t.Fatal(err)
		}
	}
	args = append([]string{"-q", "-sS", "--max-time", "20", "--noproxy", "*", "-D", head, "-o", body, "-w", "%{http_code}"}, args...)
	cmd := exec.Command(r.curl, append(args, r.url+target)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("curl %q: %v\n%s", cmd.Args, err, &stderr)
	}
	raw, err := os.ReadFile(head)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(body)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return lastHead(string(raw)), content, stdout.String()
}

// lastHead parses the last of the heads that curl wrote: those of interim
// responses come before it.
func lastHead(raw string) http.Header {
	heads := strings.Split(strings.TrimSuffix(raw, "\r\n\r\n"), "\r\n\r\n")
	h := make(http.Header)
	for _, line := range strings.Split(heads[len(heads)-1], "\r\n")[1:] {
		if name, value, ok := strings.Cut(line, ":"); ok {
			h.Add(name, strings.TrimSpace(value))
		}
	}
	return h
}

// part is what the body of /page has from off on.
func part(off int64, n int) []byte { return selfcheck.Bytes(selfcheck.SeedOf("/page", 0), off, n) }

func check(t *testing.T, ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.Errorf(format, args...)
	}
}

func (r *curlRun) get(t *testing.T) {
	h, body, code := r.run(t, "/page")
	check(t, code == "200" && bytes.Equal(body, part(0, 300000)), "miss: %s, %d bytes", code, len(body))
	check(t, strings.HasPrefix(h.Get("Cache-Status"), "weir; fwd=uri-miss"), "miss: %q", h.Get("Cache-Status"))
	h, body, code = r.run(t, "/page")
	check(t, code == "200" && bytes.Equal(body, part(0, 300000)), "hit: %s, %d bytes", code, len(body))
	check(t, strings.HasPrefix(h.Get("Cache-Status"), "weir; hit"), "hit: %q", h.Get("Cache-Status"))
	check(t, h.Get("Age") != "" && h.Get("Via") == "1.1 weir", "hit: Age %q, Via %q", h.Get("Age"), h.Get("Via"))
}

func (r *curlRun) head(t *testing.T) {
	h, body, code := r.run(t, "/page", "--head")
	check(t, code == "200" && len(body) == 0 || code == "200" && bytes.Contains(body, []byte("HTTP/1.1")), "%s, body %.60q", code, body)
	check(t, h.Get("Content-Length") == "300000", "Content-Length %q", h.Get("Content-Length"))
	check(t, strings.HasPrefix(h.Get("Cache-Status"), "weir; hit"), "%q", h.Get("Cache-Status"))
}

func (r *curlRun) ranges(t *testing.T) {
	h, body, code := r.run(t, "/page", "--range", "1000-1999")
	check(t, code == "206" && bytes.Equal(body, part(1000, 1000)), "%s, %d bytes", code, len(body))
	check(t, h.Get("Content-Range") == "bytes 1000-1999/300000", "Content-Range %q", h.Get("Content-Range"))
	_, body, code = r.run(t, "/page", "--range", "-5")
	check(t, code == "206" && bytes.Equal(body, part(299995, 5)), "suffix: %s, %q", code, body)
	_, _, code = r.run(t, "/page", "--range", "300000-")
	check(t, code == "416", "beyond the end: %s", code)
}

func (r *curlRun) conditional(t *testing.T) {
	_, body, code := r.run(t, "/page", "--header", `If-None-Match: "v1"`)
	check(t, code == "304" && len(body) == 0, "same ETag: %s, %d bytes", code, len(body))
	_, body, code = r.run(t, "/page", "--header", `If-None-Match: "v2"`)
	check(t, code == "200" && len(body) == 300000, "another ETag: %s, %d bytes", code, len(body))
	_, _, code = r.run(t, "/page", "--time-cond", "Mon, 01 Jan 2024 00:00:00 GMT")
	check(t, code == "304", "not modified since: %s", code)
	_, _, code = r.run(t, "/page", "--time-cond", "Sun, 31 Dec 2023 00:00:00 GMT")
	check(t, code == "200", "modified since: %s", code)
}

// compressed: curl inflates what it asked for, so that a body of the wrong
// variant, or one cut short, is an error of curl's own.
func (r *curlRun) compressed(t *testing.T) {
	for _, want := range []string{"fwd=", "hit"} {
		h, body, code := r.run(t, "/text", "--header", "Accept-Encoding: deflate, gzip", "--compressed")
		check(t, code == "200" && string(body) == "hello world\n", "gzip, %s: %s, %q", want, code, body)
		check(t, strings.Contains(h.Get("Cache-Status"), want), "gzip, %s: %q", want, h.Get("Cache-Status"))
	}
	h, body, _ := r.run(t, "/text")
	check(t, string(body) == "hello world\n" && h.Get("Content-Encoding") == "", "plain: %q, %q", body, h)
}

func (r *curlRun) upload(t *testing.T) {
	const size = 3_000_000 // above the megabyte from which curl sends Expect: 100-continue
	name := filepath.Join(r.dir, "upload")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, selfcheck.NewReader(selfcheck.SeedOf("/upload", 0), size)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--upload-file", name},
		{"--data-binary", "@" + name},
		{"--data-binary", "@" + name, "--header", "Transfer-Encoding: chunked"},
		{"--form", "file=@" + name},
	} {
		_, body, code := r.run(t, "/upload", args...)
		requests := r.origin.Requests()
		last := requests[len(requests)-1]
		check(t, code == "200" && string(body) == "thanks", "%q: %s, %q", args, code, body)
		check(t, last.BodyLen == size || args[0] == "--form" && last.BodyLen > size, "%q: the origin got %d bytes", args, last.BodyLen)
	}
}

func (r *curlRun) http10(t *testing.T) {
	_, body, code := r.run(t, "/page", "--http1.0")
	check(t, code == "200" && bytes.Equal(body, part(0, 300000)), "%s, %d bytes", code, len(body))
}

func (r *curlRun) purge(t *testing.T) {
	_, body, code := r.run(t, "/page", "--request", "PURGE")
	check(t, code == "405", "%s, %q", code, body)
}
