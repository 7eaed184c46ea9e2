package bus

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// RouteOptions say where an embedded server takes routes, and where it makes them.
type RouteOptions struct {
	Node, Cluster string
	// Listen is host:port; port 0 is any.
	Listen string
	// Peers are host:port, a name that resolves to several hosts included, or
	// "srv:" and the name of SRV records. They are resolved again every now and
	// then.
	Peers []string
	// Secret is what routes authenticate with; it may be empty.
	Secret []byte
	// TLS is for both ends of a route; nil is none.
	TLS *tls.Config
	Log *slog.Logger
	// Resolver looks names up; nil is the system's.
	Resolver Resolver
	// Resolve is how often; 0 means every 15 s.
	Resolve time.Duration
}

// Resolver is what *net.Resolver does of it.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

const srvPrefix = "srv:"

// embedded is a NATS server inside the process.
type embedded struct {
	o              RouteOptions
	server         *server.Server
	options        *server.Options
	user, password string
	routes         []string
	stop           context.CancelFunc
	running        sync.WaitGroup
}

func startEmbedded(o RouteOptions) (*embedded, error) {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Resolve == 0 {
		o.Resolve = 15 * time.Second
	}
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for peers: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for peers: port %q is no number", port)
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	if host == "" {
		host = "0.0.0.0"
	}
	// The library only logs a port that is taken; ask first.
	probe, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for peers: %w", err)
	}
	_ = probe.Close()
	e := &embedded{o: o, user: "weir", password: randomText()}
	ctx, cancel := context.WithCancel(context.Background())
	e.stop = cancel
	e.routes = e.resolve(ctx)
	e.options = e.serverOptions(host, number)
	if e.server, err = server.NewServer(e.options); err != nil {
		cancel()
		return nil, fmt.Errorf("cannot make the embedded NATS server: %w", err)
	}
	e.server.SetLoggerV2(&serverLog{log: o.Log, said: make(map[string]time.Time)}, false, false, false)
	e.server.Start()
	if !e.server.ReadyForConnections(10 * time.Second) {
		e.close()
		return nil, fmt.Errorf("cannot start the embedded NATS server: it is not ready after 10s")
	}
	e.running.Go(func() { e.follow(ctx) })
	return e, nil
}

func randomText() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// routePassword is the secret as routes show it to each other.
func routePassword(secret []byte) string {
	sum := sha256.Sum256(append([]byte("weir routes\x00"), secret...))
	return hex.EncodeToString(sum[:])
}

func (e *embedded) serverOptions(host string, port int) *server.Options {
	o := &server.Options{
		ServerName: e.o.Node + "-" + randomText()[:12],
		Host:       "127.0.0.1", Port: server.RANDOM_PORT, Username: e.user, Password: e.password,
		NoSigs: true, NoLog: true, DisableShortFirstPing: true, MaxPayload: maxMessage,
		Routes: e.routeURLs(e.routes),
		Cluster: server.ClusterOpts{
			Name: e.o.Cluster, Host: host, Port: port, PoolSize: -1, NoAdvertise: true,
			PingInterval: 500 * time.Millisecond, ConnectRetries: 0,
		},
		MaxPingsOut: 2,
	}
	o.Cluster.MaxPingsOut = 2
	if len(e.o.Secret) > 0 {
		o.Cluster.Username, o.Cluster.Password = "weir", routePassword(e.o.Secret)
	}
	if e.o.TLS != nil {
		o.Cluster.TLSConfig, o.Cluster.TLSTimeout = e.o.TLS, 2
	}
	return o
}

func (e *embedded) routeURLs(addresses []string) []*url.URL {
	urls := make([]*url.URL, len(addresses))
	for i, a := range addresses {
		urls[i] = &url.URL{Scheme: "nats-route", Host: a}
		if len(e.o.Secret) > 0 {
			urls[i].User = url.UserPassword("weir", routePassword(e.o.Secret))
		}
	}
	return urls
}

// resolve turns the configured peers into addresses. A name that does not resolve
// now is left out; it is tried again.
func (e *embedded) resolve(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var out []string
	for _, p := range e.o.Peers {
		list, err := e.lookup(ctx, p)
		if err != nil {
			e.o.Log.Debug("a peer's name does not resolve", "peer", p, "error", err)
			continue
		}
		out = append(out, list...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (e *embedded) lookup(ctx context.Context, peer string) ([]string, error) {
	if name, ok := strings.CutPrefix(peer, srvPrefix); ok {
		_, records, err := e.o.Resolver.LookupSRV(ctx, "", "", name)
		if err != nil {
			return nil, err
		}
		var out []string
		for _, r := range records {
			list, err := e.hosts(ctx, strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port)))
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
		return out, nil
	}
	host, port, err := net.SplitHostPort(peer)
	if err != nil {
		return nil, err
	}
	return e.hosts(ctx, host, port)
}

func (e *embedded) hosts(ctx context.Context, host, port string) ([]string, error) {
	if net.ParseIP(host) != nil {
		return []string{net.JoinHostPort(host, port)}, nil
	}
	list, err := e.o.Resolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i] = net.JoinHostPort(list[i], port)
	}
	return list, nil
}

// follow resolves the peers again and again, and makes routes to those that are
// new. A name that resolves to nothing changes nothing: routes that work stay.
func (e *embedded) follow(ctx context.Context) {
	ticker := time.NewTicker(e.o.Resolve)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		next := e.resolve(ctx)
		if len(next) == 0 || slices.Equal(next, e.routes) || ctx.Err() != nil {
			continue
		}
		o := e.options.Clone()
		o.Routes = e.routeURLs(next)
		if err := e.server.ReloadOptions(o); err != nil {
			e.o.Log.Warn("the routes to peers stay as they were", "error", err)
			continue
		}
		e.o.Log.Info("peers resolve to other addresses", "were", e.routes, "are", next)
		e.routes = next
	}
}

func (e *embedded) address() string {
	if a := e.server.ClusterAddr(); a != nil {
		return a.String()
	}
	return ""
}

func (e *embedded) close() {
	e.stop()
	e.running.Wait()
	e.server.Shutdown()
	e.server.WaitForShutdown()
}
