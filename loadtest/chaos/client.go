package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"weir/loadtest/load"
	"weir/loadtest/selfcheck"
)

// counts is what all clients together have seen.
type counts struct {
	asked, verified, troubled  atomic.Int64 // requests; whole bodies that were right; no answer, or 5xx
	hits, pages, uploads       atomic.Int64
	probes, purges, purgesLost atomic.Int64
	adminAsked                 atomic.Int64
	slowestHit                 atomic.Int64 // nanoseconds
	bytes                      atomic.Int64
}

func newTransport(address string, keep bool) *http.Transport {
	d := &net.Dialer{Timeout: answerWithin}
	return &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) },
		DisableCompression: true, DisableKeepAlives: !keep, MaxIdleConnsPerHost: 32,
	}
}

// ask is one request for an object.
type ask struct {
	method string
	host   string
	target string
	header http.Header
}

// answer is what came of an ask. The body is checked while it comes.
type answer struct {
	*http.Response
	first time.Duration // until the first byte, from the beginning
	err   error
}

// send sends a request. Unless weir was disturbed meanwhile, its first byte has to come within a bound.
func (b *bench) send(ctx context.Context, t http.RoundTripper, q *ask) *answer {
	b.counts.asked.Add(1)
	calm, begin := b.weir.undisturbed(), time.Now()
	ctx, cancel := context.WithTimeout(ctx, 2*b.within(answerWithin))
	var first atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { first.CompareAndSwap(0, int64(time.Since(begin))) },
	})
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+b.place.data+q.target, nil)
	if err != nil {
		cancel()
		return &answer{err: err}
	}
	req.Host = q.host
	for name, values := range q.header {
		req.Header[name] = values
	}
	resp, err := t.RoundTrip(req)
	a := &answer{Response: resp, err: err, first: time.Since(begin)}
	if d := first.Load(); d > 0 {
		a.first = time.Duration(d)
	}
	if a.first > b.within(answerWithin) && calm() {
		b.found.add(kindHang, "%s http://%s%s: no answer within %v (%v)", q.method, q.host, q.target, a.first.Round(time.Millisecond), outcome(a))
	}
	if err != nil {
		cancel()
		b.counts.troubled.Add(1)
		return a
	}
	resp.Body = &cancelling{resp.Body, cancel}
	if resp.StatusCode >= 500 {
		b.counts.troubled.Add(1)
	}
	return a
}

type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *cancelling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

func outcome(a *answer) string {
	if a.err != nil {
		return a.err.Error()
	}
	return a.Status + ", " + a.Header.Get("Cache-Status")
}

// get asks for an object in one of several ways, and judges the answer.
func (b *bench) get(ctx context.Context, t http.RoundTripper, rng *rand.Rand, o *object, buf []byte) {
	q := &ask{method: http.MethodGet, host: o.host, target: o.target, header: http.Header{}}
	from, n := int64(0), o.size
	switch d := rng.IntN(100); {
	case d < 8 && o.size > 100:
		from = rng.Int64N(o.size - 50)
		n = 1 + rng.Int64N(o.size-from)
		q.header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+n-1))
	case d < 12:
		q.method = http.MethodHead
	case d < 18:
		if v, ok := b.seen.Load(o.target); ok {
			q.header.Set("If-None-Match", string(load.AppendTag(nil, v.(uint64))))
		}
	case d < 20:
		q.header.Set("Cache-Control", "no-cache")
	case d < 22:
		q.header.Set("Accept-Encoding", []string{"gzip", "br", "identity"}[rng.IntN(3)])
	}
	hard, soft := b.floors.of(o)
	a := b.send(ctx, t, q)
	if a.err != nil {
		return
	}
	b.judge(q, a, o, from, n, hard, soft, buf)
}

// judge reads an answer to its end and reports what is wrong with it.
func (b *bench) judge(q *ask, a *answer, o *object, from, n int64, hard, soft uint64, buf []byte) {
	defer func() { _ = a.Body.Close() }()
	name := q.method + " http://" + q.host + q.target
	if r := q.header.Get("Range"); r != "" {
		name += " (" + r + ")"
	}
	cs := a.Header.Get("Cache-Status")
	switch a.StatusCode {
	case http.StatusOK:
		from, n = 0, o.size
	case http.StatusPartialContent:
		if want := fmt.Sprintf("bytes %d-%d/%d", from, from+n-1, o.size); q.header.Get("Range") == "" || a.Header.Get("Content-Range") != want {
			b.found.add(kindWrong, "%s: Content-Range %q, want %q [%s]", name, a.Header.Get("Content-Range"), want, cs)
			return
		}
	case http.StatusNotModified:
		n = 0
		if q.header.Get("If-None-Match") == "" {
			b.found.add(kindWrong, "%s: 304 to a request without a condition [%s]", name, cs)
			return
		}
	default:
		// 408: the machine was so busy that the request was read too late.
		if a.StatusCode < 500 && a.StatusCode != http.StatusRequestTimeout {
			b.found.add(kindWrong, "%s: status %s [%s]", name, a.Status, cs)
		}
		return
	}
	version, err := strconv.ParseUint(a.Header.Get(load.VersionField), 10, 64)
	if err != nil {
		b.found.add(kindWrong, "%s: the version %q is no number [%s]", name, a.Header.Get(load.VersionField), cs)
		return
	}
	hit := strings.Contains(cs, "; hit")
	if hit {
		b.counts.hits.Add(1)
	}
	if version < hard {
		b.found.add(kindStale, "%s: version %d, but %d was purged and acknowledged before the request [%s; Age %s]", name, version, hard, cs, a.Header.Get("Age"))
	} else if version < soft && freshByStatus(cs) {
		b.found.add(kindStale, "%s: version %d is called fresh, but %d was purged softly and acknowledged before the request [%s]", name, version, soft, cs)
	}
	if q.method == http.MethodHead || a.StatusCode == http.StatusNotModified {
		return
	}
	b.seen.Store(o.target, version)
	b.body(name, cs, a, selfcheck.SeedOf(o.target, version), from, n, buf)
}

// body compares a body with what it should be.
func (b *bench) body(name, cs string, a *answer, seed selfcheck.Seed, from, n int64, buf []byte) {
	read, err := selfcheck.Verify(a.Body, seed, from, n, buf)
	b.counts.bytes.Add(read)
	var fault *selfcheck.Error
	switch {
	case err == nil:
		b.counts.verified.Add(1)
	case errors.As(err, &fault):
		b.found.add(kindWrong, "%s: %v [%s, %s]", name, fault, a.Status, cs)
	default: // cut, which is known to be so
		b.counts.troubled.Add(1)
	}
}

// freshByStatus reports whether Cache-Status says that a stored object is fresh, by more than the second that its ttl is
// rounded to.
func freshByStatus(cs string) bool {
	_, rest, ok := strings.Cut(cs, "; hit")
	if !ok || strings.Contains(cs, "; fwd=") {
		return false
	}
	_, rest, ok = strings.Cut(rest, "; ttl=")
	if !ok {
		return false
	}
	digits, _, _ := strings.Cut(rest, ";")
	ttl, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	return err == nil && ttl > 1
}

// probe asks for an object only if it is stored, on a connection of its own: whatever the answer is, no origin is asked,
// and so it has to come at once.
func (b *bench) probe(ctx context.Context, t http.RoundTripper, o *object, buf []byte) {
	q := &ask{method: http.MethodGet, host: o.host, target: o.target, header: http.Header{"Cache-Control": {"only-if-cached"}}}
	hard, soft := b.floors.of(o)
	calm := b.weir.undisturbed()
	b.counts.probes.Add(1)
	a := b.send(ctx, t, q)
	if ctx.Err() != nil {
		return
	}
	bound := b.within(hitWithin)
	switch {
	case !calm():
	case a.err != nil:
		b.found.add(kindHit, "http://%s%s: %v", o.host, o.target, a.err)
	case a.first > bound:
		b.found.add(kindHit, "http://%s%s: %v until the first byte, the bound was %v (%s)", o.host, o.target, a.first.Round(time.Millisecond), bound.Round(time.Millisecond), outcome(a))
	case a.StatusCode >= 500 && !strings.Contains(a.Header.Get("Cache-Status"), "only-if-cached"):
		b.found.add(kindHit, "http://%s%s: %s", o.host, o.target, outcome(a))
	default:
		raise(&b.counts.slowestHit, int64(a.first))
	}
	if a.err == nil {
		b.judge(q, a, o, 0, o.size, hard, soft, buf)
	}
}

// raise makes a at least v.
func raise(a *atomic.Int64, v int64) {
	for old := a.Load(); v > old; old = a.Load() {
		if a.CompareAndSwap(old, v) {
			return
		}
	}
}

// visit asks for a page as the visitor who.
func (b *bench) visit(ctx context.Context, t http.RoundTripper, who, target string, buf []byte) {
	q := &ask{method: http.MethodGet, host: "people.test", target: target, header: http.Header{}}
	if who != "nobody" {
		q.header.Set("Cookie", "sid="+who)
	}
	a := b.send(ctx, t, q)
	if a.err != nil {
		return
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode != http.StatusOK {
		if a.StatusCode < 500 {
			b.found.add(kindWrong, "GET http://people.test%s: status %s", target, a.Status)
		}
		return
	}
	b.counts.pages.Add(1)
	cs := a.Header.Get("Cache-Status")
	name, cookie := target+"#"+who, strings.HasPrefix(target, "/me/cookie/")
	if cookie {
		name = target
	} else if got := a.Header.Get(visitorField); got != who {
		b.found.add(kindVisitor, "GET http://people.test%s by %s: the page of %s [%s]", target, who, got, cs)
		return
	}
	if set := a.Header.Get("Set-Cookie"); set != "" && set != "mine="+who {
		b.found.add(kindVisitor, "GET http://people.test%s by %s: Set-Cookie %q [%s]", target, who, set, cs)
	}
	b.body("GET http://people.test"+target+" by "+who, cs, a, selfcheck.SeedOf(name, 0), 0, pageSize, buf)
}
