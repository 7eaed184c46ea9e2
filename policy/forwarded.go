package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// The chain of clients and proxies that a request came by stands in
// X-Forwarded-For and in Forwarded (RFC 7239). From a trusted sender it is taken
// over and extended, from others it begins with the sender. Whichever of the two
// arrived, both reach the origin and say the same: one is made from the other
// (RFC 7239 section 7.4). Host and scheme are those of the key.

// Sender is who sent a request, as the connection has it.
type Sender struct {
	// Addr is the address; the zero value is an unknown one.
	Addr netip.Addr
	// Scheme is "http" or "https".
	Scheme string
	// Proxies are the networks whose word is taken.
	Proxies []netip.Prefix
}

// Trusted reports whether the sender's word about who asked is taken.
func (s *Sender) Trusted() bool { return s.Addr.IsValid() && s.trusts(s.Addr) }

func (s *Sender) trusts(addr netip.Addr) bool {
	for _, p := range s.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// maxElements is how many elements of a Forwarded field are read without taking
// memory from the heap.
const maxElements = 8

// element is one element of Forwarded. Its values are without quotes.
type element struct{ node, host, proto string }

// Scheme is the scheme that the request's client used. Where the sender is
// trusted that is the last word of X-Forwarded-Proto. Without one it is the proto
// of Forwarded, of the nearest element that has one and that a trusted sender
// wrote. What is neither http nor https counts for nothing.
func (v *View) Scheme(s *Sender) string {
	if len(v.made) == 0 || !v.trusted {
		return s.Scheme
	}
	for i := len(v.made) - 1; i >= 0; i-- {
		if f := &v.made[i]; f.Name == "X-Forwarded-Proto" {
			if scheme := schemeNamed(lastMember(f.Value)); scheme != "" {
				return scheme
			}
		}
	}
	var room [maxElements]element
	list := v.elements(room[:0])
	for i := len(list) - 1; i >= 0; i-- {
		if scheme := schemeNamed(list[i].proto); scheme != "" {
			return scheme
		}
		if addr, ok := nodeAddr(list[i].node); !ok || !s.trusts(addr) {
			break
		}
	}
	return s.Scheme
}

// schemeNamed is the scheme that a word means, "" for none.
func schemeNamed(word string) string {
	switch {
	case is(word, "https"):
		return "https"
	case is(word, "http"):
		return "http"
	}
	return ""
}

// lastMember is the last member of a list, the nearest sender's.
func lastMember(list string) string {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		list = list[i+1:]
	}
	return trim(list)
}

// elements reads the Forwarded lines of a trusted sender. There are none where a
// line is malformed, and where the last element names another client than
// X-Forwarded-For does: then one of the two fields is not the sender's own.
func (v *View) elements(list []element) []element {
	last := ""
	for i := range v.made {
		switch f := &v.made[i]; f.Name {
		case "Forwarded":
			var ok bool
			if list, ok = appendElements(list, f.Value); !ok {
				return nil
			}
		case "X-Forwarded-For":
			last = lastMember(f.Value)
		}
	}
	if len(list) > 0 && last != "" {
		if a, ok := nodeAddr(last); ok {
			if b, ok := nodeAddr(list[len(list)-1].node); ok && a != b {
				return nil
			}
		}
	}
	return list
}

// appendElements parses one Forwarded line (RFC 7239 section 4).
func appendElements(list []element, s string) ([]element, bool) {
	for {
		var e element
		var ok bool
		if e, s, ok = nextElement(s); !ok {
			return nil, false
		}
		if e != (element{}) {
			list = append(list, e)
		}
		if s == "" {
			return list, true
		}
	}
}

// nextElement cuts the first element off a line.
func nextElement(s string) (e element, rest string, ok bool) {
	for {
		s = trimLeft(s)
		if s == "" {
			return e, "", true
		}
		switch s[0] {
		case ';':
			s = s[1:]
			continue
		case ',':
			return e, s[1:], true
		}
		eq := strings.IndexByte(s, '=')
		if eq < 0 || !isToken(s[:eq]) {
			return e, "", false
		}
		var value string
		name := s[:eq]
		if value, s, ok = cutForwardedValue(s[eq+1:]); !ok {
			return e, "", false
		}
		switch {
		case is(name, "for"):
			e.node = value
		case is(name, "host"):
			e.host = value
		case is(name, "proto"):
			e.proto = value
		}
		if e.node == "" {
			e.node = "unknown" // an element is a hop, whether it names it or not
		}
	}
}

// cutForwardedValue cuts a token or a quoted string off s. As many senders do, an
// IPv6 address and a port may stand there without quotes.
func cutForwardedValue(s string) (value, rest string, ok bool) {
	if s != "" && s[0] == '"' {
		closing := closingQuote(s, 0)
		if closing < 0 {
			return "", "", false
		}
		value, rest = s[1:closing], trimLeft(s[closing+1:])
		if strings.IndexByte(value, '\\') >= 0 {
			value = unescape(value)
		}
		return value, rest, rest == "" || rest[0] == ';' || rest[0] == ','
	}
	end := strings.IndexAny(s, ";,")
	if end < 0 {
		end = len(s)
	}
	value = trim(s[:end])
	return value, s[end:], !strings.ContainsAny(value, "\" \t=")
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// nodeAddr is the address that a member of X-Forwarded-For or a node of
// Forwarded names, with or without a port.
func nodeAddr(node string) (netip.Addr, bool) {
	node = trim(node)
	if node == "" {
		return netip.Addr{}, false
	}
	if c := node[0]; c != '[' && c != ':' && hexValue(c) > 15 {
		return netip.Addr{}, false // "unknown", "_hidden": no error need be made
	}
	if addr, err := netip.ParseAddr(node); err == nil {
		return addr.WithZone("").Unmap(), true
	}
	if n := len(node); node[0] == '[' && node[n-1] == ']' {
		addr, err := netip.ParseAddr(node[1 : n-1])
		return addr.WithZone("").Unmap(), err == nil
	}
	if at, err := netip.ParseAddrPort(node); err == nil {
		return at.Addr().WithZone("").Unmap(), true
	}
	return netip.Addr{}, false
}

// Chains appends the lines of X-Forwarded-For and of Forwarded that a trusted
// sender sent, whether Connection names them or not.
func (v *View) Chains(xff, forwarded []string) (x, f []string) {
	for i := range v.made {
		switch v.made[i].Name {
		case "X-Forwarded-For":
			xff = append(xff, v.made[i].Value)
		case "Forwarded":
			forwarded = append(forwarded, v.made[i].Value)
		}
	}
	return xff, forwarded
}

// Forwarded appends to q the fields that weir makes for the origin: the chain of
// clients, scheme and host in both spellings, and Via. They are there once,
// however often it is called. r is nil while the rule is not known. protocol is
// the client's, "1.1" or "1.0", and name weir's in Via.
func (v *View) Forwarded(q *Request, r *Rule, s *Sender, protocol, name string) {
	fields := v.fields[:0]
	for _, f := range v.fields {
		if StandingOf(f.Name) != StandingMade {
			fields = append(fields, f)
		}
	}
	var room [maxElements]element
	elements := v.elements(room[:0])
	own := "unknown"
	if s.Addr.IsValid() {
		own = v.text(func(b []byte) []byte { return s.Addr.WithZone("").AppendTo(b) })
	}
	host := borrow(q.Host)
	if r != nil && v.trusted && r.keysField("X-Forwarded-Host") {
		host = v.wordOfHost(elements, host)
	}
	var nodes [maxElements]string
	chain := v.chain(nodes[:0], elements)
	fields = append(fields,
		Field{"X-Forwarded-For", v.text(func(b []byte) []byte { return append(appendChain(b, chain), own...) })},
		Field{"X-Forwarded-Proto", q.Scheme},
		Field{"X-Forwarded-Host", host},
		Field{"Forwarded", v.text(func(b []byte) []byte { return appendForwarded(b, chain, own, host, q.Scheme) })},
		Field{"Via", v.text(func(b []byte) []byte {
			for i := range v.made {
				if v.made[i].Name == "Via" {
					b = append(append(b, v.made[i].Value...), ", "...)
				}
			}
			return append(append(append(b, protocol...), ' '), name...)
		})})
	v.fields, q.Fields = fields, fields
}

// text is what f appends, in memory of v.
func (v *View) text(f func([]byte) []byte) string {
	from := len(v.forwarded)
	v.forwarded = f(v.forwarded)
	return borrow(v.forwarded[from:len(v.forwarded):len(v.forwarded)])
}

// wordOfHost is the host that a trusted sender names, where the key holds it.
func (v *View) wordOfHost(elements []element, host string) string {
	for i := len(v.made) - 1; i >= 0; i-- {
		if v.made[i].Name == "X-Forwarded-Host" {
			return lastMember(v.made[i].Value)
		}
	}
	if n := len(elements); n > 0 && elements[n-1].host != "" {
		return elements[n-1].host
	}
	return host
}

// chain is who the request came by before its sender, the client first.
func (v *View) chain(nodes []string, elements []element) []string {
	if !v.trusted {
		return nil
	}
	for i := range v.made {
		if v.made[i].Name != "X-Forwarded-For" {
			continue
		}
		for list := v.made[i].Value; list != ""; {
			var node string
			node, list = cutComma(list)
			if node = trim(node); node != "" {
				nodes = append(nodes, node)
			}
		}
	}
	if len(nodes) > 0 {
		return nodes
	}
	for _, e := range elements {
		node := e.node
		if addr, ok := nodeAddr(node); ok {
			node = addr.String()
		} else if !isToken(node) {
			node = "unknown"
		}
		nodes = append(nodes, node)
	}
	return nodes
}

// appendChain appends the chain with a comma behind each member.
func appendChain(b []byte, chain []string) []byte {
	for _, node := range chain {
		b = append(append(b, node...), ", "...)
	}
	return b
}

// appendForwarded appends the chain in RFC 7239's form. The scheme stands in
// every element, since applications differ in which they read.
func appendForwarded(b []byte, chain []string, own, host, scheme string) []byte {
	for _, node := range chain {
		b = appendNode(append(b, "for="...), node)
		b = append(append(b, ";proto="...), scheme...)
		b = append(b, ", "...)
	}
	b = appendNode(append(b, "for="...), own)
	if validForwardedHost(host) {
		b = append(b, ";host="...)
		if isToken(host) {
			b = append(b, host...)
		} else {
			b = append(append(append(b, '"'), host...), '"')
		}
	}
	return append(append(b, ";proto="...), scheme...)
}

// appendNode appends a node as RFC 7239 section 6 wants it: IPv6 and ports in
// quotes, "unknown" for what is no node.
func appendNode(b []byte, node string) []byte {
	addr, err := netip.ParseAddr(node)
	switch {
	case err == nil && addr.Is4():
		return append(b, node...)
	case err == nil:
		b = append(b, `"[`...)
		return append(addr.AppendTo(b), `]"`...)
	case node[0] == '_' && isToken(node):
		return append(b, node...)
	}
	if _, ok := nodeAddr(node); ok {
		return append(append(append(b, '"'), node...), '"')
	}
	return append(b, "unknown"...)
}

// validForwardedHost reports whether a host can stand in quotes as it is.
func validForwardedHost(host string) bool {
	return host != "" && !strings.ContainsAny(host, "\"\\ \t")
}

// madeNames are the fields that Forwarded appends.
var madeNames = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// KeysMade reports whether the key holds a field that weir makes.
func (r *Rule) KeysMade() bool { return r.keysMade }

func holdsMade(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(madeNames, n) })
}

// matchesMade reports whether the rule matches on a field that weir makes.
func (r *Rule) matchesMade() bool {
	return slices.ContainsFunc(r.Match.Headers, func(h HeaderMatch) bool { return slices.Contains(madeNames, h.Name) })
}
