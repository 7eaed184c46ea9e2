package invalidation

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Who is who asked for something, as the audit lines name them. It never holds a
// secret.
type Who struct {
	// Via is the way it came: "api", or the method on the data port.
	Via string
	// Token is the name of the token that was shown and let them in; "" when the
	// address did.
	Token   string
	Address string
	// Agent is what the client calls itself.
	Agent string
}

func (w Who) attrs() []any {
	by := w.Token
	if by == "" {
		by = "address"
	}
	out := []any{"via", w.Via, "by", by, "address", w.Address}
	if w.Agent != "" {
		out = append(out, "agent", shortened(w.Agent))
	}
	return out
}

// Audit writes one line for each purge and for each refusal. Lines that somebody
// without rights can cause are bounded; how many were left out is said. All
// methods do nothing on nil.
type Audit struct {
	log      *slog.Logger
	refusals limiter
	received limiter
}

const (
	// auditWindow and the bounds for each window: enough to see who tries, too
	// few to fill a disk.
	auditWindow     = 10 * time.Second
	maxRefusals     = 20
	maxReceived     = 100
	auditScopes     = 10
	auditScopeBytes = 200
)

// NewAudit writes to log.
func NewAudit(log *slog.Logger) *Audit {
	a := &Audit{log: log}
	a.refusals = limiter{most: maxRefusals, every: auditWindow, dropped: a.left("refusals")}
	a.received = limiter{most: maxReceived, every: auditWindow, dropped: a.left("purges of peers")}
	return a
}

// left returns what says that lines were left out.
func (a *Audit) left(what string) func(int) {
	return func(n int) {
		a.log.Warn("audit: lines left out", "of", what, "lines", n, "within", auditWindow)
	}
}

// Purged is told of a purge that was asked for here, and of the error with which
// it failed.
func (a *Audit) Purged(who Who, facts []Fact, id ID, took time.Duration, err error) {
	if a == nil {
		return
	}
	attrs := append(who.attrs(), describe(facts)...)
	if err != nil {
		a.log.Error("audit: purge failed", append(attrs, "result", "failed", "error", err)...)
		return
	}
	a.log.Info("audit: purge", append(attrs, "id", id.String(), "result", "done", "took", took)...)
}

// Rejected is told of a purge that somebody was allowed to ask for and that had
// faults.
func (a *Audit) Rejected(who Who, err error) {
	if a != nil && a.refusals.allow() {
		a.log.Warn("audit: purge refused", append(who.attrs(), "result", "faults", "error", shortened(err.Error()))...)
	}
}

// Refused is told of somebody who was not let in: without a right, or with a
// token that is unknown or not enough.
func (a *Audit) Refused(who Who, what, why string) {
	if a != nil && a.refusals.allow() {
		a.log.Warn("audit: refused", append(who.attrs(), "what", shortened(what), "result", "refused", "why", shortened(why))...)
	}
}

// Received is told of a purge that another node took and that is in effect here
// now.
func (a *Audit) Received(p *Purge) {
	if a != nil && a.log.Enabled(context.Background(), slog.LevelInfo) && a.received.allow() {
		a.log.Info("audit: purge", append([]any{"via", "peer", "by", p.ID.Node}, append(describe(p.Facts), "id", p.ID.String(), "result", "done")...)...)
	}
}

// describe names the first scopes of a purge, and counts all.
func describe(facts []Fact) []any {
	var b strings.Builder
	soft := false
	for i, f := range facts {
		soft = soft || f.Soft
		if i >= auditScopes {
			continue
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.Kind.String())
		if f.Scope != "" {
			b.WriteString(" " + shortened(f.Scope))
		}
	}
	if more := len(facts) - auditScopes; more > 0 {
		fmt.Fprintf(&b, ", and %d more", more)
	}
	return []any{"scopes", b.String(), "count", len(facts), "soft", soft}
}

func shortened(s string) string {
	if len(s) > auditScopeBytes {
		return strings.ToValidUTF8(s[:auditScopeBytes], "") + "..."
	}
	return s
}

// limiter lets so many through in a window, and says at its end how many it did
// not.
type limiter struct {
	most    int
	every   time.Duration
	dropped func(int)

	mu     sync.Mutex // protects what follows
	opened time.Time
	passed int
	left   int
}

func (l *limiter) allow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.opened) >= l.every {
		l.opened, l.passed = now, 0
	}
	if l.passed < l.most {
		l.passed++
		return true
	}
	if l.left++; l.left == 1 {
		time.AfterFunc(time.Until(l.opened.Add(l.every)), l.report)
	}
	return false
}

// report says how many were left out. It runs once for each window in which some
// were.
func (l *limiter) report() {
	l.mu.Lock()
	n := l.left
	l.left = 0
	l.mu.Unlock()
	l.dropped(n)
}
