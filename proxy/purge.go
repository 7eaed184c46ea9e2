package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"weir/invalidation"
	"weir/invalidation/dialect"
	"weir/policy"
)

// purge answers PURGE, and the methods that plugins use beside it: what the
// request means (package dialect), as far as whoever sent it reaches. None of them
// goes to the origin.
func (x *exchange) purge() state {
	get := x.req
	get.Method = "GET"
	rule := x.cfg.Rules.Match(&get)
	if rule == nil || !rule.Purge.Any() || x.core.store.Facts() == nil {
		return x.notAllowed(x.req.Method + " is not allowed here: no policy permits it (policies[].purge)")
	}
	x.rule = rule
	fields := arrived(x.head.Section)
	who := x.sender(fields)
	scope, ok := x.mayPurge(&rule.Purge, fields, &who)
	if !ok {
		const why = "it is not allowed from this address, or with this token"
		x.core.purges.Audit.Refused(who, x.req.Method+" "+string(x.req.Host)+string(x.req.Path), why)
		return x.refusal(http.StatusForbidden, policy.ReasonMethod, x.req.Method+": "+why)
	}
	meaning, err := dialect.Read(&dialect.Request{
		Method: x.req.Method, Target: x.purgeTarget(), Fields: fields, Body: x.head.HasBody(), TagFields: rule.TagNames(),
	})
	if err != nil {
		return x.purgeFault(who, err)
	}
	requests, err := meaning.Requests(scope)
	if err != nil {
		return x.purgeFault(who, err)
	}
	result, err := x.core.purges.Purge(context.Background(), who, x.cfg.Rules, 0, requests...)
	var faults invalidation.Faults
	switch {
	case errors.As(err, &faults):
		return x.refusal(http.StatusBadRequest, policy.ReasonBadRequest, "nothing was purged: "+faults.Error())
	case errors.As(err, new(*invalidation.Exhausted)):
		return x.refusal(http.StatusTooManyRequests, policy.ReasonMethod, "nothing was purged: "+err.Error())
	case err != nil:
		return x.refusal(http.StatusInternalServerError, policy.ReasonInternal, "nothing was purged: "+err.Error())
	}
	s := x.refusal(http.StatusOK, policy.ReasonPurged, "purged, id "+result.Purge.ID.String()+"\n"+purgedText(result.Purge.Facts))
	x.outcome = outcomePurged
	return s
}

// purgeFault answers a purge that was allowed and is not carried out.
func (x *exchange) purgeFault(who invalidation.Who, err error) state {
	x.core.purges.Audit.Rejected(who, err)
	code, reason := http.StatusBadRequest, policy.ReasonBadRequest
	var no *dialect.Refusal
	if errors.As(err, &no) {
		code = no.Status
	}
	if code != http.StatusBadRequest {
		reason = policy.ReasonMethod
	}
	return x.refusal(code, reason, err.Error())
}

// purgedText says what was purged, so that a plugin's log shows a host or a tag
// that was not meant.
func purgedText(facts []invalidation.Fact) string {
	const most = 20
	var b strings.Builder
	for i, f := range facts {
		if i == most {
			fmt.Fprintf(&b, "and %d more\n", len(facts)-most)
			break
		}
		line := strings.TrimSpace(f.Kind.String() + " " + f.Scope)
		if f.Soft {
			line += " (soft)"
		}
		fmt.Fprintf(&b, "%.300s\n", line)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// purgeTarget is the URL that the purge is sent to, from its path on.
func (x *exchange) purgeTarget() string {
	if x.req.Query == nil {
		return string(x.req.Path)
	}
	return string(x.req.Path) + "?" + string(x.req.Query)
}

// arrived are the fields of a header section as they came, before Connection has
// taken any away. The section has been scanned and found well formed.
func arrived(raw []byte) policy.Fields {
	var out policy.Fields
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok {
			out = append(out, policy.Field{Name: string(name), Value: string(bytes.Trim(value, " \t"))})
		}
	}
	return out
}

// sender names who asks, for the audit lines.
func (x *exchange) sender(fields policy.Fields) invalidation.Who {
	who := invalidation.Who{Via: x.req.Method}
	if a := x.from.Addr; a.IsValid() {
		who.Address = a.String()
	}
	for i := range fields {
		if strings.EqualFold(fields[i].Name, "User-Agent") {
			who.Agent = fields[i].Value
		}
	}
	return who
}

// mayPurge reports whether the sender is in one of the networks, or has one of
// the tokens, and how far that reaches. Tokens are compared in constant time, each
// of them.
func (x *exchange) mayPurge(r *policy.PurgeRule, fields policy.Fields, who *invalidation.Who) (dialect.Scope, bool) {
	scope := dialect.Scope{Host: string(x.req.Host), Hosts: r.Hosts}
	if secret, ok := bearer(fields); ok {
		sum := sha256.Sum256([]byte(secret))
		for _, name := range r.Tokens {
			want, known := x.cfg.PurgeTokens[name]
			if known && subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
				who.Token, scope.Anywhere = name, true
			}
		}
		if scope.Anywhere {
			return scope, true
		}
	}
	// Behind a proxy the address is the proxy's, and anybody may be behind that.
	if a := x.from.Addr; a.IsValid() && !x.view.Proxied {
		for _, n := range r.Networks {
			if n.Contains(a) {
				return scope, true
			}
		}
	}
	return scope, false
}

// bearer returns the token that the request carries: in one Authorization field,
// or in one of the fields that other caches know.
func bearer(fields policy.Fields) (secret string, ok bool) {
	authorizations := 0
	for i := range fields {
		f := &fields[i]
		if strings.EqualFold(f.Name, "Authorization") {
			authorizations++
			scheme, value, _ := strings.Cut(f.Value, " ")
			if strings.EqualFold(scheme, "Bearer") {
				secret, ok = strings.TrimSpace(value), true
			}
		} else if s := dialect.Secret(f.Name, f.Value); s != "" && !ok {
			secret, ok = s, true
		}
	}
	return secret, ok && authorizations <= 1
}
