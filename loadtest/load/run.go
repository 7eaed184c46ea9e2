package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/loadtest/workload"
)

var (
	// ErrGaveUp ends a run whose target does not answer any more, or answers with what is no HTTP.
	ErrGaveUp = errors.New("gave up")
	// ErrLate ends an open loop whose target is so slow that what was due is not sent even the timeout after the schedule's end.
	ErrLate = errors.New("the target cannot keep up")
	// errDone ends a run that is over.
	errDone = errors.New("done")
)

// run is one run. Do starts its workers and waits for them.
type run struct {
	opts     Options
	addr     *net.TCPAddr
	fields   string // request fields that are the same in all requests, with their CRLF
	versions *versions
	timeline *timeline
	workers  []*worker
	examples examples
	length   time.Duration // how long it should take

	start   time.Time     // of the clock; set before begin is closed
	begin   chan struct{} // closed when all connections are there
	ready   sync.WaitGroup
	tickets atomic.Int64
	spent   atomic.Int64 // when the last of a limited number of requests was due; Forever: not yet
	broken  atomic.Int64 // broken answers in a row
	purged  atomic.Int64
	late    atomic.Bool // no more is sent, though more was due

	ctx  context.Context
	stop context.CancelCauseFunc
}

// Run sends the load and returns what it measured. Faulty answers are in the result and are no error. When ctx ends or the
// target is given up, the result holds what was measured until then and the error says what happened. An error without a
// result is about the settings. Run returns with no goroutine left.
func Run(ctx context.Context, opts Options) (*Result, error) {
	opts = opts.WithDefaults()
	if err := opts.Check(); err != nil {
		return nil, err
	}
	addr, host, err := resolve(ctx, opts.Target, opts.AllowRemote)
	if err != nil {
		return nil, fmt.Errorf("cannot load %s: %w", opts.Target, err)
	}
	if opts.Host == "" {
		opts.Host = host
	}
	p, err := newPurger(ctx, &opts)
	if err != nil {
		return nil, err
	}
	defer p.close()
	v := opts.newVersions()
	if opts.Prefill {
		if err := prefill(ctx, opts, addr, v); err != nil {
			return nil, err
		}
		opts.Prefill = false // the source of the run itself draws by popularity
	}
	if opts.Origin != "" {
		p.before = p.originStats(ctx)
	}
	r := newRun(ctx, opts, addr, v)
	p.run = r
	res, err := r.do(p)
	p.originResult(context.WithoutCancel(ctx), res)
	return res, err
}

func newRun(ctx context.Context, opts Options, addr *net.TCPAddr, v *versions) *run {
	r := &run{opts: opts, addr: addr, versions: v, begin: make(chan struct{}), length: opts.Length()}
	r.spent.Store(int64(workload.Forever))
	r.timeline = newTimeline(cmp.Or(r.length, time.Minute))
	var b strings.Builder
	b.WriteString("Host: " + opts.Host + "\r\n")
	for _, f := range opts.Fields {
		b.WriteString(f + "\r\n")
	}
	r.fields = b.String()
	r.ctx, r.stop = context.WithCancelCause(ctx)
	for i := range opts.Loops {
		r.workers = append(r.workers, &worker{run: r, rec: newRecorder(opts.Warmup, r.timeline), src: r.source(i)})
	}
	return r
}

// Length is how long the run should take; 0: nobody knows.
func (o *Options) Length() time.Duration {
	d := o.Duration
	switch s := o.Schedule.(type) {
	case workload.Constant:
		d = s.For
	case workload.Ramp:
		d = s.For
	case workload.Times:
		if len(s) > 0 {
			d = s[len(s)-1]
		}
	}
	if o.Schedule != nil && o.Requests > 0 {
		if due, ok := o.Schedule.At(o.Requests - 1); ok {
			d = min(d, due+1)
		}
	}
	if o.Duration > 0 {
		d = min(d, o.Duration)
	}
	if d == workload.Forever {
		return 0
	}
	return d
}

func (o *Options) newVersions() *versions {
	v := &versions{}
	objects := int64(1)
	if o.Mix != nil {
		objects = o.Mix.Objects()
		v.tags = make([]atomic.Uint64, o.Mix.Catalogue.Tags)
		if o.Mix.Conditional > 0 {
			v.last = make([]atomic.Uint32, objects)
		}
	}
	for _, s := range o.Purges.Storms {
		if s.Kind == workload.PurgeURL && v.objects == nil {
			v.objects = make([]atomic.Uint32, objects)
		}
	}
	return v
}

func (r *run) source(worker int) source {
	o := &r.opts
	switch {
	case o.Entries != nil:
		return &entrySource{entries: o.Entries, verify: !o.NoVerify}
	case o.Path != "":
		return &pathSource{target: o.Path, size: o.pathSize(), versions: r.versions, verify: !o.NoVerify}
	}
	m := mixSource{picker: workload.NewPicker(o.Mix, worker), mix: o.Mix, versions: r.versions, verify: !o.NoVerify}
	if o.Prefill {
		return &everySource{m}
	}
	return &m
}

// prefill asks for every object of the catalogue once, in a closed loop, and measures nothing.
func prefill(ctx context.Context, opts Options, addr *net.TCPAddr, v *versions) error {
	opts.Schedule, opts.Duration, opts.Warmup = nil, 0, 0
	opts.Requests = opts.Mix.Catalogue.Objects // not those of flash crowds, which nobody asks for before
	opts.Purges = PurgeOptions{}
	r := newRun(ctx, opts, addr, v)
	res, err := r.do(nil)
	if err == nil && res.Faults.Total > 0 {
		err = fmt.Errorf("%d of %d answers were faulty; the first: %s", res.Faults.Total, res.Requests, res.Examples[0].Fault)
	}
	if err != nil {
		return fmt.Errorf("cannot fill the cache before the start: %w", err)
	}
	return nil
}

func (r *run) do(p *purger) (*Result, error) {
	defer r.stop(errDone)
	var wg sync.WaitGroup
	r.ready.Add(r.opts.Connections)
	r.startEngine(&wg)
	r.ready.Wait()
	r.start = time.Now()
	close(r.begin)
	side, stopSide := context.WithCancel(r.ctx)
	var sideways sync.WaitGroup
	if p != nil {
		p.start(side, &sideways)
		p.countOrigin(side, &sideways)
		if r.opts.Progress != nil {
			sideways.Go(func() { r.tell(side) })
		}
	}
	cpu := cpuTime()
	wg.Wait()
	took := r.now()
	cpu = cpuTime() - cpu
	stopSide()
	sideways.Wait()
	res := r.result(took, cpu)
	if p != nil {
		res.Purges = p.result(took)
	}
	err := context.Cause(r.ctx)
	if err == nil && r.late.Load() && res.Unsent > 0 {
		err = fmt.Errorf("%w: %d requests were not sent %v after the last was due", ErrLate, res.Unsent, r.opts.Timeout)
	}
	if err != nil {
		res.Complete = false
		res.Ended = err.Error()
		return res, fmt.Errorf("the run ended after %.1f s: %w", took.Seconds(), err)
	}
	return res, nil
}

// now is the time since the start.
func (r *run) now() time.Duration { return time.Since(r.start) }

// stopped tells whether the run ended before its time.
func (r *run) stopped() bool { return r.ctx.Err() != nil }

// claim takes the next ticket. ok is false when there are no more.
func (r *run) claim(now time.Duration) (t ticket, ok bool) {
	if r.ctx.Err() != nil || (r.opts.Duration > 0 && r.opts.Schedule == nil && now >= r.opts.Duration) {
		return ticket{}, false
	}
	if r.opts.Schedule != nil && r.length > 0 && now > r.length+r.opts.Timeout {
		r.late.Store(true)
		return ticket{}, false // hopelessly late: what is left counts as not sent
	}
	i := r.tickets.Add(1) - 1
	due, ok := now, true
	if r.opts.Schedule != nil {
		due, ok = r.opts.Schedule.At(i)
	}
	if !ok || !r.within(i) || (r.opts.Duration > 0 && due >= r.opts.Duration) {
		r.tickets.Add(-1)
		return ticket{}, false
	}
	if !r.within(i + 1) {
		r.spent.Store(int64(max(due, now)))
	}
	return ticket{number: i, due: due}, true
}

// limit is when the answer to a request sent at a moment has to be whole: the timeout after the time for sending is over.
// Without it a target that drips would hold the run as long as it likes.
func (r *run) limit(sent time.Duration) time.Duration {
	over := time.Duration(r.spent.Load())
	if r.length > 0 {
		over = min(over, r.length)
	}
	if over == workload.Forever {
		return workload.Forever
	}
	return max(sent, over) + r.opts.Timeout
}

// unfinished is the fault of an answer that is not whole at its limit.
func unfinished(x *exchange, now time.Duration) *fault {
	return faultf(FaultTimeout, "not whole %v after it was sent, and the run is over", (now - x.sent).Round(time.Millisecond))
}

// within tells whether the run has a request of this number.
func (r *run) within(i int64) bool {
	return (r.opts.Requests == 0 || i < r.opts.Requests) && (r.opts.Entries == nil || i < int64(len(r.opts.Entries)))
}

// answered notes a right answer.
func (r *run) answered(req *request, a *answer) {
	if r.broken.Load() != 0 {
		r.broken.Store(0)
	}
	if req.object >= 0 && a.status == 200 {
		r.versions.see(req.object, a.version)
	}
}

// faulty notes an answer that is not right, and ends the run when nothing else has come for too long.
func (r *run) faulty(x *exchange, now time.Duration, f *fault) {
	if x.due >= r.opts.Warmup {
		r.examples.add(x, now, f)
	}
	if f.kind.Class() != "broken" {
		r.broken.Store(0)
		return
	}
	if n := r.broken.Add(1); n >= int64(r.opts.GiveUp) {
		r.stop(fmt.Errorf("%w on %s after %d broken answers in a row, the last: %w", ErrGaveUp, r.opts.Target, n, f))
	}
}

// tell reports the progress until ctx ends.
func (r *run) tell(ctx context.Context) {
	tick := time.NewTicker(r.opts.ProgressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p := Progress{Elapsed: r.now(), Purges: r.purged.Load()}
		p.Warming = p.Elapsed < r.opts.Warmup
		for _, w := range r.workers {
			p.Answers += w.rec.answers.Load()
			p.Bytes += w.rec.bytes.Load()
			p.Faulty += w.rec.faulty.Load()
		}
		r.opts.Progress(p)
	}
}

// blocking tells which engine is to be used.
func (r *run) blocking() bool {
	u, err := url.Parse(r.opts.Target)
	return !canLoop || r.opts.Blocking || r.opts.Dial != nil || err != nil || u.Scheme == "https"
}

// startEngine starts the goroutines that send, which wg waits for.
func (r *run) startEngine(wg *sync.WaitGroup) {
	if r.blocking() {
		startBlocking(r, wg)
		return
	}
	share := r.opts.Connections / len(r.workers)
	for i, w := range r.workers {
		n := share
		if i < r.opts.Connections%len(r.workers) {
			n++
		}
		wg.Go(func() { runLoop(w, n) })
	}
}
