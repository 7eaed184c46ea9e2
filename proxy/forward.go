package proxy

import "weir/policy"

// targetSent is the request-target that the origin gets of a request that is
// passed on.
func (x *exchange) targetSent() string {
	if x.canonical {
		return string(x.rule.AppendTarget(nil, &x.req))
	}
	return string(policy.AppendRawTarget(nil, &x.req))
}

// showForwarded puts the fields into the request that tell the origin who asked
// and how.
func (x *exchange) showForwarded() {
	x.view.Forwarded(&x.req, x.rule, &x.from, x.head.Version, x.cfg.CacheName)
}
