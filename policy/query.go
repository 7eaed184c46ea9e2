package policy

import (
	"bytes"
	"slices"
)

// stackParams is how many parameters a query may have before sorting them
// takes memory from the heap; longer queries are rare and stay right.
const stackParams = 32

// param is the place of one parameter in a query.
type param struct {
	start, equals, end int
	// plain: the name decodes to itself.
	plain bool
}

// name is the parameter's name as it was sent.
func (p param) name(query []byte) []byte { return query[p.start:p.equals] }

// cutParam returns the parameter that begins at start.
func cutParam(query []byte, start int) param {
	p := param{start: start, end: len(query), plain: true}
	if i := bytes.IndexByte(query[start:], '&'); i >= 0 {
		p.end = start + i
	}
	p.equals = p.end
	for i := start; i < p.end; i++ {
		switch query[i] {
		case '=':
			p.equals = i
			return p
		case '%', '+':
			p.plain = false
		}
	}
	return p
}

// appendQuery appends "?" and the query as the rule wants it in the key.
func (k *KeySpec) appendQuery(dst, query []byte) []byte {
	switch {
	case query == nil || k.NoQuery:
		return dst
	case !k.SortQuery && len(k.QueryOnly) == 0 && len(k.QueryIgnore) == 0:
		return appendURI(append(dst, '?'), query, &queryClasses)
	case !k.SortQuery:
		return k.appendFiltered(dst, query)
	}
	return k.appendSorted(dst, query)
}

// appendFiltered keeps the order. Where the query is read as a list of
// parameters, a piece without a character is none of them, and a list with
// nothing in it has no "?".
func (k *KeySpec) appendFiltered(dst, query []byte) []byte {
	mark := byte('?')
	for start := 0; start < len(query); {
		p := cutParam(query, start)
		if k.keeps(p, query) {
			dst = appendURI(append(dst, mark), query[p.start:p.end], &queryClasses)
			mark = '&'
		}
		start = p.end + 1
	}
	return dst
}

// filters reports whether a parameter may be left out of the key.
func (k *KeySpec) filters() bool { return k.NoQuery || len(k.QueryOnly) > 0 || len(k.QueryIgnore) > 0 }

// AppendIgnored appends the parameters that do not count in the key, as they
// were sent, with "&" between them.
func (r *Rule) AppendIgnored(dst []byte, q *Request) []byte {
	if !r.Key.filters() {
		return dst
	}
	base := len(dst)
	for start := 0; start < len(q.Query); {
		p := cutParam(q.Query, start)
		if p.end > p.start && (r.Key.NoQuery || !r.Key.keeps(p, q.Query)) {
			if len(dst) > base {
				dst = append(dst, '&')
			}
			dst = append(dst, q.Query[p.start:p.end]...)
		}
		start = p.end + 1
	}
	return dst
}

func (k *KeySpec) appendSorted(dst, query []byte) []byte {
	var scratch [stackParams]param
	params := scratch[:0]
	for start := 0; start < len(query); {
		p := cutParam(query, start)
		if k.keeps(p, query) {
			params = append(params, p)
		}
		start = p.end + 1
	}
	slices.SortStableFunc(params, func(a, b param) int {
		if a.plain && b.plain {
			return bytes.Compare(a.name(query), b.name(query))
		}
		return compareDecoded(a.name(query), b.name(query))
	})
	mark := byte('?')
	for _, p := range params {
		dst = appendURI(append(dst, mark), query[p.start:p.end], &queryClasses)
		mark = '&'
	}
	return dst
}

// keeps tells whether a parameter belongs to the key. Names are compared
// decoded, so that "%75tm_source" does not slip past "utm_*".
func (k *KeySpec) keeps(p param, query []byte) bool {
	if p.start == p.end {
		return false
	}
	if len(k.QueryOnly) == 0 && len(k.QueryIgnore) == 0 {
		return true
	}
	// Some origins end a parameter at ";". Were "utm_x=1;id=2" left out as one
	// parameter, its sender could choose what everyone gets for a key in which
	// id does not appear.
	if bytes.IndexByte(query[p.start:p.end], ';') >= 0 {
		return true
	}
	name := p.name(query)
	var scratch [128]byte
	if !p.plain {
		name = appendDecoded(scratch[:0], name)
	}
	if len(k.QueryOnly) > 0 && !globAny(k.QueryOnly, name) {
		return false
	}
	return !globAny(k.QueryIgnore, name)
}

// decodeByte reads one byte of a form-encoded name, and says how much of s it
// took. A "%" that begins no triplet stands for itself.
func decodeByte(s []byte) (c byte, n int) {
	if s[0] == '+' {
		return ' ', 1
	}
	if v, ok := triplet(s); ok {
		return v, 3
	}
	return s[0], 1
}

func appendDecoded(dst, s []byte) []byte {
	for len(s) > 0 {
		c, n := decodeByte(s)
		dst = append(dst, c)
		s = s[n:]
	}
	return dst
}

// compareDecoded orders two names by what they decode to. It must find equal
// whatever an origin finds equal, or sorting would change the order in which
// the origin sees the values of one name.
func compareDecoded(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		ca, na := decodeByte(a)
		cb, nb := decodeByte(b)
		if ca != cb {
			return int(ca) - int(cb)
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}
