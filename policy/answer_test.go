package policy

import (
	"strconv"
	"strings"
	"testing"
)

// t0 is when the answers of these tests arrive: 15 January 2027, 08:00:00 GMT.
const t0 = int64(1_800_000_000) * second

// answer makes a response that took no time. Lines are "Name: value"; a value
// "@n" is the date n seconds after t0.
func answer(status int, lines ...string) *Response {
	var received Fields
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		name, value = CanonicalName(name), strings.TrimPrefix(value, " ")
		if offset, ok := strings.CutPrefix(value, "@"); ok {
			n, err := strconv.ParseInt(offset, 10, 64)
			if err != nil {
				panic(err)
			}
			value = dateAt(n)
		}
		received = append(received, Field{name, value})
	}
	fields, err := EndToEnd(received)
	if err != nil {
		panic(err)
	}
	return &Response{Status: status, Fields: fields, RequestTime: t0, ResponseTime: t0}
}

// dateAt is the HTTP-date n seconds after t0.
func dateAt(n int64) string { return string(AppendDate(nil, t0/second+n)) }

// get makes a GET for http://a.example/p?q with those request fields.
func get(lines ...string) *Request {
	q := &Request{Method: "GET", Scheme: "http", Host: []byte("a.example"), Path: []byte("/p"), Query: []byte("q")}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		q.Fields = append(q.Fields, Field{CanonicalName(name), strings.TrimPrefix(value, " ")})
	}
	for i, to := range q.steering() {
		if name := steeringNames[i]; q.Fields.Has(name) {
			*to = append([]byte{}, q.Fields.Joined(name)...)
		}
	}
	return q
}

func zeroAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s allocates %v times", what, n)
	}
}
