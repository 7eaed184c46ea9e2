package front

import (
	"log/slog"
	"time"
)

// Options are fixed for the life of a Server.
type Options struct {
	// Handle answers a request. It calls Send of the session before it returns.
	Handle func(Session)
	// Expects reports whether the client may send the body that it asks about
	// ("Expect: 100-continue"). Where not, it has answered; the connection ends.
	Expects func(Session) bool
	// Name is weir's name in the Cache-Status of connections that are refused.
	Name func() string
	// Stepped is called now and then with the times of the wall clock between which
	// the clock may have been set.
	Stepped func(before, now time.Time)
	Log     *slog.Logger
	Now     func() time.Time
	Limits
}

// Limits bound what clients may take of connections, memory and time.
type Limits struct {
	// MaxConnections bounds client connections over all listeners; 0 means
	// fasthttp's default of 256 Ki for each.
	MaxConnections int
	// MaxConnectionsPerIP bounds them for one address; 0 is no bound. Listeners
	// with PROXY headers have no such bound.
	MaxConnectionsPerIP int
	// MaxHeader bounds a request's header section in bytes; beyond it 431.
	MaxHeader int
	// HeaderTimeout bounds the arrival of one header section, IdleTimeout the
	// wait for the next request, ProgressTimeout the time an upload may move
	// no byte. (What stops a download that moves no byte is the listener's.)
	HeaderTimeout, IdleTimeout, ProgressTimeout time.Duration
}
