package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"

	"weir/policy"
	"weir/proxy/front"
	"weir/tiers"
)

// prepared is what the proxy keeps beside a stored object: its header, so that a hit
// is one copy and two more fields.
type prepared struct {
	shown
	header *front.Header
	// notModified is the header of a 304 (RFC 9110 section 15.4.5); nil before the
	// first.
	notModified atomic.Pointer[front.Header]
}

// prepare returns how the object is shown, with its prepared header, which is made
// at the first hit. What has just come from the origin is shown without: it may
// never be asked for again, and to keep the header is as dear as to make it.
func (x *exchange) prepare(o *tiers.Object) (*shown, *prepared) {
	var hidden []string
	if x.rule != nil {
		hidden = x.rule.Hidden()
	}
	if p, ok := o.Aside().(*prepared); ok && p.cacheName == x.cfg.CacheName && slices.Equal(p.hidden, hidden) {
		return &p.shown, p
	}
	show := shown{cacheName: x.cfg.CacheName, hidden: hidden}
	for i := range o.Fields {
		if o.Fields[i].Name == "Cache-Status" {
			show.status = append(append(show.status, o.Fields[i].Value...), ", "...)
		}
	}
	if x.outcome == outcomeFetched || x.outcome == outcomeRevalidated {
		x.shown = show
		return &x.shown, nil
	}
	p := &prepared{shown: show}
	p.header = x.session.Prepare(o.Status, p.answerFields(o))
	o.SetAside(p)
	return &p.shown, p
}

// answerFields are the fields of an answer with the object, without those that
// annotate sets. They follow from the object and from what s keeps of the
// configuration, and from nothing else: they are kept for requests to come.
func (s *shown) answerFields(o *tiers.Object) policy.Fields {
	fields := make(policy.Fields, 0, len(o.Fields)+1)
	via := "1.1 " + s.cacheName
	if before := o.Fields.Joined("Via"); before != "" {
		via = before + ", " + via
	}
	for _, f := range o.Fields {
		switch {
		case f.Name == "Cache-Status", f.Name == "Via", f.Name == "Content-Length", f.Name == "Age" && o.Freshness.Born != 0:
		case slices.Contains(s.hidden, f.Name):
		default:
			fields = append(fields, f)
		}
	}
	return append(fields, policy.Field{Name: "Via", Value: via})
}

// setNotModified makes the answer's header that of a 304 for x.obj. It is kept in p,
// unless that is nil.
func (x *exchange) setNotModified(show *shown, p *prepared) {
	if p != nil {
		if x.answer.Header = p.notModified.Load(); x.answer.Header != nil {
			return
		}
	}
	fields := notModifiedFields(show.answerFields(x.obj))
	if p == nil {
		x.answer.Code, x.answer.Fields = http.StatusNotModified, fields
		return
	}
	x.answer.Header = x.session.Prepare(http.StatusNotModified, fields)
	p.notModified.Store(x.answer.Header)
}

// notModifiedFields keeps what a 304 carries: what the 200 would have carried
// of these, and nothing that describes a body that is not sent.
func notModifiedFields(f policy.Fields) policy.Fields {
	var out policy.Fields
	for _, v := range f {
		switch v.Name {
		case "Content-Length", "Content-Type", "Content-Encoding", "Content-Language", "Content-Range",
			"Last-Modified", "Trailer", "Accept-Ranges":
			if v.Name != "Last-Modified" || f.Has("Etag") {
				continue
			}
		}
		out = append(out, v)
	}
	return out
}

// annotate adds what differs from answer to answer: Age and Cache-Status.
func (x *exchange) annotate(show *shown, age int64) {
	if age >= 0 {
		x.age = strconv.AppendInt(x.age[:0], age, 10)
		x.answer.Age = x.age
	}
	x.status = append(x.status[:0], show.status...)
	x.status = x.appendCacheStatus(x.status)
	x.answer.CacheStatus = x.status
}
