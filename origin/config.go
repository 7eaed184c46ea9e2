package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Defaults of Config; each is what an empty field stands for.
const (
	DefaultConnectTimeout      = 3 * time.Second
	DefaultFirstByteTimeout    = 30 * time.Second
	DefaultBetweenBytesTimeout = 30 * time.Second
	DefaultWaitTimeout         = 10 * time.Second
	DefaultQueueSize           = 10_000
	DefaultResolve             = 30 * time.Second
	DefaultRetryBudget         = 0.1
	DefaultMaxConnsPerServer   = 1024
	DefaultMaxHeaderBytes      = 64 << 10
)

// DefaultEject is what an empty Config.Eject stands for.
var DefaultEject = Eject{Failures: 3, Ratio: 0.5, Window: 10 * time.Second, For: 10 * time.Second}

// Config describes one pool. New keeps a copy of it; empty fields take the
// defaults above.
type Config struct {
	// Name is the pool's name, in errors and for the Observer.
	Name string
	// Servers are those of the pool, at least one.
	Servers []Server
	// Balance says by what a server is chosen.
	Balance Balance
	// Resolve is how often the servers' names are looked up, by Resolver, which is
	// net.DefaultResolver when it is nil. Negative: for new connections only.
	Resolve  time.Duration
	Resolver Resolver

	// ConnectTimeout bounds one connection: name, TCP and TLS handshake.
	ConnectTimeout time.Duration
	// FirstByteTimeout bounds the wait for the response header, from when the
	// request has been handed over whole.
	FirstByteTimeout time.Duration
	// BetweenBytesTimeout bounds each wait for more of a response body, and for
	// the server to take the next piece of a request body. Time in which it is
	// the caller who does not read, or does not send, is not counted.
	BetweenBytesTimeout time.Duration
	// WaitTimeout bounds the wait for one of MaxConnsPerServer, and QueueSize how
	// many wait.
	WaitTimeout time.Duration
	QueueSize   int

	// MaxConnsPerServer bounds the exchanges in flight with one server, and so
	// its connections (with HTTP/2: its streams).
	MaxConnsPerServer int
	// MaxConnAge is how long a connection is used; 0 is without bound.
	MaxConnAge time.Duration
	// NoKeepAlive: each exchange over HTTP/1.1 has a connection of its own.
	NoKeepAlive bool
	// MaxHeaderBytes bounds a response header, each interim one included.
	MaxHeaderBytes int64
	// Retries bounds how often a failed request is sent again; 0 is never.
	Retries int
	// RetryBudget bounds retries to a share of the requests of the last ten seconds,
	// beside three that are always allowed. Negative is none but those.
	RetryBudget float64
	// Hedge says when a second server is asked beside the first.
	Hedge Hedge
	// Eject says when a server that fails gets no requests for some time.
	Eject Eject
	// Health describes active checks, which begin with Start.
	Health Health

	// Host, when set, replaces the request's Host towards the origin.
	Host string
	// TLS concerns https servers only.
	TLS TLSConfig
	// TrustClose takes the orderly end of a connection for the end of a body that
	// has neither length nor chunks. A server that dies in the middle of a body
	// ends its connections in the same way.
	TrustClose bool
	// HTTP2 offers HTTP/2 to https servers; others speak HTTP/1.1 always.
	HTTP2 bool

	// Observer is told the end of every attempt; nil is nobody.
	Observer Observer
	// Log gets what servers fail with, and what becomes of them; nil is nobody.
	Log *slog.Logger
}

// Server is one server of a pool.
type Server struct {
	// URL is "http://host[:port]" or "https://host[:port]".
	URL string
	// Weight is its share of the requests in relation to the others; 0 is 1.
	Weight int
	// Backup: it gets requests only while no other server is usable.
	Backup bool
}

// Balance says by what a server is chosen.
type Balance uint8

const (
	// LeastRequests chooses the server with the fewest requests in flight for its
	// weight, and counts those of a slow server several times.
	LeastRequests Balance = iota
	// RoundRobin lets the servers take turns, by their weights only.
	RoundRobin
)

// Resolver looks names up. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Eject says when a server that fails gets no requests for some time.
type Eject struct {
	// Off: failures of requests take no server out, and leave it its share of them.
	Off bool
	// Failures in a row are too many.
	Failures int
	// Ratio of failures among at least ten answers within Window is too much.
	Ratio  float64
	Window time.Duration
	// For is how long the server then gets none. It doubles each time that the
	// server fails again soon after it came back.
	For time.Duration
}

// Hedge says when a second server is asked beside the first.
type Hedge struct {
	// After is how long the first is waited for; Quantile, when it is not 0, derives
	// that from the time that answers usually take. Both 0: there are no hedges.
	After    time.Duration
	Quantile float64
	// AtMost bounds hedges to a share of the requests of the last ten seconds.
	AtMost float64
}

// Health says how a server is asked, in the absence of requests, whether it works.
type Health struct {
	// Path is asked for with GET. Empty: there are no active checks.
	Path string
	// Interval is from one check to the next, Timeout what one may take.
	Interval, Timeout time.Duration
	// Rise good answers in a row bring a server back, Fall bad ones take it out.
	Rise, Fall int
	// Status holds the first and the last code of each range that is good.
	Status [][2]int
}

// good reports whether code is what a check wants to see.
func (c *Health) good(code int) bool {
	return slices.ContainsFunc(c.Status, func(r [2]int) bool { return r[0] <= code && code <= r[1] })
}

// wants says which codes are good.
func (c *Health) wants() string {
	var s string
	for i, r := range c.Status {
		if i > 0 {
			s += ", "
		}
		if s += fmt.Sprint(r[0]); r[1] > r[0] {
			s += fmt.Sprintf("-%d", r[1])
		}
	}
	return s
}

// TLSConfig says how https servers prove who they are, and how we do.
type TLSConfig struct {
	// CAFile (PEM) or CAs replace the system's roots; not both.
	CAFile string
	CAs    *x509.CertPool
	// ServerName is sent as SNI and verified. Empty: the Host that is sent.
	ServerName string
	// CertFile and KeyFile (PEM) are our certificate for servers that ask.
	CertFile, KeyFile string
	// Insecure accepts any certificate: for tests and closed networks only.
	Insecure bool
}

// Observer is told about every attempt once, when it ends: outcome is one of
// Outcomes, d the time from its start (waiting for a connection included) to the
// response header or to the failure before it. It must not block.
type Observer interface {
	OriginDone(origin, outcome string, d time.Duration)
}

func (c *Config) ensureDefaults() {
	setDefault(&c.ConnectTimeout, DefaultConnectTimeout)
	setDefault(&c.FirstByteTimeout, DefaultFirstByteTimeout)
	setDefault(&c.BetweenBytesTimeout, DefaultBetweenBytesTimeout)
	setDefault(&c.WaitTimeout, DefaultWaitTimeout)
	setDefault(&c.QueueSize, DefaultQueueSize)
	setDefault(&c.Resolve, DefaultResolve)
	setDefault(&c.RetryBudget, DefaultRetryBudget)
	setDefault(&c.Eject, DefaultEject)
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	setDefault(&c.MaxConnsPerServer, DefaultMaxConnsPerServer)
	setDefault(&c.MaxHeaderBytes, DefaultMaxHeaderBytes)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate reports every fault at once.
func (c *Config) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.Servers) == 0 {
		fault("servers is empty: at least one is needed")
	}
	for name, d := range map[string]time.Duration{
		"ConnectTimeout": c.ConnectTimeout, "FirstByteTimeout": c.FirstByteTimeout,
		"BetweenBytesTimeout": c.BetweenBytesTimeout, "WaitTimeout": c.WaitTimeout, "MaxConnAge": c.MaxConnAge,
	} {
		if d < 0 {
			fault("%s is %v: must not be negative", name, d)
		}
	}
	if c.MaxConnsPerServer < 0 {
		fault("MaxConnsPerServer is %d: must not be negative", c.MaxConnsPerServer)
	}
	if c.MaxHeaderBytes < 0 {
		fault("MaxHeaderBytes is %d: must not be negative", c.MaxHeaderBytes)
	}
	if c.Retries < 0 {
		fault("Retries is %d: must not be negative", c.Retries)
	}
	if c.QueueSize < 0 {
		fault("QueueSize is %d: must not be negative", c.QueueSize)
	}
	if e := c.Eject; e.Failures < 1 || e.Ratio <= 0 || e.Window < 10 || e.For <= 0 {
		fault("Eject is %+v: all of it must be positive", e)
	}
	if h := c.Health; h.Path != "" && (h.Path[0] != '/' || h.Interval <= 0 || h.Timeout <= 0 || h.Rise < 1 || h.Fall < 1 || len(h.Status) == 0) {
		fault("Health is %+v: with a path, which begins with a slash, all of it must be set", h)
	}
	if c.Host != "" && !validHost(c.Host) {
		fault("Host is %q: must be a host name, with or without a port", c.Host)
	}
	if c.TLS.CAFile != "" && c.TLS.CAs != nil {
		fault("CAFile and CAs are both set: give one")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		fault("CertFile and KeyFile must be set together")
	}
	return errors.Join(faults...)
}

// parseServer checks the URL of one of Config.Servers and returns its scheme and
// host:port.
func parseServer(s string) (scheme, addr string, err error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", "", fmt.Errorf("cannot use server %q: %w", s, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", "", fmt.Errorf("cannot use server %q: want http://host:port or https://host:port", s)
	}
	if u.Hostname() == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return "", "", fmt.Errorf("cannot use server %q: only a scheme, a host and a port may stand there", s)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme, net.JoinHostPort(u.Hostname(), port), nil
}

// clientTLS builds the base configuration for https servers; ServerName is
// filled in per connection.
func (c *Config) clientTLS() (*tls.Config, error) {
	t := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            c.TLS.CAs,
		InsecureSkipVerify: c.TLS.Insecure,
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(64),
	}
	if c.HTTP2 {
		t.NextProtos = []string{"h2", "http/1.1"}
	}
	if c.TLS.CAFile != "" {
		pem, err := os.ReadFile(c.TLS.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read CA file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot read CA file %s: no PEM certificate in it", c.TLS.CAFile)
		}
	}
	if c.TLS.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot load client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

// validHost reports whether h may be sent as Host: ASCII, no spaces, no
// delimiters that would end the authority in an absolute URI.
func validHost(h string) bool {
	if h == "" || !httpguts.ValidHostHeader(h) || strings.ContainsAny(h, "/?#@\\ \t,\"<>") {
		return false
	}
	for i := range len(h) {
		if h[i] >= 0x80 {
			return false
		}
	}
	return true
}
