package policy

import (
	"net/url"
	"strings"
)

// Unsafe tells whether a method may change what is stored (RFC 9110 section
// 9.2.1): every method that is not known to be safe is.
func Unsafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return false
	}
	return true
}

// InvalidationTargets returns the absolute URLs that an answer to an unsafe
// request invalidates (RFC 9111 section 4.4): where it succeeded, the target
// itself, and the URLs in Location and Content-Location that are of the same
// origin. nil where there is nothing to do.
func InvalidationTargets(q *Request, r *Response) []string {
	if !Unsafe(q.Method) || r.Status < 200 || r.Status > 399 {
		return nil
	}
	targets := []string{targetURL(q)}
	for _, name := range [...]string{"Location", "Content-Location"} {
		for _, value := range r.Fields.Values(name) {
			if u, ok := sameOrigin(q, value); ok && u != targets[0] {
				targets = append(targets, u)
			}
		}
	}
	return targets
}

// targetURL is the request's target URI.
func targetURL(q *Request) string {
	var b strings.Builder
	b.WriteString(q.Scheme)
	b.WriteString("://")
	b.Write(q.Host)
	b.Write(q.Path)
	if q.Query != nil {
		b.WriteByte('?')
		b.Write(q.Query)
	}
	return b.String()
}

// sameOrigin resolves a URI reference against the target and returns it
// without its fragment, if scheme, host and port are the target's.
func sameOrigin(q *Request, reference string) (string, bool) {
	base, err := url.Parse(targetURL(q))
	if err != nil {
		return "", false
	}
	ref, err := url.Parse(reference)
	if err != nil || ref.User != nil || ref.Opaque != "" {
		return "", false
	}
	u := base.ResolveReference(ref)
	u.Fragment, u.RawFragment = "", ""
	u.Host = normalHost(u.Scheme, u.Host)
	if u.Scheme != base.Scheme || u.Host != normalHost(base.Scheme, base.Host) {
		return "", false
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String(), true
}

// normalHost lowers a host and drops the scheme's default port.
func normalHost(scheme, host string) string {
	host = strings.ToLower(host)
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// PostReusable tells whether the answer to a POST may be stored and reused for
// later GETs (RFC 9110 section 9.3.3): explicit freshness, and a
// Content-Location that is the target itself.
func PostReusable(rule *Rule, q *Request, r *Response) bool {
	if rule.Forgo.Post || q.Method != "POST" || r.Status != 200 {
		return false
	}
	location := r.Fields.Values("Content-Location")
	if len(location) != 1 {
		return false
	}
	c := controlOf(rule, r.Fields)
	if nanos, stated := c.lifetime(r); !stated || nanos <= 0 {
		return false
	}
	u, ok := sameOrigin(q, location[0])
	return ok && u == canonicalTarget(q)
}

// canonicalTarget is the target as sameOrigin would write it.
func canonicalTarget(q *Request) string {
	target := targetURL(q)
	if u, ok := sameOrigin(q, target); ok {
		return u
	}
	return target
}
