package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"weir/loadtest/script"
	"weir/loadtest/selfcheck"
)

// scriptedOrigin is a running script.
type scriptedOrigin struct{ *script.Origin }

func cmdOrigin(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 4, "origin NAME FILE [CERT KEY]")
	s, err := script.ParseScript(ts.ReadFile(args[1]))
	ts.Check(err)
	var opts script.Options
	if len(args) == 4 {
		pair, err := tls.LoadX509KeyPair(ts.MkAbs(args[2]), ts.MkAbs(args[3]))
		ts.Check(err)
		opts.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	o, err := script.StartWith(s, opts)
	ts.Check(err)
	worldOf(ts).origins[args[0]] = &scriptedOrigin{o}
	ts.Setenv(args[0], o.Addr())
}

func originOf(ts *testscript.TestScript, name string) *scriptedOrigin {
	o := worldOf(ts).origins[name]
	if o == nil {
		ts.Fatalf("there is no origin %q", name)
	}
	return o
}

func cmdOriginCtl(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "originctl NAME release B | hold B | down | up | flap EVERY | stalled B [N] | requests [METHOD] TARGET N | total N | done N | connections N"
	arguments(ts, neg, args, 2, 5, usage)
	o, verb, rest := originOf(ts, args[0]), args[1], args[2:]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	number := func() int {
		if len(rest) == 0 {
			ts.Fatalf("usage: %s", usage)
		}
		n, err := strconv.Atoi(rest[len(rest)-1])
		ts.Check(err)
		return n
	}
	switch {
	case verb == "down" && len(rest) == 0:
		o.Down()
	case verb == "up" && len(rest) == 0:
		ts.Check(o.Up())
	case verb == "flap" && len(rest) == 1:
		every, err := time.ParseDuration(rest[0])
		ts.Check(err)
		o.flap(ts, every)
	case verb == "release" && len(rest) == 1:
		ts.Check(o.Release(rest[0]))
	case verb == "hold" && len(rest) == 1:
		ts.Check(o.Hold(rest[0]))
	case verb == "stalled" && len(rest) == 1:
		ts.Check(o.WaitStalled(ctx, rest[0]))
	case verb == "stalled" && len(rest) == 2:
		ts.Check(o.WaitStalledN(ctx, rest[0], number()))
	case verb == "done":
		ts.Check(o.WaitDone(ctx, number()))
	case verb == "total":
		o.expectCount(ts, "", "", number())
	case verb == "requests" && len(rest) == 2:
		o.expectCount(ts, "", rest[0], number())
	case verb == "requests" && len(rest) == 3:
		o.expectCount(ts, rest[0], rest[1], number())
	case verb == "connections":
		if n := o.Connections(); n != number() {
			ts.Fatalf("%d connections were accepted, want %d", n, number())
		}
	default:
		ts.Fatalf("usage: %s", usage)
	}
}

// flap takes the origin down and up again, each for that long, until the scenario ends.
func (o *scriptedOrigin) flap(ts *testscript.TestScript, every time.Duration) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	ts.Defer(func() {
		close(stop)
		<-stopped
	})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for down := true; ; down = !down {
			if down {
				o.Down()
			} else if err := o.Up(); err != nil {
				return // the scenario has closed it
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
}

// cmdBlackhole sets $NAME to the address of a server that answers no attempt to connect,
// as one does whose packets are dropped: it never accepts, and its queue is full.
func cmdBlackhole(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1, "blackhole NAME")
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	ts.Check(err)
	ts.Defer(func() { _ = syscall.Close(fd) })
	ts.Check(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	ts.Check(syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	ts.Check(err)
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 16 {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			ts.Setenv(args[0], address)
			return
		}
		ts.Defer(func() { _ = c.Close() })
	}
	ts.Fatalf("the queue of %s does not fill", address)
}

// expectCount waits for n requests and fails when there are more. Empty words
// fit everything.
func (o *scriptedOrigin) expectCount(ts *testscript.TestScript, method, target string, n int) {
	count := func() (c int) {
		for _, r := range o.Requests() {
			if (method == "" || r.Method == method) && (target == "" || r.Target == target) {
				c++
			}
		}
		return c
	}
	poll(func() bool { return count() >= n })
	if c := count(); c != n {
		ts.Fatalf("the origin got %d requests of %s %s, want %d", c, method, target, n)
	}
}

func cmdSaw(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "saw ORIGIN N|last method M | target T | host RE | header NAME RE | head RE | body SIZE [of NAME] | outcome RE"
	if len(args) < 4 {
		ts.Fatalf("usage: %s", usage)
	}
	r := originOf(ts, args[0]).recorded(ts, args[1], args[2] == "body" || args[2] == "outcome")
	ok, what := true, ""
	switch rest := args[3:]; args[2] {
	case "method":
		ok, what = r.Method == rest[0], r.Method
	case "target":
		ok, what = r.Target == rest[0], r.Target
	case "host":
		ok, what = regexp.MustCompile(rest[0]).MatchString(r.Host), r.Host
	case "outcome":
		ok, what = regexp.MustCompile(rest[0]).MatchString(r.Outcome.String()), r.Outcome.String()
	case "head":
		ok, what = regexp.MustCompile(rest[0]).MatchString(r.RawHead), r.RawHead
	case "header":
		if len(rest) != 2 {
			ts.Fatalf("usage: %s", usage)
		}
		values := r.Header.Values(rest[0])
		what = fmt.Sprintf("%q", values)
		ok = len(values) > 0 && regexp.MustCompile(rest[1]).MatchString(strings.Join(values, ", "))
	case "body":
		ok, what = uploadIs(ts, r, rest)
	default:
		ts.Fatalf("usage: %s", usage)
	}
	if ok == neg {
		ts.Fatalf("request %d: %s is %s", r.N, args[2], what)
	}
}

// recorded waits for the request, or for its end.
func (o *scriptedOrigin) recorded(ts *testscript.TestScript, which string, ended bool) script.Recorded {
	requests := o.Requests()
	n := len(requests)
	if which != "last" {
		var err error
		n, err = strconv.Atoi(which)
		ts.Check(err)
	}
	if n < 1 || !poll(func() bool { requests = o.Requests(); return len(requests) >= n }) {
		ts.Fatalf("the origin got %d requests, so there is no %s", len(requests), which)
	}
	if ended && !poll(func() bool { requests = o.Requests(); return requests[n-1].Outcome != script.OutcomeRunning }) {
		ts.Fatalf("request %d does not end", n)
	}
	return requests[n-1]
}

func uploadIs(ts *testscript.TestScript, r script.Recorded, args []string) (bool, string) {
	size, name := byteSize(ts, args[0]), r.Target
	if len(args) == 3 && args[1] == "of" {
		name = args[2]
	}
	h := sha256.New()
	_, err := io.Copy(h, selfcheck.NewReader(selfcheck.SeedOf(name, 0), size))
	ts.Check(err)
	want := hex.EncodeToString(h.Sum(nil))
	return r.BodyLen == size && r.BodySHA256 == want,
		fmt.Sprintf("%d bytes with sum %q, to be compared with %d and %q", r.BodyLen, r.BodySHA256, size, want)
}

// byteSize reads a size as loadtest/script does: bytes, or with KiB, MiB, GiB.
func byteSize(ts *testscript.TestScript, s string) int64 {
	n, err := parseByteSize(s)
	ts.Check(err)
	return n
}

func parseByteSize(s string) (int64, error) {
	unit := int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if t, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = t, u
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no size such as 500 or 64KiB", s)
	}
	return n * unit, nil
}
