package load

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"weir/loadtest/workload"
)

// PurgeOptions say when and how the cache is told to forget.
type PurgeOptions struct {
	Storms  []workload.PurgeStorm
	API     string // http://host:port of weir's admin plane, whose POST /v1/purge is used
	Method  bool   // send PURGE with the object's URL to the target instead
	Token   string // of the Authorization field; none by default
	Workers int    // purges under way at once; default 8
}

// PurgeResult is what became of the purges.
type PurgeResult struct {
	Asked  int64    `json:"asked"`
	Done   int64    `json:"done"` // acknowledged
	Failed int64    `json:"failed"`
	Cut    int64    `json:"cut"`    // under way when the run ended
	Unsent int64    `json:"unsent"` // due and not asked when the run ended
	Ack    Latency  `json:"ack"`    // from when a purge was due to its acknowledgement, the making of its new version at the origin not counted
	First  []string `json:"first_failures,omitempty"`
}

func (o *Options) checkPurges(f *faults) {
	p := &o.Purges
	f.check(p.Workers >= 0 && p.Workers <= 1000, "purges at once %d: 1 to 1000 are possible", p.Workers)
	f.check(p.API == "" || strings.HasPrefix(p.API, "http://"), "purge API %q: it must be http://host:port", p.API)
	f.check(o.Origin == "" || strings.HasPrefix(o.Origin, "http://"), "origin %q: it must be http://host:port", o.Origin)
	if len(p.Storms) == 0 {
		return
	}
	f.check((p.API != "") != p.Method, "purges: exactly one of the purge API and the PURGE method says how")
	f.check(o.Entries == nil, "purges: not possible when a log is replayed")
	for _, s := range p.Storms {
		f.check(!p.Method || s.Kind == workload.PurgeURL, "purges by %s: the PURGE method names URLs only", s.Kind)
		f.check(s.Kind != workload.PurgeTag || o.Mix != nil && o.Mix.Catalogue.Tags > 0, "purges by tag: the objects need tags")
	}
}

// purger tells the origin to make new versions and the cache to forget the old ones.
type purger struct {
	run    *run
	opts   *Options
	client *http.Client
	before originCounts // when the measurement began

	mu     sync.Mutex // protects the fields below
	ack    *hdrhistogram.Histogram
	asked  []int64 // by storm
	failed int64
	cut    int64
	first  []string
}

// newPurger checks that everything it talks to may be talked to.
func newPurger(ctx context.Context, o *Options) (*purger, error) {
	for what, target := range map[string]string{"purge through": o.Purges.API, "ask the origin": o.Origin} {
		if target == "" {
			continue
		}
		if _, _, err := resolve(ctx, target, o.AllowRemote); err != nil {
			return nil, fmt.Errorf("cannot %s %s: %w", what, target, err)
		}
	}
	workers := o.Purges.Workers
	if workers == 0 {
		workers = 8
	}
	o.Purges.Workers = workers
	return &purger{
		opts: o, ack: newHistogram(), asked: make([]int64, len(o.Purges.Storms)),
		client: &http.Client{
			Timeout: o.Timeout,
			// A redirect is no acknowledgement, and may lead to where nobody allowed to go.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport:     &http.Transport{MaxIdleConnsPerHost: workers, TLSClientConfig: o.TLS, DisableCompression: true},
		},
	}, nil
}

func (p *purger) close() { p.client.CloseIdleConnections() }

// start begins the storms; wg waits for them, and they end with ctx.
func (p *purger) start(ctx context.Context, wg *sync.WaitGroup) {
	for n := range p.opts.Purges.Storms {
		var next atomic.Int64
		for w := range p.opts.Purges.Workers {
			// Far from the numbers of the workers that send, so that it draws something else.
			seed := 1_000_000 + n*1000 + w
			wg.Go(func() { p.storm(ctx, n, &next, seed) })
		}
	}
}

// storm is one worker of storm number n.
func (p *purger) storm(ctx context.Context, n int, next *atomic.Int64, seed int) {
	s := &p.opts.Purges.Storms[n]
	var picker *workload.Picker
	if p.opts.Mix != nil {
		picker = workload.NewPicker(p.opts.Mix, seed)
	}
	for {
		due, ok := s.Due(next.Add(1) - 1)
		if !ok || !sleep(ctx, due-p.run.now()) {
			return
		}
		id := int64(0)
		if picker != nil {
			id = picker.Next(due).ID
		}
		p.mu.Lock()
		p.asked[n]++
		p.mu.Unlock()
		if err := p.purge(ctx, s.Kind, id, due); err != nil {
			p.fail(err, ctx.Err() != nil)
		}
	}
}

// sleep waits; it is false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// purge makes a new version at the origin, purges, and notes, once that is acknowledged, that the old one is stale. The order matters:
// a purge before the new version would be undone by a fetch in between, and that would be nobody's fault.
func (p *purger) purge(ctx context.Context, kind workload.PurgeKind, id int64, due time.Duration) error {
	target, tag := p.target(id)
	late := max(p.run.now()-due, 0) // for want of a free worker
	version, err := p.bump(ctx, kind, target, tag)
	if err != nil {
		return err
	}
	begin := p.run.now()
	if p.opts.Purges.Method {
		err = p.purgeMethod(ctx, target)
	} else {
		err = p.purgeAPI(ctx, kind, target, tag)
	}
	if err != nil {
		return err
	}
	v := p.run.versions
	switch kind {
	case workload.PurgeURL:
		raise32(&v.objects[id], version)
	case workload.PurgeTag:
		raise(&v.tags[tag], version)
	case workload.PurgeAll:
		raise(&v.all, version)
	}
	now := p.run.now()
	p.run.purged.Add(1)
	p.run.timeline.purged(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	record(p.ack, late+now-begin)
	return nil
}

func (p *purger) target(id int64) (target string, tag int64) {
	if p.opts.Mix == nil {
		return p.opts.Path, -1
	}
	o := p.opts.Mix.Catalogue.Object(id)
	return string(p.opts.Mix.Catalogue.AppendTarget(nil, id, o)), o.Tag
}

// bump makes a new version at the origin and returns it; 0 when no origin is known.
func (p *purger) bump(ctx context.Context, kind workload.PurgeKind, target string, tag int64) (uint64, error) {
	if p.opts.Origin == "" {
		return 0, nil
	}
	var body struct {
		Target string `json:"target,omitempty"`
		Tag    string `json:"tag,omitempty"`
		All    bool   `json:"all,omitempty"`
	}
	switch kind {
	case workload.PurgeURL:
		body.Target = target
	case workload.PurgeTag:
		body.Tag = string(workload.AppendTag(nil, tag))
	case workload.PurgeAll:
		body.All = true
	}
	var answer struct{ Version uint64 }
	if err := p.post(ctx, p.opts.Origin+BumpPath, &body, &answer); err != nil {
		return 0, fmt.Errorf("cannot make a new version at the origin: %w", err)
	}
	return answer.Version, nil
}

// Paths by which the scripted origin is steered.
const (
	BumpPath  = "/-/weirload/bump"
	StatsPath = "/-/weirload/stats"
)

func (p *purger) purgeAPI(ctx context.Context, kind workload.PurgeKind, target string, tag int64) error {
	var body struct {
		URLs []string `json:"urls,omitempty"`
		Tags []string `json:"tags,omitempty"`
		All  bool     `json:"all,omitempty"`
	}
	switch kind {
	case workload.PurgeURL:
		body.URLs = []string{"//" + p.run.opts.Host + target}
	case workload.PurgeTag:
		body.Tags = []string{string(workload.AppendTag(nil, tag))}
	case workload.PurgeAll:
		body.All = true
	}
	if err := p.post(ctx, p.opts.Purges.API+"/v1/purge", &body, nil); err != nil {
		return fmt.Errorf("cannot purge: %w", err)
	}
	return nil
}

func (p *purger) post(ctx context.Context, url string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return p.send(req, answer)
}

func (p *purger) purgeMethod(ctx context.Context, target string) error {
	req, err := http.NewRequestWithContext(ctx, "PURGE", p.opts.Target+target, nil)
	if err != nil {
		return err
	}
	req.Host = p.run.opts.Host
	if err := p.send(req, nil); err != nil {
		return fmt.Errorf("cannot purge: %w", err)
	}
	return nil
}

// errStatus is an answer other than 2xx, or 404 to PURGE: some caches say so of what they do not have.
var errStatus = errors.New("refused")

func (p *purger) send(req *http.Request, answer any) error {
	if p.opts.Purges.Token != "" && answer == nil {
		req.Header.Set("Authorization", "Bearer "+p.opts.Purges.Token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 && !(req.Method == "PURGE" && resp.StatusCode == http.StatusNotFound) {
		return fmt.Errorf("%w: %s %s answered %s: %s", errStatus, req.Method, req.URL.Redacted(), resp.Status, clip(bytes.TrimSpace(b)))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(b, answer)
}

// fail counts a purge that was not acknowledged. cut: the end of the run is why.
func (p *purger) fail(err error, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cut {
		p.cut++
		return
	}
	p.failed++
	if len(p.first) < examplesOfKind {
		p.first = append(p.first, err.Error())
	}
}

// result is what became of the purges of a run that took so long.
func (p *purger) result(took time.Duration) *PurgeResult {
	if len(p.opts.Purges.Storms) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	res := &PurgeResult{Done: p.ack.TotalCount(), Failed: p.failed, Cut: p.cut, Ack: latencyOf(p.ack), First: p.first}
	for n := range p.opts.Purges.Storms {
		due := firstNot(0, func(i int64) bool {
			at, ok := p.opts.Purges.Storms[n].Due(i)
			return ok && at <= took
		})
		res.Asked += p.asked[n]
		res.Unsent += max(due-p.asked[n], 0)
	}
	return res
}

// OriginResult is what the scripted origin was asked for during a run.
type OriginResult struct {
	Requests    int64 `json:"requests"`
	NotModified int64 `json:"not_modified"`
	Errors      int64 `json:"errors"`
	Bytes       int64 `json:"bytes"` // of bodies
}

// originCounts are what the origin has been asked for at a moment, or why nobody knows.
type originCounts struct {
	counts OriginResult
	err    error
}

// errNoBase are the counts of a run that ended in its warm-up.
var errNoBase = errors.New("the run ended in its warm-up")

// originStats asks the origin for its counts.
func (p *purger) originStats(ctx context.Context) (c originCounts) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.opts.Origin+StatsPath, nil)
	if err != nil {
		return originCounts{err: err}
	}
	c.err = p.send(req, &c.counts)
	return c
}

// countOrigin takes the origin's counts when the measurement begins, and wg waits for it. What is under way at the end of a
// warm-up may be counted on either side: nobody but the origin knows when it asked.
func (p *purger) countOrigin(ctx context.Context, wg *sync.WaitGroup) {
	if p.opts.Origin == "" || p.opts.Warmup == 0 {
		return
	}
	p.before = originCounts{err: errNoBase}
	wg.Go(func() {
		if sleep(ctx, p.opts.Warmup-p.run.now()) {
			p.before = p.originStats(ctx)
		}
	})
}

// originResult puts into the result what the origin was asked for since the measurement began, or why that is not known.
func (p *purger) originResult(ctx context.Context, res *Result) {
	if p.opts.Origin == "" {
		return
	}
	after := p.originStats(ctx)
	if err := cmp.Or(p.before.err, after.err); err != nil {
		res.OriginError = err.Error()
		return
	}
	a, b := &after.counts, &p.before.counts
	res.Origin = &OriginResult{
		Requests: a.Requests - b.Requests, NotModified: a.NotModified - b.NotModified,
		Errors: a.Errors - b.Errors, Bytes: a.Bytes - b.Bytes,
	}
}
