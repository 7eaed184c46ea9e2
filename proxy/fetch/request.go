package fetch

import (
	"weir/origin"
	"weir/policy"
)

const acceptLanguage = "Accept-Language"

// request makes the origin request of a flight: a GET for the whole object,
// conditional when there is a stale one to renew.
func (t *run) request() *origin.Request {
	fields := Sent(t.q.Rule, &t.q.Request)
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		// These are the client's; ours ask for what can be stored.
		fields = fields.Without(name)
	}
	set := func(name, value string) {
		fields = append(fields.Without(name), policy.Field{Name: name, Value: value})
	}
	for _, name := range []string{"Accept-Encoding", acceptLanguage} {
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
	if !t.q.Ranged {
		fields = fields.Without("Range").Without("If-Range")
	}
	switch {
	case t.q.Stale != nil:
		for _, f := range policy.AppendConditional(nil, t.q.Stale.Fields, t.Personal) {
			set(f.Name, f.Value)
		}
	case t.q.Part != nil:
		set("Range", rest(t.q.Part))
		if v := &t.q.Part.Validators; v.ETag != "" && !v.Weak {
			set("If-Range", v.ETag)
		}
	}
	r := &origin.Request{
		Method: "GET", Host: string(t.q.Request.Host), Target: string(t.q.Rule.AppendTarget(nil, &t.q.Request)), Fields: fields,
	}
	if t.q.Interim != nil {
		r.Interim = Interim(t.q.Interim)
	}
	return r
}

// Interim makes got what an origin gives its interim responses to.
func Interim(got func(code int, fields policy.Fields) error) func(int, policy.Fields) error {
	return func(code int, received policy.Fields) error {
		fields, err := policy.EndToEnd(received)
		if err != nil {
			return err
		}
		return got(code, fields)
	}
}

// addedFields is about how many fields a flight adds.
const addedFields = 2

// Sent returns the fields of a request that go on to the origin: those of its
// canonical form, with the cookies that the rule leaves. The slice is the caller's; the
// strings stay in the memory of q.
func Sent(rule *policy.Rule, q *policy.Request) policy.Fields {
	sent := rule.Sent(q)
	fields := append(make(policy.Fields, 0, len(sent)+addedFields), sent...)
	return fields.Without("Host")
}
