package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/invalidation"
	"weir/policy"
)

// Purge is what somebody wants purged, as it was written.
type Purge struct {
	URLs, Tags, Prefixes, Hosts []string
	All, Soft                   bool
}

// Facts turns a purge into facts, in the form that keys have under this
// configuration. It returns every fault, each with its place.
func (c *Config) Facts(p *Purge) (facts []invalidation.Fact, faults []string) {
	seen := make(map[invalidation.Fact]bool)
	add := func(kind invalidation.Kind, scopes ...string) {
		for _, s := range scopes {
			if f := (invalidation.Fact{Kind: kind, Scope: s, Soft: p.Soft}); !seen[f] {
				seen[f] = true
				facts = append(facts, f)
			}
		}
	}
	each := func(list string, entries []string, kind invalidation.Kind, scopes func(string) ([]string, error)) {
		for i, e := range entries {
			s, err := scopes(e)
			if err != nil {
				faults = append(faults, fmt.Sprintf("%s[%d]: %.200q: %v", list, i, e, err))
				continue
			}
			add(kind, s...)
		}
	}
	each("urls", p.URLs, invalidation.URL, c.Rules.URLScopes)
	each("tags", p.Tags, invalidation.Tag, func(tag string) ([]string, error) { return []string{tag}, policy.TagScope(tag) })
	each("prefixes", p.Prefixes, invalidation.Prefix, policy.PrefixScopes)
	each("hosts", p.Hosts, invalidation.Host, policy.HostScopes)
	if p.All {
		add(invalidation.All, "")
	}
	for _, f := range facts {
		if err := f.Validate(); err != nil {
			faults = append(faults, fmt.Sprintf("%.200q: %v", f.Scope, err))
		}
	}
	if len(faults) == 0 && len(facts) > 0 {
		if err := invalidation.ValidatePurge(facts); err != nil {
			faults = append(faults, err.Error())
		}
	}
	return facts, faults
}

// purge answers the PURGE method: the URL asked for, under both schemes, with
// all its variants. "Soft-Purge: 1" makes it stale instead.
func (x *exchange) purge() state {
	get := x.req
	get.Method = "GET"
	rule := x.cfg.Rules.Match(&get)
	if rule == nil || !rule.Purge.Any() || x.p.facts() == nil {
		return x.notAllowed("PURGE is not allowed here: no policy permits it")
	}
	if !x.mayPurge(&rule.Purge) {
		return x.refusal(fasthttp.StatusForbidden, policy.ReasonMethod, "PURGE is not allowed from this address, or with this token")
	}
	url := "//" + string(x.req.Host) + string(x.req.Path)
	if x.req.Query != nil {
		url += "?" + string(x.req.Query)
	}
	soft := strings.TrimSpace(string(x.ctx.Request.Header.Peek("Soft-Purge")))
	facts, faults := x.cfg.Facts(&Purge{URLs: []string{url}, Soft: soft != "" && soft != "0"})
	if len(faults) > 0 {
		return x.refusal(fasthttp.StatusBadRequest, policy.ReasonBadRequest, strings.Join(faults, "; "))
	}
	p, err := x.p.facts().Purge(facts)
	if err != nil {
		return x.refusal(fasthttp.StatusInternalServerError, policy.ReasonInternal, "nothing was purged: "+err.Error())
	}
	return x.refusal(fasthttp.StatusOK, policy.ReasonPurged, "purged, id "+p.ID.String())
}

// wasForwarded tells whether a proxy stands between the client and here.
func (x *exchange) wasForwarded() bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if x.ctx.Request.Header.Peek(name) != nil {
			return true
		}
	}
	return false
}

// mayPurge tells whether the client is in one of the networks, or has one of the
// tokens. Tokens are compared in constant time, every one of them.
func (x *exchange) mayPurge(r *policy.PurgeRule) bool {
	// Behind a proxy the address is the proxy's, and anybody may be behind that.
	if a, ok := x.client(); ok && !x.wasForwarded() {
		for _, n := range r.Networks {
			if n.Contains(a.Unmap()) {
				return true
			}
		}
	}
	scheme, secret, ok := strings.Cut(string(x.ctx.Request.Header.Peek("Authorization")), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	found := 0
	for _, name := range r.Tokens {
		want, known := x.cfg.PurgeTokens[name]
		if known {
			found |= subtle.ConstantTimeCompare(sum[:], want[:])
		}
	}
	return found == 1
}
