package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/configs"
	"weir/invalidation"
	"weir/invalidation/bus"
	"weir/origin"
	"weir/proxy"
	"weir/proxy/accesslog"
	"weir/proxy/admin"
	"weir/proxy/fetch"
	"weir/proxy/front"
	"weir/proxy/listen"
	"weir/proxy/metrics"
	"weir/tiers"
)

func hexDigest(d [32]byte) string { return hex.EncodeToString(d[:]) }

// node is one running weir.
type node struct {
	path    string
	log     *slog.Logger
	level   *slog.LevelVar
	started time.Time

	metrics   *metrics.Registry
	accessLog *accesslog.Logger
	tiers     *tiers.Store
	// room is tiers, once they are there, for the log of purges, which may ask them
	// for room before.
	room      atomic.Pointer[tiers.Store]
	purges    *invalidation.Node
	bus       *bus.Bus // nil for a single node
	audit     *invalidation.Audit
	purger    *invalidation.Service
	events    admin.Events
	proxy     *proxy.Proxy
	listeners []*listen.Listener
	adminAddr net.Addr
	// adminSocket belongs to admin, once that is started.
	adminSocket *net.TCPListener
	admin       *admin.Server
	handler     *admin.Handler
	notify      *notifier // nil: nobody wants to know
	in          inherited
	offer       *listen.Offer  // nil: this process cannot be taken over
	handed      sync.WaitGroup // what a process that takes over waits for
	// failed gets the error of a listener that stopped by itself.
	failed chan error

	// mu protects the fields below it; reload and status take it.
	mu        sync.Mutex
	cfg       *configs.Config
	pools     map[string]pool
	retired   []retiredPool
	loadedAt  time.Time
	lastError string
	// leaving says why the node should get no traffic any more; "" while it should.
	leaving string
}

type pool struct {
	config configs.Origin
	pool   *origin.Pool
	index  int
}

type retiredPool struct {
	pool *origin.Pool
	at   time.Time
}

// start brings up everything that cfg describes. On error nothing is left.
func start(ctx context.Context, path string, cfg *configs.Config, stderr io.Writer) (*node, error) {
	return startWith(ctx, path, cfg, stderr, inherited{})
}

// startWith is start with what other processes left to this one.
func startWith(ctx context.Context, path string, cfg *configs.Config, stderr io.Writer, in inherited) (*node, error) {
	n := &node{
		in:   in,
		path: path, cfg: cfg, level: &slog.LevelVar{}, started: time.Now(), loadedAt: time.Now(),
		failed: make(chan error, len(cfg.Listen)), pools: map[string]pool{},
	}
	n.log = newLogger(cfg.Log, n.level, stderr)
	// net/http and others print through the global logger what an origin did.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(n.log.Handler(), slog.LevelDebug).Writer())
	n.audit = invalidation.NewAudit(n.log)
	setMemoryLimit(cfg)
	n.metrics = proxy.NewMetrics(buildVersion(), time.Now)
	n.metrics.ConfigLoaded(n.loadedAt)
	n.metrics.Start()
	if err := n.open(ctx, stderr); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// open opens logs, tiers and sockets, and begins to serve. What it opened before
// it failed is for close to give back.
func (n *node) open(ctx context.Context, stderr io.Writer) (err error) {
	cfg := n.cfg
	if n.accessLog, err = accesslog.Open(accesslog.Options{Target: accessTarget(cfg.AccessLog), Stderr: stderr}); err != nil {
		return fmt.Errorf("%w (from the key access_log.file)", err)
	}
	// The sockets first: who connects while the rest is opened waits in their
	// queues.
	if err = n.listen(ctx); err != nil {
		return err
	}
	if err = n.in.begin(ctx, n.log); err != nil {
		return err
	}
	if err = n.openInvalidation(); err != nil {
		return err
	}
	// Before anything is served: the gate must be closed by then.
	if err = n.joinCluster(); err != nil {
		return err
	}
	if err = n.openTiers(ctx); err != nil {
		return err
	}
	n.purger = n.purgeService()
	data, err := n.dataConfig(cfg)
	if err != nil {
		return err
	}
	n.proxy, err = proxy.New(proxy.Options{
		Tiers: n.tiers, Log: n.log, Invalidation: n.purges, Purges: n.purger, Metrics: n.metrics, AccessLog: n.accessLog,
		MaxWaiters: cfg.Limits.Waiters,
		Limits: front.Limits{
			MaxConnections: cfg.Limits.Connections, MaxConnectionsPerIP: cfg.Limits.ConnectionsPerIP,
			MaxHeader: int(cfg.Limits.HeaderSize), HeaderTimeout: cfg.Timeouts.Header, IdleTimeout: cfg.Timeouts.Idle,
			ProgressTimeout: cfg.Timeouts.Progress,
		},
	}, data)
	if err != nil {
		return err
	}
	n.wireMetrics()
	return n.serve()
}

// newLogger is the program's own log.
func newLogger(c configs.Log, level *slog.LevelVar, w io.Writer) *slog.Logger {
	level.Set(c.Level)
	o := &slog.HandlerOptions{Level: level}
	if c.Format == configs.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// dataConfig makes the proxy's configuration, with pools of origins that did
// not change taken over, connections and all.
func (n *node) dataConfig(cfg *configs.Config) (*proxy.Config, error) {
	set, err := rules(cfg)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(cfg.Origins))
	for i := range cfg.Origins {
		names[i] = cfg.Origins[i].Name
	}
	indices := n.metrics.SetOrigins(names)
	pools := make(map[string]pool, len(names))
	data := &proxy.Config{
		Rules: set, Origins: make(map[string]fetch.Upstream, len(names)), TrustedProxies: cfg.TrustedProxies,
		CacheName: cfg.CacheName, MaxRequestBody: cfg.Limits.BodySize, PurgeTokens: purgeTokens(cfg),
		StaleWait: cfg.Timeouts.StaleWait,
	}
	for i := range cfg.Origins {
		c := cfg.Origins[i]
		p, ok := n.pools[c.Name]
		if !ok || !reflect.DeepEqual(p.config, c) {
			made, err := origin.New(originConfig(&c, proxy.OriginObserver{Metrics: n.metrics, Index: indices[i]}, n.log))
			if err != nil {
				for name, p := range pools {
					if n.pools[name].pool != p.pool {
						p.pool.Close() // made for nothing
					}
				}
				return nil, err
			}
			p = pool{config: c, pool: made, index: indices[i]}
		}
		pools[c.Name] = p
		data.Origins[c.Name] = fetch.Upstream{Origin: p.pool, Health: p.pool, Index: p.index, Fallback: c.Fallback}
	}
	n.retire(pools)
	return data, nil
}

// previous is the pool that one of that name replaces, or nil.
func (n *node) previous(name string) *origin.Pool {
	if p, ok := n.pools[name]; ok {
		return p.pool
	}
	for _, r := range slices.Backward(n.retired) {
		if r.pool.Name() == name {
			return r.pool // the origin was taken out, and is back
		}
	}
	return nil
}

// retire starts the new pools, and keeps those that are no longer configured until
// requests that began with the old configuration can be expected to have asked them.
func (n *node) retire(next map[string]pool) {
	now := time.Now()
	for name, p := range next {
		if n.pools[name].pool != p.pool {
			p.pool.Start(n.previous(name))
		}
	}
	kept := n.retired[:0]
	for _, r := range n.retired {
		if now.Sub(r.at) > time.Minute {
			r.pool.Close()
			continue
		}
		kept = append(kept, r)
	}
	n.retired = kept
	for name, p := range n.pools {
		if next[name].pool != p.pool {
			n.retired = append(n.retired, retiredPool{pool: p.pool, at: now})
		}
	}
	n.pools = next
}

func (n *node) listen(ctx context.Context) error {
	for _, l := range n.cfg.Listen {
		c := listen.Config{
			Address: l.Address, ProxyProtocol: l.ProxyProtocol, Trusted: n.cfg.TrustedProxies,
			ProgressTimeout: n.cfg.Timeouts.Progress, HeaderTimeout: n.cfg.Timeouts.Header, Log: n.log,
		}
		if l.TLS != nil {
			c.CertFile, c.KeyFile = l.TLS.Cert, l.TLS.Key
		}
		var ln *listen.Listener
		err := n.in.patiently(ctx, n.log, syscall.EADDRINUSE, func() (err error) {
			c.Socket = n.in.socket(l.Address)
			ln, err = listen.Listen(ctx, c)
			return err
		})
		if err != nil {
			return listenFault("listen", err)
		}
		n.listeners = append(n.listeners, ln)
	}
	if err := n.listenAdmin(ctx); err != nil {
		return err
	}
	return n.in.left(n.cfg)
}

// listenAdmin opens the socket of the admin plane.
func (n *node) listenAdmin(ctx context.Context) error {
	address := n.cfg.Admin.Listen
	if n.adminSocket = n.in.socket(address); n.adminSocket != nil {
		return nil
	}
	return n.in.patiently(ctx, n.log, syscall.EADDRINUSE, func() error {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			if op, ok := errors.AsType[*net.OpError](err); ok {
				err = op.Err // without the address, which comes anyway
			}
			return listenFault("admin.listen", fmt.Errorf("cannot listen on %s: %w", address, err))
		}
		n.adminSocket = ln.(*net.TCPListener)
		return nil
	})
}

// listenFault adds to an error that names the address which key of the
// configuration asked for it, and what usually helps.
func listenFault(key string, err error) error {
	var hint string
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "; another program, or another weir, has this address"
	case errors.Is(err, syscall.EACCES):
		hint = "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "; this machine has no such address"
	}
	return fmt.Errorf("%w (from the key %s%s)", err, key, hint)
}

// serve starts answering on all sockets.
func (n *node) serve() error {
	var err error
	n.handler, err = admin.NewHandler(admin.Options{Status: n, Ready: n, Metrics: n.metrics, Purges: purgeSource{n}, Events: &n.events, Audit: n.audit, Tokens: adminTokens(n.cfg)})
	if err != nil {
		return fmt.Errorf("cannot start the admin plane: %w", err)
	}
	n.adminAddr = n.adminSocket.Addr()
	n.admin = admin.Start(n.adminSocket, n.handler, slog.NewLogLogger(n.log.Handler(), slog.LevelWarn))
	for i, l := range n.listeners {
		// Read here: a reload replaces the configuration.
		proxied := n.cfg.Listen[i].ProxyProtocol
		go func() {
			if err := n.proxy.Serve(l, proxied); err != nil {
				n.failed <- err
			}
		}()
	}
	return nil
}

// addresses are the URLs of the data plane and of the admin plane.
func (n *node) addresses() (data []string, admin string) {
	for i, l := range n.listeners {
		scheme := "http://"
		if n.cfg.Listen[i].TLS != nil {
			scheme = "https://"
		}
		data = append(data, scheme+l.Addr().String())
	}
	return data, "http://" + n.adminAddr.String()
}

// close gives back everything that was opened, the data plane's users first.
func (n *node) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, l := range n.listeners {
		_ = l.Close() // the proxy has closed it already, in an orderly stop
	}
	n.handed.Wait()
	n.in.close()
	if n.offer != nil {
		n.offer.Close()
	}
	n.events.Close()
	if n.admin == nil && n.adminSocket != nil {
		_ = n.adminSocket.Close() // nothing was served on it
	}
	if n.admin != nil {
		if err := n.admin.Shutdown(ctx); err != nil {
			n.log.Warn("admin plane did not stop in time", "error", err)
		}
	}
	for _, p := range n.pools {
		p.pool.Close()
	}
	for _, r := range n.retired {
		r.pool.Close()
	}
	if n.bus != nil {
		n.bus.Close()
	}
	if n.purges != nil {
		if err := n.purges.Close(); err != nil && !errors.Is(err, invalidation.ErrClosed) {
			n.log.Error("cannot close the log of purges", "error", err)
		}
	}
	if n.tiers != nil {
		if err := n.tiers.Close(); err != nil {
			n.log.Error("cannot close the tiers", "error", err)
		}
	}
	if n.accessLog != nil {
		// The tiers may have taken all the time that ctx had.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.accessLog.Close(ctx); err != nil {
			n.log.Error("cannot close the access log", "error", err)
		}
	}
	n.metrics.Close()
}

// Ready implements admin.ReadySource.
func (n *node) Ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.readyLocked()
}

// readyLocked says why the node should get no traffic, or returns nil.
func (n *node) readyLocked() error {
	switch {
	case n.leaving != "":
		return errors.New(n.leaving)
	case n.diskOpening():
		return errors.New("the disk tier is being opened")
	case n.diskRequiredLocked():
		if d, ok := n.tiers.DiskUsage(); ok && !d.Up {
			return fmt.Errorf("the disk tier is off, and tiers.disk.required says not to go on without it: %v", n.tiers.DiskError())
		}
	}
	return nil
}

func (n *node) diskRequiredLocked() bool {
	return n.cfg.Tiers.Disk != nil && n.cfg.Tiers.Disk.Required
}

// Status implements admin.StatusSource.
func (n *node) Status() any {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := admin.Status{
		Version: buildVersion(), UptimeSeconds: int64(time.Since(n.started).Seconds()), Node: n.name(), Ready: true,
		Policies: len(n.cfg.Policies),
		Config:   admin.ConfigStatus{Path: n.path, LoadedAt: n.loadedAt, LastError: n.lastError},
	}
	if err := n.readyLocked(); err != nil {
		s.Ready, s.NotReady = false, err.Error()
	}
	for i := range n.cfg.Origins {
		if p, ok := n.pools[n.cfg.Origins[i].Name]; ok {
			s.Origins = append(s.Origins, originStatus(p.pool))
		}
	}
	ram := n.tiers.RAMUsage()
	s.Tiers = append(s.Tiers, admin.TierStatus{Name: "ram", Up: true, Bytes: ram.Bytes, Capacity: ram.Capacity, Objects: ram.Objects})
	if d, ok := n.tiers.DiskUsage(); ok {
		state, _ := n.tiers.DiskState()
		t := admin.TierStatus{Name: "disk", Up: d.Up, State: state.String(), Bytes: d.Bytes, Capacity: d.Capacity, Objects: d.Objects, Required: n.diskRequiredLocked()}
		if err := n.tiers.DiskError(); err != nil {
			t.Error = err.Error()
		}
		promises, missing := n.tiers.Promises()
		t.MissingBytes = missing
		for _, p := range promises {
			t.Policies = append(t.Policies, admin.TierPolicy{
				Policy: p.Policy, Objects: p.Objects, Bytes: p.Bytes, GuaranteedBytes: p.Guaranteed, Pinned: p.Pin, EvictedFresh: p.EvictedFresh,
			})
		}
		s.Tiers = append(s.Tiers, t)
	}
	s.InFlight = inFlightStatus(n.tiers.InFlight())
	n.clusterStatus(&s)
	return s.Normalized()
}

// originStatus is what /v1/status says of an origin.
func originStatus(p *origin.Pool) admin.OriginStatus {
	of := p.Status()
	s := admin.OriginStatus{Name: p.Name(), Failing: of.Failing, Waiting: of.Waiting}
	for _, v := range of.Servers {
		s.Servers = append(s.Servers, admin.ServerStatus{
			URL: v.URL, Addresses: v.Addresses, State: v.State.String(), Since: v.Since, Reason: v.Reason, InFlight: v.InFlight,
		})
	}
	return s
}

// name is the node's name: the configured one, else the machine's.
func (n *node) name() string {
	if n.cfg.Cluster != nil {
		return n.cfg.Cluster.Node
	}
	if h, err := os.Hostname(); err == nil {
		return h
	}
	return "weir"
}
