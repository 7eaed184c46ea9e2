package fetch

import (
	"net/http"
	"net/textproto"

	"weir/origin"
	"weir/policy"
)

const acceptLanguage = "Accept-Language"

// request makes the origin request of a flight: a GET for the whole object,
// conditional when there is a stale one to renew.
func (t *run) request() *origin.Request {
	header := Sent(t.q.Rule, &t.q.Request)
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		// These are the client's; ours ask for what can be stored.
		delete(header, name)
	}
	for _, name := range []string{"Accept-Encoding", acceptLanguage} {
		text, ok := policy.Narrowed(nil, t.q.Rule, name, t.q.Request.Fields)
		switch {
		case ok && len(text) > 0:
			header[name] = []string{string(text)}
		case ok && name == acceptLanguage:
			delete(header, name)
		case ok:
			// Without the field any coding would do (RFC 9110 section 12.5.3).
			header[name] = []string{"identity"}
		}
	}
	if !t.q.Ranged {
		delete(header, "Range")
		delete(header, "If-Range")
	}
	switch {
	case t.q.Stale != nil:
		for _, f := range policy.AppendConditional(nil, t.q.Stale.Fields, t.Personal) {
			header[f.Name] = []string{f.Value}
		}
	case t.q.Part != nil:
		header["Range"] = []string{rest(t.q.Part)}
		if v := &t.q.Part.Validators; v.ETag != "" && !v.Weak {
			header["If-Range"] = []string{v.ETag}
		}
	}
	r := &origin.Request{Method: "GET", Host: string(t.q.Request.Host), Target: string(t.q.Rule.AppendTarget(nil, &t.q.Request)), Header: header}
	if t.q.Interim != nil {
		r.Got1xx = Interim(t.q.Interim)
	}
	return r
}

// Interim makes got what an origin gives its interim responses to.
func Interim(got func(code int, fields policy.Fields) error) func(int, textproto.MIMEHeader) error {
	return func(code int, h textproto.MIMEHeader) error {
		fields, err := policy.EndToEnd(h)
		if err != nil {
			return err
		}
		return got(code, fields)
	}
}

// addedFields is about how many fields a flight adds.
const addedFields = 2

// Sent returns the fields of a request that go on to the origin: those of
// its canonical form, with the cookies that the rule leaves. They stay in the
// memory of q, which the origin's client may use after the exchange has ended.
func Sent(rule *policy.Rule, q *policy.Request) http.Header {
	fields := rule.Sent(q)
	header := make(http.Header, len(fields)+addedFields)
	values := make([]string, 0, len(fields)) // one slice for all
	for i := range fields {
		name, value := fields[i].Name, fields[i].Value
		if name == "Host" {
			continue
		}
		if before := header[name]; before != nil {
			header[name] = append(before, value)
			continue
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return header
}
