package chaos

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// What weir is configured with. Timeouts are short, so that a round that waits for them is short; the bounds that follow
// from them are below.
const (
	ramSize        = 32 << 20
	maxConnections = 128 // to each server of the shop
	originTimeout  = 2 * time.Second
	queueWait      = time.Second
	connections    = 2000 // limits.connections
	spoolSize      = 32 << 20
)

// inFlight is the default of limits.memory_in_flight.
const inFlight = 64 << 20

// sizing is what docs/operations.md, Sizing, says to plan with, for a RAM tier of this size and so many transfers at a
// time. A test holds it to the text.
func sizing(ram, transfers int64) int64 {
	return ram*135/100 + inFlight*125/100 + 150<<20 + transfers*(1<<20)/10
}

// Bounds that hold whatever happens.
const (
	// hitWithin bounds the answer to a request that no origin is asked for.
	hitWithin = 2 * time.Second
	// answerWithin bounds the first byte of any answer: to connect, to wait for a permit, for the answer, and once again
	// where it is tried again.
	answerWithin = 12 * time.Second
	// quietWithin bounds how long weir needs, when the faults are over and nobody asks any more, to be where it was.
	quietWithin = 15 * time.Second
	// purgeWithin bounds the answer to a purge.
	purgeWithin = 10 * time.Second
	// startWithin bounds the time from the start of the process to its first answer.
	startWithin = 5 * time.Second
	// stopWithin bounds the time from SIGTERM to the end of the process: the drain, and what a sick disk costs.
	stopWithin = 35 * time.Second
)

// token is one of those that purge.
type token struct{ name, secret, scope string }

var tokens = []token{
	{"cms", "chaos-token-of-the-cms", "purge"},
	{"deploy", "chaos-token-of-the-deploy", "purge"},
	{"tags", "chaos-token-of-the-tags", "purge:tag"},
}

// readToken is that of the watcher.
var readToken = token{"watch", "chaos-token-of-the-watch", "read"}

// settings are what reloads change.
type settings struct {
	swapped  bool // the servers stand in another order
	dead     bool // a third server that refuses
	balance  string
	conns    int
	maxAge   string
	override bool // a policy more
}

func firstSettings() settings {
	return settings{balance: "least_requests", conns: maxConnections, maxAge: "10m"}
}

// text is the configuration file.
func (s settings) text(p *place, o *origin) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: %s\nadmin:\n  listen: %s\n  tokens:\n", p.data, p.admin)
	for _, t := range append([]token{readToken}, tokens...) {
		fmt.Fprintf(&b, "    - {name: %s, sha256: %x, scopes: [%s]}\n", t.name, sha256.Sum256([]byte(t.secret)), t.scope)
	}
	fmt.Fprintf(&b, "tiers: {ram: {size: %dMiB}, disk: {path: %q, size: %dMiB, purge_log: 4MiB, read_timeout: 500ms}}\n", ramSize>>20, p.cache(), p.diskSize>>20)
	b.WriteString("log: {level: warn}\n")
	fmt.Fprintf(&b, "limits: {connections: %d, spool: {size: %dMiB}}\n", connections, spoolSize>>20)
	b.WriteString("timeouts: {header: 3s, idle: 20s, progress: 6s, drain: 2s, lame_duck: 200ms}\n")
	servers := []string{"http://" + o.gates[0].addr, "http://" + o.gates[1].addr}
	if s.swapped {
		servers[0], servers[1] = servers[1], servers[0]
	}
	if s.dead {
		servers = append(servers, "http://127.0.0.1:1")
	}
	common := fmt.Sprintf("timeout: %v, queue: {wait: %v}, eject: {for: 1s}, balance: %s, max_connection_age: %s, max_connections: %d",
		originTimeout, queueWait, s.balance, s.maxAge, s.conns)
	fmt.Fprintf(&b, "origins:\n  shop: {servers: [\"%s\"], %s}\n", strings.Join(servers, `", "`), common)
	fmt.Fprintf(&b, "  people: {servers: [%q], %s}\n", "http://"+o.people.addr, common)
	b.WriteString("policies:\n")
	if s.override {
		b.WriteString("  - {name: never, match: {host: nowhere.test}, origin: shop}\n")
	}
	b.WriteString("  - {name: people, match: {host: people.test}, origin: people}\n")
	b.WriteString("  - {name: pass, match: {path: '/pass/*'}, origin: shop, pass: true}\n")
	b.WriteString("  - {name: shop, match: {host: '*.shop.test'}, origin: shop, purge: {tokens: [cms, deploy]}}\n")
	return b.String()
}
