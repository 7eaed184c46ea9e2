package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"weir/loadtest/report"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// syncBuffer may be written and read by several goroutines; ready is closed when the origin says where it listens.
type syncBuffer struct {
	mu    sync.Mutex // protects the fields below
	buf   bytes.Buffer
	ready chan string
}

var readyLine = regexp.MustCompile(`ready on (\S+)`)

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p)
	if m := readyLine.FindSubmatch(b.buf.Bytes()); m != nil && b.ready != nil {
		b.ready <- string(m[1])
		b.ready = nil
	}
	return len(p), nil
}

// weirload runs a command and returns what it wrote.
func weirload(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	return weirloadFrom(ctx, nil, args...)
}

func weirloadFrom(ctx context.Context, stdin io.Reader, args ...string) (stdout, stderr string, err error) {
	var out, errs syncBuffer
	c := rootCommand()
	c.SetArgs(args)
	c.SetIn(stdin)
	c.SetOut(&out)
	c.SetErr(&errs)
	err = c.ExecuteContext(ctx)
	return out.buf.String(), errs.buf.String(), err
}

// origin runs weirload origin until the test ends.
func origin(t *testing.T, args ...string) string {
	t.Helper()
	return originFrom(t, nil, args...)
}

func originFrom(t *testing.T, stdin io.Reader, args ...string) string {
	t.Helper()
	ready := make(chan string, 1)
	errs := &syncBuffer{ready: ready}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		c := rootCommand()
		c.SetArgs(append([]string{"origin", "--listen", "127.0.0.1:0"}, args...))
		c.SetIn(stdin)
		c.SetErr(errs)
		done <- c.ExecuteContext(ctx)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case url := <-ready:
		return url
	case err := <-done:
		done <- err
		t.Fatalf("the origin ended: %v", err)
	}
	return ""
}

func TestRunWritesEverything(t *testing.T) {
	url, dir := origin(t), t.TempDir()
	jsonFile, htmlFile := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.html")
	out, errs, err := weirload(t.Context(), "run", url, "-n", "500", "--size", "1KiB", "--origin", url, "--json", jsonFile, "--html", htmlFile, "-q")
	if err != nil || errs != "" {
		t.Fatalf("%v\n%s", err, errs)
	}
	if !strings.Contains(out, "faults: none; 0 stale, 0 wrong, 0 broken of 500") {
		t.Errorf("the table:\n%s", out)
	}
	b, err := os.ReadFile(jsonFile)
	var r report.Report
	if err != nil || json.Unmarshal(b, &r) != nil || r.Result.Answers != 500 || r.Result.Origin.Requests != 500 {
		t.Errorf("the JSON: %v\n%s", err, b)
	}
	if b, err := os.ReadFile(htmlFile); err != nil || !bytes.Contains(b, []byte("Every one of 500 answers was right")) {
		t.Errorf("the page: %v", err)
	}
}

// A URL that was copied from a browser may have a fragment, which is not sent.
func TestFragmentIsNotSent(t *testing.T) {
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.RequestURI }))
	defer server.Close()
	if _, _, err := weirload(t.Context(), "run", server.URL+"/x?y#top", "-n", "1", "-q", "--no-verify"); err != nil {
		t.Error(err)
	}
	if uri := <-got; uri != "/x?y" {
		t.Errorf("%s was sent", uri)
	}
}

func TestFaultsMakeItFail(t *testing.T) {
	url := origin(t, "--error-share", "1", "--error", "503")
	if out, _, err := weirload(t.Context(), "run", url, "-n", "10", "-q"); err == nil || !strings.Contains(out, "10 wrong") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, _, err := weirload(t.Context(), "run", url, "-n", "10", "-q", "--tolerate", "status"); err != nil {
		t.Errorf("what is tolerated makes it fail: %v", err)
	}
}

// What is tolerated are kinds of faults. A run that measured nothing, or whose purges failed, fails all the same, and says so.
func TestOtherTroubleMakesItFail(t *testing.T) {
	url := origin(t)
	for want, args := range map[string][]string{
		"the warm-up covers all requests": {"-n", "10", "--warmup", "1h"},
		"1 of 1 purges failed":            {"-d", "500ms", "-r", "100", "--purge", "at=0s,for=100ms,rate=10", "--purge-api", "http://127.0.0.1:1"},
	} {
		page := filepath.Join(t.TempDir(), "r.html")
		out, _, err := weirload(t.Context(), append([]string{"run", url, "-q", "--tolerate", "all", "--html", page}, args...)...)
		b, rerr := os.ReadFile(page)
		if err == nil || !strings.Contains(err.Error(), want) || rerr != nil || !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s: %v\n%s", want, err, out)
		}
	}
}

// What an earlier server logged is sent again, and everything is what the log says.
func TestReplay(t *testing.T) {
	const text = `1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "GET /a HTTP/1.1" 200 5000
1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "GET /a HTTP/1.1" 206 100
1.2.3.4 - - [02/Jan/2026:15:04:06 +0000] "GET /gone HTTP/1.1" 404 99
{"time":"2026-01-02T15:04:06.500Z","client":"","method":"HEAD","target":"/a","status":200,"bytes":0}
1.2.3.4 - - [02/Jan/2026:15:04:07 +0000] "nonsense" 400 0
`
	log := logFile(t, text)
	url := origin(t, "--log", log)
	for _, speed := range []string{"0", "10"} {
		out, errs, err := weirload(t.Context(), "replay", url, "--log", log, "--speed", speed, "-q")
		if err != nil || !strings.Contains(out, "0 broken of 4") || !strings.Contains(out, "200: 2, 206: 1, 404: 1") {
			t.Errorf("speed %s: %v\n%s\n%s", speed, err, out, errs)
		}
	}
}

// Each method has the statuses and sizes that the log gives it, also where another method has the same URL.
func TestReplayOfOtherMethods(t *testing.T) {
	const text = `1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "GET /a HTTP/1.1" 200 5000
1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "POST /a HTTP/1.1" 201 70
1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "PUT /a HTTP/1.1" 204 0
1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "DELETE /a HTTP/1.1" 404 80
1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "POST /b HTTP/1.1" 302 0
1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "POST /c HTTP/1.1" 200 90
`
	log := logFile(t, text)
	url := origin(t, "--log", log)
	out, errs, err := weirload(t.Context(), "replay", url, "--log", log, "--speed", "0", "-q")
	if err != nil || !strings.Contains(out, "200: 2, 201: 1, 204: 1, 302: 1, 404: 1") {
		t.Errorf("%v\n%s\n%s", err, out, errs)
	}
	// Another origin has to have the statuses of the log too.
	out, _, err = weirload(t.Context(), "replay", origin(t), "--log", log, "--speed", "0", "-q", "--no-verify")
	if err == nil || !strings.Contains(out, "0 stale, 4 wrong, 0 broken (status: 4)") || !strings.Contains(out, "200, should be ") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A line with a wrong time is named before anything is sent, and not waited for.
func TestReplayRefusesToWaitForDecades(t *testing.T) {
	log := logFile(t, `1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "GET /a HTTP/1.1" 200 5000
1.2.3.4 - - [02/Jan/2099:15:04:05 +0000] "GET /wrong HTTP/1.1" 200 5000
1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "GET /b HTTP/1.1" 200 5000
1.2.3.4 - - [02/Jan/0001:15:04:05 +0000] "GET /old HTTP/1.1" 200 5000
`)
	url := origin(t, "--log", log)
	_, _, err := weirload(t.Context(), "replay", url, "--log", log)
	if err == nil || !strings.Contains(err.Error(), "from 0001-01-02T15:04:05Z (GET /old)") {
		t.Errorf("the line of the year 1: %v", err)
	}
	_, _, err = weirload(t.Context(), "replay", url, "--log", log, "--max-gap", "-1s", "--speed", "-1")
	if err == nil || !strings.Contains(err.Error(), "--max-gap -1s") || !strings.Contains(err.Error(), "--speed -1") {
		t.Errorf("a gap below 0: %v", err)
	}
	log = logFile(t, `1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "GET /a HTTP/1.1" 200 5000
1.2.3.4 - - [02/Jan/2099:15:04:05 +0000] "GET /wrong HTTP/1.1" 200 5000
1.2.3.4 - - [02/Jan/2026:15:04:06 +0000] "GET /b HTTP/1.1" 200 5000
`)
	_, _, err = weirload(t.Context(), "replay", url, "--log", log)
	if err == nil || !strings.Contains(err.Error(), "from 2026-01-02T15:04:06Z (GET /b) to 2099-01-02T15:04:05Z (GET /wrong)") {
		t.Errorf("the line of 2099: %v", err)
	}
	// What is not waited for does not matter.
	for _, more := range [][]string{{"--speed", "0"}, {"-d", "10s", "--speed", "100"}, {"-n", "2", "--speed", "100"}, {"--max-gap", "800000h", "--speed", "1e6", "-d", "50ms"}} {
		_, errs, err := weirload(t.Context(), append([]string{"replay", url, "--log", log}, more...)...)
		if err != nil || more[0] == "-n" && !strings.Contains(errs, "2 requests, the last is due after 10ms") {
			t.Errorf("%v: %v\n%s", more, err, errs)
		}
	}
}

// The paths are those of the log: one in the URL would be ignored.
func TestReplayRefusesAPath(t *testing.T) {
	log := logFile(t, `1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "GET /a HTTP/1.1" 200 5000`)
	url := origin(t, "--log", log)
	for _, path := range []string{"/x", "/?x", "/#x"} {
		if _, _, err := weirload(t.Context(), "replay", url+path, "--log", log, "-q"); err == nil || !strings.Contains(err.Error(), "the log says which paths") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, _, err := weirload(t.Context(), "replay", url+"/", "--log", log, "-q"); err != nil {
		t.Error(err)
	}
}

func TestLogFromStandardInput(t *testing.T) {
	const text = `1.2.3.4 - - [02/Jan/2026:15:04:05 +0000] "GET /a HTTP/1.1" 200 5000` + "\nnonsense\n"
	url := originFrom(t, strings.NewReader(text), "--log", "-")
	out, errs, err := weirloadFrom(t.Context(), strings.NewReader(text), "replay", url, "--log", "-", "-q")
	if err != nil || !strings.Contains(out, "0 broken of 1") || !strings.Contains(errs, "standard input: 1 lines are not in the format") {
		t.Errorf("%v\n%s\n%s", err, out, errs)
	}
}

func logFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every fault of the settings at once, with what would be possible.
func TestImpossibleSettings(t *testing.T) {
	_, _, err := weirload(t.Context(), "run", "http://127.0.0.1:1", "--rate", "0", "--size", "10B", "-c", "0", "--zipf", "-1", "--tolerate", "nothing", "--flash", "at=1s", "--duration", "0s")
	for _, want := range []string{"--rate", "64 B", "--connections 0", "zipf", "--tolerate", "--flash", "--duration 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in: %v", want, err)
		}
	}
}

// A flag that is impossible is named once, and no other for its sake.
func TestImpossibleSettingsHaveNoFollowUps(t *testing.T) {
	_, _, err := weirload(t.Context(), "run", "http://127.0.0.1:1", "-c", "-1", "-d", "-5s", "-r", "10")
	const want = "cannot run with these settings:\n" +
		"  --connections -1: above 0 is possible, or to leave it out\n" +
		"  --duration -5s: above 0 is possible, or to leave it out"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A rate at which nothing would be sent is refused, with what is possible.
func TestRatesThatAreTooLow(t *testing.T) {
	for _, rate := range []string{"1e-10", "0:1e-10"} {
		if _, _, err := weirload(t.Context(), "run", "http://127.0.0.1:1", "--rate", rate); err == nil || !strings.Contains(err.Error(), "0.001") {
			t.Errorf("%s: %v", rate, err)
		}
	}
}

// What would have no effect is refused and not passed over.
func TestSettingsWithoutEffect(t *testing.T) {
	const url = "http://127.0.0.1:1"
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"--ramp", []string{"--rate", "100", "--ramp", "5s"}},
		{"flash crowd at 1m40s", []string{"--flash", "at=100s,for=1s"}},
		{"flash crowd at 10s", []string{"--rate", "100", "--flash", "at=10s,for=1s"}},
		{"purge storm at 1m40s", []string{"--purge", "at=100s,for=1s", "--purge-method"}},
		{"purge storm at 2s", []string{"--rate", "100", "-n", "100", "--purge", "at=2s,for=1s", "--purge-method"}},
	} {
		if _, _, err := weirload(t.Context(), append([]string{"run", url}, tc.args...)...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %v", tc.args, err)
		}
	}
}

func TestOriginRefusesToBeReachable(t *testing.T) {
	if _, _, err := weirload(t.Context(), "origin", "--listen", "0.0.0.0:0"); err == nil || !strings.Contains(err.Error(), "not loopback") {
		t.Error(err)
	}
}

// docs/loadtest.md names every flag of every command.
func TestDocsNameEveryFlag(t *testing.T) {
	page, err := os.ReadFile("../../docs/loadtest.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !bytes.Contains(page, []byte("`--"+f.Name+"`")) {
				t.Errorf("docs/loadtest.md does not explain --%s of %s", f.Name, c.CommandPath())
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
}
