package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// traffic is the clients that go on through all faults. They pause while weir is looked at in quiet.
type traffic struct {
	bench *bench
	wg    sync.WaitGroup
	stop  context.CancelFunc
	keep  *http.Transport
	once  *http.Transport
}

// How many clients there are, and how long each rests between requests.
const (
	readers  = 14
	visitors = 5
	rest     = 4 * time.Millisecond
)

// startTraffic starts all clients. Each draws from a stream of its own.
func (b *bench) startTraffic(round int) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	t := &traffic{bench: b, stop: cancel, keep: newTransport(b.place.data, true), once: newTransport(b.place.data, false)}
	stream := uint64(round) << 8
	loop := func(pause time.Duration, f func(rng *rand.Rand, buf []byte)) {
		stream++
		rng := rand.New(rand.NewPCG(b.Seed, stream))
		t.wg.Go(func() {
			buf := make([]byte, 32<<10)
			timer := time.NewTimer(0)
			defer timer.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-timer.C:
				}
				f(rng, buf)
				timer.Reset(pause)
			}
		})
	}
	// What was sent is waited for: whoever stops does not cut it.
	sent := context.Background()
	for range readers {
		loop(rest, func(rng *rand.Rand, buf []byte) { b.get(sent, t.keep, rng, b.drawObject(rng), buf) })
	}
	for i := range visitors {
		who := fmt.Sprintf("visitor%d", i)
		if i == visitors-1 {
			who = "nobody"
		}
		loop(rest, func(rng *rand.Rand, buf []byte) { b.visit(sent, t.keep, who, drawPage(rng), buf) })
	}
	loop(25*time.Millisecond, func(rng *rand.Rand, buf []byte) { b.probe(sent, t.once, b.drawObject(rng), buf) })
	for i, t := range tokens {
		pause := 80 * time.Millisecond
		if t.scope == "purge:tag" {
			pause = 500 * time.Millisecond // each reaches a tenth of the site
		}
		loop(pause, func(rng *rand.Rand, _ []byte) { b.purge(sent, rng, tokens[i]) })
	}
	loop(100*time.Millisecond, func(rng *rand.Rand, _ []byte) { b.upload(sent, t.keep, rng) })
	loop(250*time.Millisecond, func(*rand.Rand, []byte) { b.askAdmin() })
	return t
}

// drawObject draws one of the site, the first ones most often, and now and then one that nobody has asked for.
func (b *bench) drawObject(rng *rand.Rand) *object {
	if rng.IntN(12) == 0 {
		o := makeObject(rng, rng.IntN(groups), fmt.Sprintf("new%d", b.fresh.Add(1)), drawSize(rng)/4+1)
		return &o
	}
	f := rng.Float64()
	return &b.site[int(f*f*float64(len(b.site)))]
}

// pageKindNames in an order that the seed can rely on.
var pageKindNames = func() []string {
	var names []string
	for k := range pageKinds {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}()

func drawPage(rng *rand.Rand) string {
	return fmt.Sprintf("/me/%s/%d", pageKindNames[rng.IntN(len(pageKindNames))], rng.IntN(3))
}

// halt stops the clients and waits for what they have sent. It returns false when that does not end within a bound.
func (t *traffic) halt() bool {
	t.stop()
	done := make(chan struct{})
	go func() {
		t.wg.Wait()
		close(done)
	}()
	ok := true
	select {
	case <-done:
	case <-time.After(t.bench.within(answerWithin)):
		ok = false
		<-done // each request has a time limit of its own
	}
	t.keep.CloseIdleConnections()
	t.once.CloseIdleConnections()
	return ok
}

// purge is one purge. The origin has its new versions before weir is told.
type purge struct {
	all     bool
	soft    bool
	object  *object // nil: the group
	group   int
	how     string // url, method, tag, prefix, host, all
	version uint64 // of what is new
}

func (b *bench) drawPurge(rng *rand.Rand, t token) *purge {
	p := &purge{soft: rng.IntN(4) == 0, group: rng.IntN(groups)}
	switch d := rng.IntN(200); {
	case t.scope == "purge:tag":
		p.how = "tag"
	case d < 130:
		p.how, p.object = "url", b.drawObject(rng)
	case d < 170:
		p.how, p.object, p.soft = "method", b.drawObject(rng), false
	case d < 180:
		p.how = "tag"
	case d < 189:
		p.how = "prefix"
	case d < 198:
		p.how = "host"
	default:
		p.how, p.all = "all", true
	}
	switch {
	case p.all:
		p.version = b.origin.shop.Bump("", "", true)
	case p.object != nil:
		p.version = b.origin.shop.Bump(p.object.target, "", false)
	default:
		p.version = b.origin.shop.Bump("", groupTag(p.group), false)
	}
	return p
}

// purgeRequest makes the HTTP request of a purge.
func (b *bench) purgeRequest(ctx context.Context, p *purge, t token) (*http.Request, error) {
	if p.how == "method" {
		req, err := http.NewRequestWithContext(ctx, "PURGE", "http://"+b.place.data+p.object.target, nil)
		if err == nil {
			req.Host = p.object.host
		}
		return req, err
	}
	what := map[string]any{"soft": p.soft}
	switch p.how {
	case "url":
		what["urls"] = []string{"//" + p.object.host + p.object.target}
	case "tag":
		what["tags"] = []string{groupTag(p.group)}
	case "prefix":
		what["prefixes"] = []string{groupPrefix(p.group)}
	case "host":
		what["hosts"] = []string{groupHost(p.group)}
	case "all":
		what["all"] = true
	}
	body, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.place.admin+"/v1/purge", bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// purge makes something new at the origin and purges it. From its acknowledgement on, nothing older may be answered.
func (b *bench) purge(ctx context.Context, rng *rand.Rand, t token) {
	p := b.drawPurge(rng, t)
	calm, begin := b.weir.undisturbed(), time.Now()
	ctx, cancel := context.WithTimeout(ctx, 2*b.within(purgeWithin))
	defer cancel()
	req, err := b.purgeRequest(ctx, p, t)
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+t.secret)
	resp, err := b.purges.RoundTrip(req)
	took := time.Since(begin)
	if took > b.within(purgeWithin) && calm() {
		b.found.add(kindPurge, "a purge by %s: %v", p.how, took.Round(time.Millisecond))
	}
	if err != nil {
		b.counts.purgesLost.Add(1)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode == http.StatusOK && err == nil:
		b.floors.raise(p)
		b.counts.purges.Add(1)
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || err != nil:
		b.counts.purgesLost.Add(1) // nothing was promised
	default:
		b.found.add(kindWrong, "a purge by %s was answered %s: %s", p.how, resp.Status, text)
	}
}

// askAdmin asks the admin plane what a monitor asks.
func (b *bench) askAdmin() {
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/v1/status"} {
		calm, begin := b.weir.undisturbed(), time.Now()
		b.counts.adminAsked.Add(1)
		status, text, err := b.admin(path, 2*b.within(answerWithin))
		took := time.Since(begin)
		switch {
		case !calm():
		case err != nil:
			b.found.add(kindAdmin, "GET %s: %v", path, err)
		case status != http.StatusOK && path != "/readyz":
			b.found.add(kindAdmin, "GET %s: status %d", path, status)
		case took > b.within(hitWithin):
			b.found.add(kindAdmin, "GET %s: %v", path, took.Round(time.Millisecond))
		case path == "/metrics":
			raise(&b.mostClients, int64(readMetrics(text).clients))
		}
	}
}

// admin asks the admin plane on a connection of its own.
func (b *bench) admin(path string, within time.Duration) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.place.admin+path, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+readToken.secret)
	resp, err := b.watcher.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return resp.StatusCode, body, err
}
