package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// Scope is what a token allows.
type Scope uint8

const (
	// ScopeRead: metrics, status and the log of purges.
	ScopeRead Scope = iota
	// ScopePurge: purges of any kind.
	ScopePurge
	// ScopePurgeTag: purges by tag only.
	ScopePurgeTag

	numScopes
)

var scopeNames = [numScopes]string{ScopeRead: "read", ScopePurge: "purge", ScopePurgeTag: "purge:tag"}

// String returns the scope as the configuration spells it.
func (s Scope) String() string {
	if s < numScopes {
		return scopeNames[s]
	}
	return fmt.Sprintf("Scope(%d)", uint8(s))
}

// ParseScope reads a scope as the configuration spells it.
func ParseScope(name string) (Scope, error) {
	for s, known := range scopeNames {
		if name == known {
			return Scope(s), nil
		}
	}
	return 0, fmt.Errorf("unknown scope %q (known: %s)", name, strings.Join(scopeNames[:], ", "))
}

// Token is one bearer token as the configuration gives it.
type Token struct {
	Name   string   // for messages; unique, never secret
	SHA256 string   // of the token, 64 hexadecimal digits
	Scopes []string // of read, purge, purge:tag; at least one
}

// credential is a Token that was checked.
type credential struct {
	name   string
	sum    [sha256.Size]byte
	scopes [numScopes]bool
}

// allows tells whether c covers s. purge covers purge:tag, nothing covers read.
func (c *credential) allows(s Scope) bool {
	return c.scopes[s] || s == ScopePurgeTag && c.scopes[ScopePurge]
}

// scopeList names what c allows, for messages.
func (c *credential) scopeList() []string {
	var out []string
	for s, ok := range c.scopes {
		if ok {
			out = append(out, Scope(s).String())
		}
	}
	return out
}

// gate decides who may do what. The zero value has no tokens.
type gate struct {
	credentials atomic.Pointer[[]credential]
}

// set replaces all tokens, or none when one of them has a fault; the error
// then names every fault.
func (g *gate) set(tokens []Token) error {
	list := make([]credential, 0, len(tokens))
	var faults []error
	names, sums := map[string]bool{}, map[[sha256.Size]byte]string{}
	for i, t := range tokens {
		c, err := t.check()
		if err != nil {
			faults = append(faults, fmt.Errorf("token %d (%q): %w", i+1, t.Name, err))
			continue
		}
		if names[c.name] {
			faults = append(faults, fmt.Errorf("token %d (%q): the name is taken (names are unique)", i+1, t.Name))
		}
		if first, taken := sums[c.sum]; taken {
			faults = append(faults, fmt.Errorf("token %d (%q): the same secret as %q (each token has its own)", i+1, t.Name, first))
		}
		names[c.name], sums[c.sum] = true, c.name
		list = append(list, c)
	}
	if len(faults) > 0 {
		return fmt.Errorf("cannot use admin tokens: %w", errors.Join(faults...))
	}
	g.credentials.Store(&list)
	return nil
}

// check reports every fault of t at once.
func (t Token) check() (credential, error) {
	c := credential{name: t.Name}
	var faults []error
	if t.Name == "" {
		faults = append(faults, errors.New("no name"))
	}
	sum, err := hex.DecodeString(t.SHA256)
	if err != nil || len(sum) != sha256.Size {
		faults = append(faults, fmt.Errorf("sha256 is not %d hexadecimal digits (printf %%s TOKEN | sha256sum)", 2*sha256.Size))
	}
	copy(c.sum[:], sum)
	if c.sum == sha256.Sum256(nil) {
		faults = append(faults, errors.New("sha256 is that of an empty token"))
	}
	if len(t.Scopes) == 0 {
		faults = append(faults, fmt.Errorf("no scopes (known: %s)", strings.Join(scopeNames[:], ", ")))
	}
	for _, name := range t.Scopes {
		s, err := ParseScope(name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		c.scopes[s] = true
	}
	return c, errors.Join(faults...)
}

// find returns the credential of a secret, or nil. It looks at all of them,
// each in constant time, so that the time tells nothing about a near miss.
func find(list []credential, secret string) *credential {
	sum := sha256.Sum256([]byte(secret))
	found := -1
	for i := range list {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], list[i].sum[:]), i, found)
	}
	if found < 0 {
		return nil
	}
	return &list[found]
}

// permit returns nil when req may use scope s, else the refusal to send; and the
// name of the token that was shown, where it is known.
func (g *gate) permit(req *http.Request, s Scope) (name string, no *refusal) {
	list := g.list()
	if len(list) == 0 {
		return "", g.permitLocal(req)
	}
	headers := req.Header.Values("Authorization")
	if len(headers) == 0 {
		return "", &refusal{status: http.StatusUnauthorized, Error: "no token", Want: "Authorization: Bearer <token> with scope " + s.String()}
	}
	scheme, secret, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", &refusal{status: http.StatusUnauthorized, Error: "not one bearer token", Want: "one header Authorization: Bearer <token>"}
	}
	c := find(list, strings.Trim(secret, " "))
	if c == nil {
		return "", &refusal{status: http.StatusUnauthorized, Error: "unknown token", Want: "a token whose sha256 is in admin.tokens"}
	}
	if !c.allows(s) {
		return c.name, &refusal{
			status: http.StatusForbidden,
			Error:  fmt.Sprintf("token %q has no scope %s (it has: %s)", c.name, s, strings.Join(c.scopeList(), ", ")),
			Want:   "a token with scope " + s.String(),
		}
	}
	return c.name, nil
}

func (g *gate) list() []credential {
	if p := g.credentials.Load(); p != nil {
		return *p
	}
	return nil
}

// forwardedHeaders are set by proxies, never by a client on this machine.
var forwardedHeaders = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}

// permitLocal is the rule while there are no tokens: only this machine, and not
// through a name that a web page may have pointed at it.
func (g *gate) permitLocal(req *http.Request) *refusal {
	const want = "a request from this machine to a loopback address, or tokens under admin.tokens"
	peer, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil || !peer.Addr().IsLoopback() {
		return &refusal{status: http.StatusForbidden, Error: "no tokens are configured, and the client is not on this machine", Want: want}
	}
	if !loopbackHost(req.Host) {
		return &refusal{status: http.StatusForbidden, Error: "no tokens are configured, and the Host header is not localhost or a loopback address", Want: want}
	}
	for _, name := range forwardedHeaders {
		if len(req.Header.Values(name)) > 0 {
			return &refusal{status: http.StatusForbidden, Error: "no tokens are configured, and " + name + " says that a proxy forwarded the request", Want: want}
		}
	}
	return nil
}

// loopbackHost tells whether a Host header names this machine and nothing else.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
