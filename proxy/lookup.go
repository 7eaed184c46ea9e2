package proxy

import (
	"slices"

	"weir/policy"
	"weir/tiers"
)

// lookup asks the tiers and decides what may be done with what they hold.
func (x *exchange) lookup() state {
	x.setKey()
	x.verdict, x.unconfirmed = policy.Miss, false
	o := x.find()
	if o != nil && o.Kind == tiers.KindVary {
		o = x.findVariant(o)
	}
	if o == nil {
		if x.partAnswers() {
			return stateDeliver
		}
		return x.missed()
	}
	if o.Kind == tiers.KindPass {
		if o.Freshness.TTL(x.now) <= 0 {
			return x.missed()
		}
		x.verdict, x.reason = policy.HitForMiss, o.Reason
		return x.missed()
	}
	fresh := x.freshness(o)
	if !x.p.confirmed(o, x.start) {
		return x.confirm(o)
	}
	switch fresh.Use(&x.directive, x.now) {
	case policy.UseFresh:
		return x.hit(o, policy.Hit)
	case policy.UseStaleRevalidating:
		x.p.refresh(x, o)
		return x.hit(o, policy.HitStale)
	case policy.UseStale:
		return x.hit(o, policy.HitStale)
	case policy.UseNot:
		o.Close()
		x.verdict = policy.RequestMiss
	default:
		x.stale = o
		x.verdict = policy.Refetched
		if fresh.TTL(x.now) > 0 && !fresh.NoCache {
			// Fresh, and still to be validated: the client asked for it.
			x.verdict = policy.RequestMiss
		}
	}
	if x.directive.OnlyIfCached {
		return x.onlyIfCached()
	}
	return x.toOrigin()
}

// confirm asks the origin about what is stored, whatever its freshness.
func (x *exchange) confirm(o *tiers.Object) state {
	x.stale, x.verdict, x.unconfirmed = o, policy.Refetched, true
	if x.directive.OnlyIfCached {
		return x.onlyIfCached()
	}
	return x.toOrigin()
}

// find looks up hash and text, RAM before disk.
func (x *exchange) find() *tiers.Object {
	// What is on disk is no younger than what is in RAM, and is not asked where
	// that was purged.
	return x.p.usable(x.p.tiers.Lookup(&x.hash, x.text))
}

// findVariant follows a vary record. Of several variants that match, the one
// from the newest Vary list is taken: RFC 9111 section 4.1 prefers the most
// recent response.
func (x *exchange) findVariant(rec *tiers.Object) *tiers.Object {
	specs := rec.Vary.Specs
	for i := range specs {
		x.setVariant(&specs[i])
		if !slices.Contains(rec.Vary.Variants, x.hash) {
			// Not listed: never stored, or stored before the record was made
			// anew, by an invalidation for instance, and not to be revived.
			continue
		}
		if o := x.find(); o != nil {
			if o.Kind == tiers.KindResponse {
				return o
			}
			o.Close()
		}
	}
	if o := x.findLanguage(rec); o != nil {
		return o
	}
	x.verdict = policy.VaryMiss
	if len(specs) > 0 {
		// The flight of this variant is found under the newest list.
		x.setVariant(&specs[0])
	}
	x.listed = slices.Contains(rec.Vary.Variants, x.partHash())
	return nil
}

const acceptLanguage = "Accept-Language"

// findLanguage returns a stored variant that is in the language the request
// likes best, although it was stored for a request that put it differently
// (RFC 9111 section 4.1 allows a cache to normalise so).
func (x *exchange) findLanguage(rec *tiers.Object) *tiers.Object {
	languages := rec.Vary.Languages
	if len(languages) == 0 || x.rule.Vary.Raw || slices.Contains(x.rule.Vary.Ignore, acceptLanguage) || x.req.Header.Peek(acceptLanguage) == nil {
		return nil
	}
	var room [tiers.MaxLanguages]string
	available := room[:0]
	for i := range languages {
		available = append(available, languages[i].Content)
	}
	i := policy.ChooseLanguage(&x.req, available)
	if i < 0 {
		return nil
	}
	specs := rec.Vary.Specs
	for j := range specs {
		if !slices.Contains(specs[j].Names, acceptLanguage) {
			continue
		}
		x.text = specs[j].AppendVariantIn(x.text[:x.primary], x.rule, &x.req, []byte(languages[i].Accept))
		x.hash = policy.HashKey(x.text)
		if !slices.Contains(rec.Vary.Variants, x.hash) {
			continue
		}
		if o := x.find(); o != nil {
			if o.Fields.Get("Content-Language") == languages[i].Content {
				return o
			}
			// It was in that language once, and is no longer.
			o.Close()
		}
	}
	return nil
}

func (x *exchange) hit(o *tiers.Object, v policy.Verdict) state {
	x.obj, x.verdict, x.tier, x.code = o, v, o.Tier, o.Status
	x.hasTTL, x.ttl = true, x.freshness(o).TTL(x.now)
	return stateDeliver
}

func (x *exchange) missed() state {
	if x.directive.OnlyIfCached {
		return x.onlyIfCached()
	}
	return x.toOrigin()
}

// toOrigin decides between a shared fetch and one of the request's own.
func (x *exchange) toOrigin() state {
	switch {
	case x.directive.NoStore && x.stale == nil:
		x.reason = policy.ReasonRequestNoStore
		return statePass
	case x.req.Method == "HEAD":
		// Nothing a HEAD brings can answer a GET; fetching a body that nobody
		// asked for could be dear. What is stored learns from the answer.
		x.reason = policy.ReasonMethod
		return statePass
	}
	return stateJoin
}
