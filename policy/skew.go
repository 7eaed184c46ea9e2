package policy

// Skew is by how much the clock of the origin seems to be off, in seconds: below 0
// where its Date lies before the request, Age counted in, and above 0 where it lies
// behind the arrival. A cache in front of the origin that sends no Age looks like a
// clock that is behind. A second is nothing: Date is cut to whole ones.
func Skew(r *Response) int64 {
	date, ok := ParseDateAt(r.Fields.Get("Date"), r.ResponseTime/second)
	if !ok {
		return 0
	}
	if behind := date + statedAge(r)/second - (r.RequestTime-r.Behind)/second; behind < -1 {
		return behind
	}
	if ahead := date - r.arrived()/second; ahead > 1 {
		return ahead
	}
	return 0
}

// staleByDate reports whether a response that is too old to be stored would have been
// stored, and have served others, but for its Date: by the Age that it states, and by
// the time that it took, it is new.
func (s *Storage) staleByDate(r *Response) bool {
	if s.Reason != ReasonExpired && s.Reason != ReasonNoFreshness || Skew(r) >= 0 {
		return false
	}
	f := s.Freshness
	f.Born = r.ResponseTime - statedAge(r) - delayOf(r)
	return f.ServesOthers(r.ResponseTime)
}

// Received returns the fields of a response as the rule takes them: where it does not
// trust the Date, with the time of receipt in its place, less the Age that is stated.
// Expires moves along, since it was counted from that Date.
func (rule *Rule) Received(r *Response) Fields {
	date, ok := ParseDateAt(r.Fields.Get("Date"), r.ResponseTime/second)
	if !rule.TTL.NoDate || !ok {
		return r.Fields
	}
	received := r.arrived()/second - statedAge(r)/second
	out := make(Fields, len(r.Fields))
	for i, f := range r.Fields {
		switch f.Name {
		case "Date":
			f.Value = string(AppendDate(nil, received))
		case "Expires":
			if expires, ok := ParseDateAt(f.Value, r.ResponseTime/second); ok {
				f.Value = string(AppendDate(nil, expires+received-date))
			}
		}
		out[i] = f
	}
	return out
}
