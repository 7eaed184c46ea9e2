package fetch

import (
	"weir/origin"
	"weir/policy"
)

const acceptLanguage = "Accept-Language"

// request makes the origin request: a GET for the whole object, conditional when
// there is a stale one to renew, or when nobody but the client is to get the answer
// and the client made it so.
func (t *run) request() *origin.Request {
	fields := Sent(t.q.Rule, &t.q.Request)
	set := func(name, value string) {
		fields = append(fields.Without(name), policy.Field{Name: name, Value: value})
	}
	kept := fields[:0]
	for i := range fields {
		if !t.asksItself(fields[i].Name) {
			kept = append(kept, fields[i])
		}
	}
	fields = kept
	for _, name := range [...]string{"Accept-Encoding", acceptLanguage} {
		text, ok := policy.Narrowed(nil, t.q.Rule, name, t.q.Request.Fields)
		switch {
		case ok && len(text) > 0:
			set(name, string(text))
		case ok && name == acceptLanguage:
			fields = fields.Without(name)
		case ok:
			// Without the field any coding would do (RFC 9110 section 12.5.3).
			set(name, "identity")
		}
	}
	switch {
	case t.q.Stale != nil:
		fields = policy.AppendConditional(fields, t.q.Stale.Fields, t.Personal)
	case t.q.Part != nil:
		set("Range", rest(t.q.Part))
		if v := &t.q.Part.Validators; v.ETag != "" && !v.Weak {
			set("If-Range", v.ETag)
		}
	}
	var room [256]byte
	host := len(t.q.Request.Host)
	both := string(t.q.Rule.AppendTarget(append(room[:0], t.q.Request.Host...), &t.q.Request))
	return &origin.Request{
		Method: "GET", Host: both[:host], Target: both[host:], Fields: fields, Interim: t.q.Interim, Waiting: &t.people,
		StandIn: t.q.StandIn,
	}
}

// asksItself reports whether a field of the client does not go on, since the
// machine asks for what can be stored. A condition of one client must not decide
// what others get: it goes on only where nobody follows.
func (t *run) asksItself(name string) bool {
	switch name {
	case "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since":
		return !t.q.Conditional
	case "Range", "If-Range":
		return !t.q.Ranged
	}
	return false
}

// addedFields is about how many fields a fetch adds.
const addedFields = 2

// Sent returns the fields of a request that go on to the origin: those of its
// canonical form, with the cookies that the rule leaves. The slice is the
// caller's; the strings are in the memory of q.
func Sent(rule *policy.Rule, q *policy.Request) policy.Fields {
	sent := rule.Sent(q)
	fields := append(make(policy.Fields, 0, len(sent)+addedFields), sent...)
	return fields.Without("Host")
}
