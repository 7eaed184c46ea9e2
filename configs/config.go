package configs

import (
	"net/netip"
	"os"
	"time"
)

// Config is the effective configuration of one node, defaults filled in.
// Durations are time.Duration, sizes are bytes. A Config, and what its slices
// and maps hold, does not change after Parse returned it.
type Config struct {
	// Listen holds at least one listener, in file order.
	Listen []Listener
	// TrustedProxies are the senders whose X-Forwarded-*, Forwarded and PROXY
	// headers are believed. Masked prefixes; none by default.
	TrustedProxies []netip.Prefix
	Admin          Admin
	Tiers          Tiers
	// Origins are in file order; Origin finds one by name.
	Origins []Origin
	// Policies are in file order: the first that matches decides.
	Policies []Policy
	// Cluster is nil for a single node.
	Cluster *Cluster
	// CacheName is what Cache-Status and Via call this cache.
	CacheName string
	AccessLog AccessLog
	Log       Log
	Limits    Limits
	Timeouts  Timeouts

	// Warnings are places where the file is valid and yet hardly what was
	// meant, in file order.
	Warnings Faults

	// file and files are for CheckFiles; ramSize and diskSize are where
	// CheckMachine's warnings belong, and places are for PolicyFault.
	file              string
	files             []fileRef
	ramSize, diskSize value
	// places are where the policies and what they hold stand, by path.
	places map[string]place
}

// Origin returns the origin of that name.
func (c *Config) Origin(name string) (Origin, bool) {
	for _, o := range c.Origins {
		if o.Name == name {
			return o, true
		}
	}
	return Origin{}, false
}

// Listener is one address of the data plane.
type Listener struct {
	// Address is host:port as net.Listen takes it; port 0 lets the system choose.
	Address string
	// TLS is nil for plain HTTP.
	TLS *KeyPair
	// ProxyProtocol: connections of Config.TrustedProxies must begin with a PROXY
	// header, those of others must not.
	ProxyProtocol bool
}

// KeyPair names the PEM files of a certificate chain and its key.
type KeyPair struct {
	Cert, Key string
}

// Admin is the plane for metrics, health and purges.
type Admin struct {
	Listen string
	// Tokens is only ever empty when Listen is a loopback address.
	Tokens []Token
}

// Token is a bearer token, known by its digest only.
type Token struct {
	Name   string
	SHA256 [32]byte
	Scopes []Scope
}

// Scope is a right that a Token carries.
type Scope string

// The scopes there are.
const (
	ScopeRead     Scope = "read"
	ScopePurge    Scope = "purge"
	ScopePurgeTag Scope = "purge:tag"
)

// Tiers sizes the cache.
type Tiers struct {
	RAM RAM
	// Disk is nil for a cache in RAM only.
	Disk *Disk
}

// RAM is the memory tier.
type RAM struct {
	// Size bounds bodies, headers, keys and overhead together, in bytes.
	Size int64
	// MaxObject is the largest body kept in RAM, in bytes; at most Size.
	MaxObject int64
}

// Disk is the disk tier.
type Disk struct {
	// Path is the tier's own directory.
	Path string
	// Size bounds segments and index together, in bytes.
	Size int64
	// MaxObject is the largest body kept on disk, in bytes; at most Size.
	MaxObject int64
	// ReadTimeout is how long a read waits for the device.
	ReadTimeout time.Duration
	// Required: the node is not ready while it cannot use its disk.
	Required bool
	// PurgeLog is the size in bytes at which the older half of the log of purges
	// goes.
	PurgeLog int64
}

// Origin is a pool of servers that answer for each other.
type Origin struct {
	Name string
	// Servers have distinct URLs; at least one is no backup.
	Servers []Server
	// Balance says by what a server is chosen.
	Balance Balance
	// Resolve is how often the servers' names are resolved; 0: for new connections
	// only.
	Resolve time.Duration
	// ConnectTimeout covers name lookup, TCP and TLS.
	ConnectTimeout time.Duration
	// FirstByteTimeout runs from the request sent to the response header read.
	FirstByteTimeout time.Duration
	// BetweenBytesTimeout runs from one read of the body to the next.
	BetweenBytesTimeout time.Duration
	// MaxConnections is for each server.
	MaxConnections int
	// MaxConnectionAge is how long a connection is used for.
	MaxConnectionAge time.Duration
	// KeepAlive: a connection may serve several requests, one after the other.
	KeepAlive bool
	// Queue holds those who wait when all MaxConnections are busy.
	Queue Queue
	// MaxHeaderSize bounds a response header, in bytes.
	MaxHeaderSize int64
	// Host replaces the Host header; empty passes on the client's.
	Host string
	TLS  OriginTLS
	// TrustClose takes the end of a connection for the end of a body that has
	// neither length nor chunks.
	TrustClose bool
	// HTTP2 offers HTTP/2 to https servers.
	HTTP2 bool
	// Retries is how many further servers or connections are tried for a
	// request that may be repeated.
	Retries int
	// RetryBudget bounds retries, as a share of the requests.
	RetryBudget float64
	// Hedge says when a second server is asked beside the first.
	Hedge Hedge
	// Eject says when a server that fails gets no requests for some time.
	Eject Eject
	// Health describes active checks; nil: there are none.
	Health *Health
	// Fallback is the name of another origin, or empty.
	Fallback string
}

// Server is one server of an origin.
type Server struct {
	// URL is scheme://host[:port], without a path.
	URL string
	// Weight is its share of the requests in relation to the others, at least 1.
	Weight int
	// Backup: it gets requests only while no other server is usable.
	Backup bool
}

// Balance is origins.*.balance.
type Balance uint8

const (
	// BalanceLeastRequests chooses the server that has the least to do.
	BalanceLeastRequests Balance = iota
	// BalanceRoundRobin lets the servers take turns.
	BalanceRoundRobin
)

// String is the configuration's word.
func (b Balance) String() string {
	if b == BalanceRoundRobin {
		return "round_robin"
	}
	return "least_requests"
}

// Queue is origins.*.queue.
type Queue struct {
	// Size is how many requests wait, Wait how long each does.
	Size int
	Wait time.Duration
}

// Hedge is origins.*.hedge. At most one of After and Quantile is not 0; with both 0
// there are no hedges.
type Hedge struct {
	// After is how long the first server is waited for.
	After time.Duration
	// Quantile, from 0 to 1, derives it from how long answers usually take.
	Quantile float64
	// AtMost bounds hedges, as a share of the requests.
	AtMost float64
}

// Eject is origins.*.eject.
type Eject struct {
	// Off: failures of requests take no server out.
	Off bool
	// Failures is how many in a row are too many.
	Failures int
	// Ratio, from 0 to 1, is how many of at least ten answers within Window are.
	Ratio  float64
	Window time.Duration
	// For is how long the server then gets no requests.
	For time.Duration
}

// Health is origins.*.health.
type Health struct {
	Path              string
	Interval, Timeout time.Duration
	// Rise good answers in a row bring a server back, Fall bad ones take it out.
	Rise, Fall int
	// Status holds the first and last code of each range that is good.
	Status [][2]int
}

// OriginTLS is how https servers of an origin are verified and shown who we are.
type OriginTLS struct {
	// CA is a PEM file of roots; empty: the system's.
	CA string
	// ServerName is what the certificate must be for; empty: the URL's host.
	ServerName string
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool
	// Client is our own certificate, or nil.
	Client *KeyPair
}

// Policy says what happens to the requests that it matches.
type Policy struct {
	// Name is unique among the policies.
	Name  string
	Match Match
	// Origin is the name of one of Config.Origins.
	Origin string
	// Pass sends every request to the origin and stores nothing.
	Pass bool
	TTL  TTL
	Key  Key
	// Request says what of a request reaches the origin.
	Request Request
	// ClientDirectives says whether clients may steer with Cache-Control.
	ClientDirectives ClientDirectives
	// Reserve is the policy's share of the disk tier, in bytes or in percent of
	// it; at most one of the two is not 0.
	Reserve Share
	// Pin keeps on disk what the policy stores until it is stale.
	Pin bool
	// Admit says what is let on disk.
	Admit Admit
	// Vary says how requests are told apart by what responses vary on.
	Vary Vary
	// Reuse are the kinds of reuse that can be switched off.
	Reuse Reuse
	// Cookies says what the cookies of a request mean that are not in the key.
	Cookies Cookies
	Tags    Tags
	// CacheStatusKey shows the key in Cache-Status.
	CacheStatusKey bool
	Purge          Purge
}

// Share is a part of the disk tier.
type Share struct {
	Bytes   int64
	Percent float64
}

// Of returns the share of a tier of that size, in bytes.
func (s Share) Of(size int64) int64 {
	if s.Percent > 0 {
		return int64(s.Percent / 100 * float64(size))
	}
	return s.Bytes
}

// MaxReserved is how much of the disk, in percent, all policies may reserve
// together: eviction needs the rest to work with.
const MaxReserved = 75

// Admit says which responses are let on disk.
type Admit uint8

const (
	// AdmitAlways lets every response on disk.
	AdmitAlways Admit = iota
	// AdmitSecondHit lets on disk what is fetched a second time.
	AdmitSecondHit
)

// String is the configuration's word.
func (a Admit) String() string {
	if a == AdmitSecondHit {
		return "second-hit"
	}
	return "always"
}

// Request is policies[].request.
type Request struct {
	// Underscores are fields whose names hold more than letters, digits and "-",
	// and that reach the origin; in canonical MIME form.
	Underscores []string
}

// Cookies is policies[].cookies.
type Cookies uint8

const (
	// CookiesAuto takes cookies that are not in the key for something that the
	// answer may depend on.
	CookiesAuto Cookies = iota
	// CookiesStrip keeps them from the origin.
	CookiesStrip
	// CookiesIgnore vouches that they change nothing.
	CookiesIgnore
)

// String is the configuration's word.
func (c Cookies) String() string {
	switch c {
	case CookiesAuto:
		return "auto"
	case CookiesStrip:
		return "strip"
	case CookiesIgnore:
		return "ignore"
	}
	return "unknown"
}

// Vary is policies[].vary.
type Vary struct {
	// Normalize compares Accept-Encoding and Accept-Language by their meaning.
	Normalize bool
	// Encodings and Languages are all that counts of them, in lower case; nil is
	// everything.
	Encodings, Languages []string
	// Ignore are fields that do not count, in canonical MIME form.
	Ignore []string
}

// Reuse is policies[].reuse: what RFC 9111 allows and not everybody wants. All
// but Cookies are true by default.
type Reuse struct {
	Authorization, Cookies, Date, Head, MustUnderstand, Parts, Post bool
}

// Match is what a request must be; each empty part matches everything.
type Match struct {
	// Hosts are lower-case ASCII names or IP literals; "*.example.com" is any
	// name below example.com, "*" is any host.
	Hosts []string
	// Paths are globs over the raw path.
	Paths []string
	// Methods are exact.
	Methods []string
	// Headers must all hold. Sorted by name.
	Headers []HeaderMatch
}

// HeaderMatch is a condition on one request header.
type HeaderMatch struct {
	// Name is in canonical MIME form.
	Name string
	Want HeaderWant
	// Glob is for HeaderGlob: "*" is any run of bytes.
	Glob string
}

// HeaderWant is the kind of a HeaderMatch.
type HeaderWant uint8

const (
	// HeaderGlob: one of the header's values fits the glob.
	HeaderGlob HeaderWant = iota
	// HeaderPresent: the header is there, whatever its value.
	HeaderPresent
	// HeaderAbsent: the header is not there.
	HeaderAbsent
)

// String names the condition as the documentation does.
func (w HeaderWant) String() string {
	switch w {
	case HeaderGlob:
		return "glob"
	case HeaderPresent:
		return "present"
	case HeaderAbsent:
		return "absent"
	}
	return "unknown"
}

// TTL says how long responses are kept. Zero leaves it to the response, except
// where noted.
type TTL struct {
	// Default is the lifetime of a response that states none.
	Default time.Duration
	// Override is the lifetime of every response that may be stored.
	Override time.Duration
	// Min and Max bound the lifetime a response states; Max 0 is no bound.
	Min, Max time.Duration
	// Negative is the lifetime of error responses (300 and above) that state
	// none, by status; nil: as the RFC says.
	Negative map[int]time.Duration
	// StaleWhileRevalidate and StaleIfError hold where the response does not
	// state its own.
	StaleWhileRevalidate, StaleIfError time.Duration
	// StaleIfUnreachable holds where neither states a stale-if-error, and only
	// while the origin cannot be reached at all; 0 is never.
	StaleIfUnreachable time.Duration
	// UnreachableStatus are pairs of the first and the last status that count as if
	// the origin could not be reached; empty: none.
	UnreachableStatus [][2]int
	// ErrorMax is the longest that an error is kept, stated or guessed; 0 keeps
	// none.
	ErrorMax time.Duration
	// StaleDespite are the directives, in lower case, that the stale times of
	// the policy override.
	StaleDespite []string
	// HitForMiss is how long an uncacheable answer is remembered; never zero.
	HitForMiss time.Duration
	// Targets are the targeted cache control fields that win over
	// Cache-Control, in order, in canonical MIME form; empty: none.
	Targets   []string
	Heuristic Heuristic
	// TrustDate: the age of a response is counted from its Date, as RFC 9111
	// section 4.2.3 has it; else from its receipt.
	TrustDate bool
}

// Heuristic is the lifetime guessed from Last-Modified (RFC 9111 section 4.2.2).
type Heuristic struct {
	Enabled bool
	// Fraction of the time since Last-Modified, above 0 and at most 1.
	Fraction float64
	// Max bounds the guess.
	Max time.Duration
}

// Key is what a policy adds to scheme, host and path in the cache key.
type Key struct {
	Query QueryKey
	// Headers (canonical MIME form) and Cookies are names, in file order.
	Headers, Cookies []string
}

// QueryKey says which parameters of the query count.
type QueryKey struct {
	Mode QueryMode
	// Names are globs over parameter names, for QueryIgnore and QueryOnly.
	Names []string
	// Sort: the order of parameters does not count.
	Sort bool
	// Forward: parameters that do not count reach the origin all the same.
	Forward bool
}

// QueryMode is how QueryKey.Names are read.
type QueryMode uint8

const (
	// QueryAll: every parameter counts.
	QueryAll QueryMode = iota
	// QueryIgnore: every parameter but those named.
	QueryIgnore
	// QueryOnly: none but those named; with no names, no query at all.
	QueryOnly
)

// String names the mode by its key in the file.
func (m QueryMode) String() string {
	switch m {
	case QueryAll:
		return "all"
	case QueryIgnore:
		return "ignore"
	case QueryOnly:
		return "only"
	}
	return "unknown"
}

// ClientDirectives says what Cache-Control and Pragma of requests do.
type ClientDirectives uint8

const (
	// ClientHonor obeys them, as RFC 9111 section 5.2.1 says.
	ClientHonor ClientDirectives = iota
	// ClientIgnore treats requests as if they carried none.
	ClientIgnore
)

// String names the value as the file does.
func (c ClientDirectives) String() string {
	if c == ClientIgnore {
		return "ignore"
	}
	return "honor"
}

// Tags says where surrogate keys come from.
type Tags struct {
	// Headers are response header names in canonical MIME form; empty: none.
	Headers []string
	// Strip removes those headers from what clients get.
	Strip bool
	// Max is how many keys a response may have, MaxBytes what they may take
	// together; a response with more is not stored.
	Max      int
	MaxBytes int64
}

// Purge says who may use the PURGE method on the data port. Both empty: none may.
type Purge struct {
	Networks []netip.Prefix
	// Tokens are names of Admin.Tokens.
	Tokens []string
	// Hosts are those that a purge without a token reaches; empty: the host of
	// the request.
	Hosts []string
}

// Limits bounds what clients can take.
type Limits struct {
	// Connections is how many client connections are open at once, over all
	// listeners.
	Connections int
	// ConnectionsPerIP is the same for one address; 0 is no limit.
	ConnectionsPerIP int
	// Waiters is how many requests wait for the same fetch.
	Waiters int
	// HeaderSize bounds the request line and header, in bytes.
	HeaderSize int64
	// BodySize bounds a request body, in bytes; 0 is no limit.
	BodySize int64
	// MemoryInFlight bounds the bytes of bodies in memory that are on their way.
	MemoryInFlight int64
	// Spool is where bodies go that MemoryInFlight has no room for.
	Spool Spool
}

// SpoolPath returns where the spool is: the configured directory, else that of the disk
// tier, else that for temporary files.
func (c *Config) SpoolPath() string {
	switch {
	case c.Limits.Spool.Path != "":
		return c.Limits.Spool.Path
	case c.Tiers.Disk != nil:
		return c.Tiers.Disk.Path
	}
	return os.TempDir()
}

// Spool is limits.spool.
type Spool struct {
	// Path is a directory, which is made when it is not there; empty: see SpoolPath.
	Path string
	// Size bounds it, in bytes; 0: there is none.
	Size int64
}

// Timeouts bounds how long clients can take.
type Timeouts struct {
	// Header is from the first byte of a request to the end of its header.
	Header time.Duration
	// Idle is from one request of a connection to the next.
	Idle time.Duration
	// Progress is how long a transfer may stand still.
	Progress time.Duration
	// StaleWait is how long a request waits for the origin while something stale may
	// stand in.
	StaleWait time.Duration
	// LameDuck is how long everything is served still after SIGTERM, while readiness
	// says that the process is about to leave.
	LameDuck time.Duration
	// Drain is how long requests in flight may take at shutdown.
	Drain time.Duration
}
