package model

// waits tells whether a finding is one that waits for its repair. An entry goes
// when the history of TestFound that shows it is right.
func (x *exchanged) waits(l *Log) bool {
	serial, checked := x.a.serials()
	for _, c := range x.contacts {
		// RFC 9110 section 15.3.7: a 206 "is successfully fulfilling a range
		// request". The rest of a stored part is passed on as it came where it
		// says that nothing may be stored.
		if c.Status == 206 && x.a.status == 206 && x.q.Fields["Range"] == nil {
			return true
		}
	}
	for _, s := range l.stored {
		// RFC 9111 section 4.3.5: "a response to the HEAD method is identical to
		// what an equivalent request made with a GET would have been, without
		// sending the content". A HEAD with 200 renews errors and redirects.
		if s.Serial == serial && checked != 0 && s.Path == x.q.Path && s.Status != 200 && s.Status != 203 && l.Find(s.Path, serial, checked) == nil {
			return true
		}
	}
	return false
}
