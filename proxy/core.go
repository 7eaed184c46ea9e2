package proxy

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"weir/invalidation"
	"weir/policy"
	"weir/proxy/accesslog"
	"weir/proxy/fetch"
	"weir/proxy/metrics"
	"weir/proxy/shed"
	"weir/proxy/stored"
)

// Config is what may change while the proxy runs. It is immutable; SetConfig
// replaces it as a whole, and every request keeps the one it began with.
type Config struct {
	Rules *policy.Set
	// Origins by name; every rule's Origin must be among them.
	Origins map[string]fetch.Upstream
	// TrustedProxies are the senders whose X-Forwarded-* and Forwarded fields
	// are believed and extended; those of others are replaced.
	TrustedProxies []netip.Prefix
	// CacheName is weir's name in Cache-Status and Via; "" means "weir".
	CacheName string
	// MaxRequestBody bounds uploads in bytes; 0 is no bound.
	MaxRequestBody int64
	// StaleWait bounds how long a request waits for an origin while something stale
	// may stand in, by the word of the response or the rule; 0 means a second.
	StaleWait time.Duration
	// PurgeTokens are the SHA-256 of the tokens, by name, that rules may let use
	// the PURGE method.
	PurgeTokens map[string][32]byte

	// policies count the requests of each rule, by its Index; SetConfig fills
	// them in.
	policies []*metrics.Policy
}

// core is what all exchanges work with. It is made once, with the Proxy.
type core struct {
	store     *stored.Store
	fetch     *fetch.Machine
	purges    *invalidation.Service
	metrics   *metrics.Registry
	accessLog *accesslog.Logger // nil: off
	log       *slog.Logger
	now       func() time.Time
	realTime  bool // now is time.Now
	clock     *stored.Clock
	// began is when the proxy was made, unix nanoseconds.
	began int64
	// followerTimeout bounds how long a request waits for the header of another's
	// fetch before it goes alone.
	followerTimeout time.Duration

	// room bounds who waits for origins, overload what goes to them.
	room     *shed.Room
	overload *shed.Overload

	cfg  atomic.Pointer[Config]
	pool sync.Pool // of *exchange
	// withheld are the fields that the log has told of.
	withheld withheldNames
}
