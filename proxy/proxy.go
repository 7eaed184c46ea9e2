package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/proxy/accesslog"
	"weir/proxy/fetch"
	"weir/proxy/front"
	"weir/proxy/metrics"
	"weir/proxy/shed"
	"weir/proxy/stored"
	"weir/tiers"
)

// Options are fixed for the life of a Proxy.
type Options struct {
	Tiers *tiers.Store
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
	// Invalidation knows what was purged; nil: nothing ever is.
	Invalidation *invalidation.Node
	// Purges takes purges by the PURGE method; nil means one of Invalidation
	// alone.
	Purges *invalidation.Service
	// Metrics counts every request; nil means a registry that nobody reads.
	Metrics *metrics.Registry
	// AccessLog gets a line for each request; nil is off.
	AccessLog *accesslog.Logger

	// Limits are those of the clients' side. A ProgressTimeout of 0 means a minute.
	front.Limits
	// FollowerTimeout bounds how long a request waits for the header of
	// another's fetch before it goes alone.
	FollowerTimeout time.Duration
	// MaxWaiters bounds how many requests wait for the same fetch; 0 means half of
	// MaxConnections.
	MaxWaiters int
}

// Proxy serves. Make one with New, hand it listeners with Serve.
type Proxy struct {
	*core
	front *front.Server
}

// New makes a proxy. It serves nothing until Serve.
func New(o Options, cfg *Config) (*Proxy, error) {
	realTime := o.Now == nil
	if realTime {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics("", o.Now)
	}
	if o.Purges == nil && o.Invalidation != nil {
		o.Purges = &invalidation.Service{Node: o.Invalidation}
	}
	if o.ProgressTimeout == 0 {
		o.ProgressTimeout = time.Minute
	}
	if o.FollowerTimeout == 0 {
		o.FollowerTimeout = time.Minute
	}
	c := &core{
		store: stored.New(o.Tiers, o.Invalidation, o.Now), purges: o.Purges, metrics: o.Metrics, accessLog: o.AccessLog, log: o.Log,
		now: o.Now, realTime: realTime, began: o.Now().UnixNano(), followerTimeout: o.FollowerTimeout,
	}
	c.clock = c.store.Clock()
	if o.MaxWaiters == 0 {
		o.MaxWaiters = (o.MaxConnections + 1) / 2
	}
	c.fetch = fetch.New(c.store, o.Metrics, o.Log, o.Now, o.MaxWaiters)
	c.room = shed.NewRoom(o.MaxConnections)
	c.overload = shed.NewOverload(c.room, o.Log)
	c.pool.New = func() any {
		return &exchange{core: c, view: new(policy.View), rangeRoom: make([]policy.ByteRange, 0, policy.MaxRanges)}
	}
	p := &Proxy{core: c}
	if err := p.SetConfig(cfg); err != nil {
		return nil, err
	}
	p.front = front.New(front.Options{
		Handle: p.handle, Expects: p.expects, Stepped: p.stepped, Log: o.Log, Now: o.Now, Limits: o.Limits,
		Name: func() string { return p.Config().CacheName },
	})
	return p, nil
}

// Config is the configuration in effect; it must not be changed.
func (p *Proxy) Config() *Config { return p.cfg.Load() }

// SetConfig replaces the configuration. Requests under way keep the old one.
func (p *Proxy) SetConfig(c *Config) error {
	rules := c.Rules.Rules()
	names := make([]string, len(rules))
	for i, r := range rules {
		if _, ok := c.Origins[r.Origin]; !ok {
			return fmt.Errorf("cannot use policy %q: there is no origin %q", r.Name, r.Origin)
		}
		names[i] = r.Name
	}
	n := *c
	n.policies = p.metrics.SetPolicies(names)
	if n.StaleWait == 0 {
		n.StaleWait = time.Second
	}
	if n.CacheName == "" {
		n.CacheName = "weir"
	}
	p.cfg.Store(&n)
	return nil
}

// Serve answers what ln accepts until Shutdown. It may be called for several
// listeners at once. Proxied says that its connections begin with PROXY
// headers.
func (p *Proxy) Serve(ln net.Listener, proxied bool) error {
	p.overload.Start(p.fetch.Context())
	return p.front.Serve(ln, proxied)
}

// Shutdown stops accepting, lets requests and fetches under way end, and gives
// up on the rest when ctx ends; it then returns ctx's error.
func (p *Proxy) Shutdown(ctx context.Context) error {
	err := p.front.Shutdown(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.fetch.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		p.fetch.Stop()
		<-done
	}
	p.fetch.Stop()
	p.front.Close()
	p.overload.Wait()
	return err
}

// Leave makes the next answer on each connection that is open now end it.
func (p *Proxy) Leave() { p.front.Leave() }

// SendAway makes every answer end its connection, and gives clients so long to see
// one. It comes before Shutdown, when the listeners are closed.
func (p *Proxy) SendAway(ctx context.Context, d time.Duration) { p.front.SendAway(ctx, d) }

// InFlight is the number of requests being answered, Connections the number of
// open client connections, Flights that of fetches under way.
func (p *Proxy) InFlight() int64 { return p.metrics.InFlight() }

func (p *Proxy) Connections() int64 { open, _ := p.front.Connections(); return int64(open) }

// RefusedConnections is how many connections were refused because too many
// were open.
func (p *Proxy) RefusedConnections() uint64 { _, refused := p.front.Connections(); return refused }

func (p *Proxy) Flights() int64 { return p.fetch.Running() }

// Waiting is the number of requests that wait for origins.
func (p *Proxy) Waiting() int64 { return p.room.Waiting() }

// Shedding is the share of the requests to origins that overload turns away.
func (p *Proxy) Shedding() float64 { return p.overload.Share() }

// notableStep is from where a step of the wall clock is told.
const notableStep = 500 * time.Millisecond

// stepped tells of a step of the wall clock. What is stored ages on by the monotonic
// clock, but dates of origins and of the log are held against the wall clock.
func (p *Proxy) stepped(before, now time.Time) {
	by := stored.Step(before, now)
	if by > -notableStep && by < notableStep {
		return
	}
	p.metrics.ClockStep(by < 0)
	p.log.Warn("the clock of this machine was set, or it slept; nothing stored looks younger for it", "seconds", by.Seconds())
}
