package replay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"weir/loadtest/accesslog"
)

// Options of Run.
type Options struct {
	Target      string            // http://host:port, loopback
	Entries     []accesslog.Entry // sent in this order
	Catalogue   *Catalogue        // what to expect; default: NewCatalogue of Entries, without a limit
	Origin      *Origin           // whose counts tell the offload; without one it is unknown
	Concurrency int               // connections, default 8, at most 1024
	Host        string            // of the Host field; default: the target's host and port
	Timeout     time.Duration     // without any progress, default 30 s
	Now         func() time.Time  // default time.Now
}

func (o Options) withDefaults() Options {
	if o.Concurrency == 0 {
		o.Concurrency = 8
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Catalogue == nil {
		o.Catalogue = NewCatalogue(o.Entries, CatalogueOptions{})
	}
	return o
}

// maxConnectFaults ends a run whose target is not there: so many connections failed with none succeeding between.
const maxConnectFaults = 20

// ErrTargetGone ends a run whose target takes no connections any more.
var ErrTargetGone = errors.New("target takes no connections")

// Run replays the entries and returns what it measured. When ctx ends, or the target goes away, the result holds what was
// measured until then and the error says why it ended. Faulty answers are in the result and no error.
func Run(ctx context.Context, opts Options) (*Result, error) {
	addr, host, err := resolve(ctx, opts.Target)
	if err != nil {
		return nil, fmt.Errorf("cannot replay against %q: %w", opts.Target, err)
	}
	if opts.Host == "" {
		opts.Host = host
	}
	opts = opts.withDefaults()
	if opts.Concurrency < 1 || opts.Concurrency > 1024 {
		return nil, fmt.Errorf("cannot replay: concurrency is %d, should be 1 to 1024", opts.Concurrency)
	}
	if opts.Timeout < 0 {
		return nil, fmt.Errorf("cannot replay: timeout is %v, should be above 0", opts.Timeout)
	}
	r := &run{opts: opts, addr: addr, collector: newCollector()}
	return r.do(ctx)
}

// run is one replay. Its workers are started and waited for by do.
type run struct {
	opts      Options
	addr      string
	collector *collector
	next      atomic.Int64 // index of the next entry
	refused   atomic.Int64 // connections refused in a row
}

func (r *run) do(ctx context.Context) (*Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var before Counts
	if r.opts.Origin != nil {
		before = r.opts.Origin.Counts()
	}
	begin := r.opts.Now()
	var wg sync.WaitGroup
	for range r.opts.Concurrency {
		wg.Go(func() { r.work(ctx, cancel) })
	}
	wg.Wait()
	res := r.collector.result()
	res.Duration = r.opts.Now().Sub(begin)
	res.DurationUS = res.Duration.Microseconds()
	res.Concurrency = r.opts.Concurrency
	if r.opts.Origin != nil {
		after := r.opts.Origin.Counts()
		res.OriginKnown = true
		res.Origin = Counts{
			Requests: after.Requests - before.Requests,
			Bytes:    after.Bytes - before.Bytes,
			Unknown:  after.Unknown - before.Unknown,
		}
	}
	if ctx.Err() != nil {
		return res, fmt.Errorf("cannot finish replay after %d of %d entries: %w",
			res.Requests+res.Skipped, len(r.opts.Entries), context.Cause(ctx))
	}
	return res, nil
}

func (r *run) work(ctx context.Context, cancel context.CancelCauseFunc) {
	c := &client{addr: r.addr, host: r.opts.Host, timeout: r.opts.Timeout, now: r.opts.Now}
	defer c.close()
	for ctx.Err() == nil {
		i := int(r.next.Add(1) - 1)
		if i >= len(r.opts.Entries) {
			return
		}
		req, ok := prepare(r.opts.Catalogue, i, &r.opts.Entries[i])
		if !ok {
			r.collector.skip()
			continue
		}
		a, f := c.do(ctx, &req)
		if f != nil && ctx.Err() != nil {
			return // the end of the run broke it, not the target
		}
		if f == nil || f.kind != FaultConnect {
			r.refused.Store(0)
		} else if r.refused.Add(1) >= maxConnectFaults {
			cancel(fmt.Errorf("%w: %w", ErrTargetGone, f.err))
		}
		r.collector.add(&req, a, f)
	}
}

// resolve looks the target up once and refuses it unless every address is loopback.
func resolve(ctx context.Context, target string) (addr, host string, err error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", "", err
	}
	if u.Scheme != "http" || u.Hostname() == "" {
		return "", "", errors.New("it is no http://host:port")
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, u.Hostname())
	if err != nil {
		return "", "", err
	}
	for _, ip := range ips {
		if !ip.IP.IsLoopback() {
			return "", "", fmt.Errorf("it is not loopback (%s)", ip.IP)
		}
	}
	// A name that is loopback in both families is served on 127.0.0.1 more often than on ::1.
	for _, ip := range ips {
		if ip.IP.To4() != nil {
			return net.JoinHostPort(ip.IP.String(), port), u.Host, nil
		}
	}
	return net.JoinHostPort(ips[0].IP.String(), port), u.Host, nil
}
