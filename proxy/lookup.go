package proxy

import (
	"slices"

	"weir/policy"
	"weir/tiers"
)

// lookup asks the tiers and decides what may be done with what they hold.
func (x *exchange) lookup() state {
	x.keys.Reset()
	x.key = x.keys.Of(x.rule, &x.req)
	x.found, x.unconfirmed, x.alone, x.partListed = foundNothing, false, false, false
	o := x.find()
	if o != nil && o.Kind == tiers.KindVary {
		o = x.findVariant(o)
	}
	if o == nil {
		if x.partAnswers() {
			return stateDeliver
		}
		return x.toOrigin()
	}
	if !x.core.store.Confirmed(o, x.start) {
		x.stale, x.found, x.unconfirmed = o, foundStale, true
		return x.toOrigin()
	}
	fresh := x.freshness(o)
	switch fresh.Reusable(&x.asker, policy.OnRequest, x.now) {
	case policy.UseFresh:
		return x.hit(o, outcomeHit)
	case policy.UseStaleRevalidating:
		x.refresh(o)
		return x.hit(o, outcomeStale)
	case policy.UseStale:
		return x.hit(o, outcomeStale)
	}
	x.stale, x.found = o, foundStale
	if fresh.TTL(x.now) > 0 && !fresh.NoCache {
		// Fresh, and still not for this request as it is.
		x.found = foundUnwanted
		if x.asker.Personal() {
			x.reason = policy.ReasonCookie
		}
	}
	return x.toOrigin()
}

// findVariant follows a vary record; the key becomes that of the variant. Of
// several variants that match, the one from the newest Vary list is taken: RFC
// 9111 section 4.1 prefers the most recent response.
func (x *exchange) findVariant(rec *tiers.Object) *tiers.Object {
	primary, specs := x.key, rec.Vary.Specs
	for i := range specs {
		x.key = x.keys.Variant(&primary, &specs[i], x.rule, &x.req)
		at := rec.Vary.Index(x.key.Hash)
		if at < 0 {
			// Not listed: never stored, or stored before the record was made
			// anew, by an invalidation for instance, and not to be revived.
			continue
		}
		if o := x.find(); o != nil {
			if o.Kind == tiers.KindResponse {
				rec.UseVariant(at, x.now)
				return o
			}
			o.Close()
		}
	}
	if o := x.findLanguage(rec, &primary); o != nil {
		return o
	}
	x.key = primary
	if !x.purged {
		// With a purge it is not Vary that kept the request from its variant.
		x.found = foundVariants
	}
	if len(specs) > 0 {
		// The flight of this variant is found under the newest list.
		x.key = x.keys.Variant(&primary, &specs[0], x.rule, &x.req)
	}
	if x.core.store.MayHavePart(&x.key.Hash) {
		part := x.keys.Part(&x.key)
		at := rec.Vary.Index(part.Hash)
		rec.UseVariant(at, x.now)
		x.partListed = at >= 0
	}
	return nil
}

const acceptLanguage = "Accept-Language"

// findLanguage returns a stored variant that is in the language the request
// likes best, although it was stored for a request that put it differently
// (RFC 9111 section 4.1 allows a cache to normalise so).
func (x *exchange) findLanguage(rec *tiers.Object, primary *policy.Key) *tiers.Object {
	languages := rec.Vary.Languages
	if len(languages) == 0 || x.rule.Vary.Raw || slices.Contains(x.rule.Vary.Ignore, acceptLanguage) || !x.req.Fields.Has(acceptLanguage) {
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
		x.key = x.keys.Language(primary, &specs[j], x.rule, &x.req, languages[i].Accept)
		at := rec.Vary.Index(x.key.Hash)
		if at < 0 {
			continue
		}
		if o := x.find(); o != nil {
			if o.Fields.Get("Content-Language") == languages[i].Content {
				rec.UseVariant(at, x.now)
				return o
			}
			// It was in that language once, and is no longer.
			o.Close()
		}
	}
	return nil
}

// toOrigin decides how the origin is asked: with others, alone, or not at all.
func (x *exchange) toOrigin() state {
	if x.asker.OnlyIfCached {
		return x.onlyIfCached()
	}
	if x.stale != nil && x.mayStandIn(x.stale, policy.OnOutage) {
		if up := x.cfg.Origins[x.rule.Origin]; up.Failing() {
			x.refresh(x.stale)
			return x.standIn(policy.ReasonOriginFailing)
		}
	}
	if x.avoids() {
		x.outcome = outcomeFetched
		return statePass
	}
	if x.req.Method == "HEAD" {
		// Nothing a HEAD brings can answer a GET; fetching a body that nobody
		// asked for could be dear. What is stored learns from the answer.
		x.outcome, x.reason = outcomeFetched, policy.ReasonMethod
		return statePass
	}
	if m, marked := x.core.store.Marked(&x.key, x.asker.Personal()); marked {
		x.alone = true
		if x.stale == nil {
			x.found, x.reason = foundMark, m.Reason
		}
	}
	return stateJoin
}
