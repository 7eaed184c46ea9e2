package policy

import (
	"bytes"
	"iter"
	"slices"
)

// View makes the canonical form of a request. It is made for reuse: the memory
// that it needs stays with it, and an ordinary request allocates nothing.
//
// Read comes first, then Scheme and Host are asked for, then Fill. Settle comes
// when the rule is known. What they give is borrowed from the raw header section
// and from the View, until Reset.
type View struct {
	// Fault is why Read or Fill refused the request.
	Fault string
	// Proxied: a field arrived by which a proxy says for whom it forwards. It
	// does not matter whether Connection names that field.
	Proxied bool
	// Override: a field goes on that may make the origin answer for another
	// path, host or method than the key holds.
	Override bool
	// Withheld are the names of fields that Settle kept from the origin and that
	// their sender may miss.
	Withheld []string
	// Host is the value of the Host field, nil without one.
	Host []byte

	trusted bool
	hosts   int
	// late: a field needs the rule, for Settle.
	late   bool
	fields Fields
	// made are the lines of the fields that weir makes anew, from a trusted
	// sender: what it says of the chain of clients is extended.
	made Fields
	// connection holds the options of Connection, joined.
	connection []byte
	// steering holds the fields that steer caching whose bit is set in steered.
	steering [steers][]byte
	steered  uint16
	single   uint64
	// hostAt is the place of Host in fields.
	hostAt int
	// names and joined are memory for names in another spelling and for joined
	// lines, forwarded for the text of the made fields. What was borrowed of
	// them stays when they grow.
	names, joined, forwarded []byte
}

// Reset forgets the request and keeps the memory.
func (v *View) Reset() {
	v.Fault, v.Proxied, v.Override, v.late = "", false, false, false
	v.Host, v.hosts, v.connection, v.steered, v.single = nil, 0, nil, 0, 0
	v.Withheld, v.fields, v.made = v.Withheld[:0], v.fields[:0], v.made[:0]
	v.names, v.joined, v.forwarded = v.names[:0], v.joined[:0], v.forwarded[:0]
}

// What a byte is in the name of a field.
const (
	byteLower uint8 = 1 << iota
	byteUpper
	bytePlain // a digit
	byteHyphen
	byteOdd // allowed by the grammar, and turned into "_" by some servers
	byteColon
)

var nameBytes = func() (t [256]uint8) {
	for c := range t {
		switch {
		case 'a' <= c && c <= 'z':
			t[c] = byteLower
		case 'A' <= c && c <= 'Z':
			t[c] = byteUpper
		case '0' <= c && c <= '9':
			t[c] = bytePlain
		case c == '-':
			t[c] = byteHyphen
		case c == ':':
			t[c] = byteColon
		case isTokenByte(byte(c)):
			t[c] = byteOdd
		}
	}
	return t
}()

// Read takes a request's header section, lines that end in CRLF, apart. It
// refuses what another parser could read in another way: a name that is no
// token, a bare LF, a folded line, a control character in a value, any
// Transfer-Encoding but one plain "chunked", and more than one statement of the
// framing (RFC 9112 sections 2.2, 5.1, 5.2, 6.1 and 6.3). trusted says that the
// sender's word about who asked is taken.
func (v *View) Read(raw []byte, trusted bool) bool {
	v.trusted = trusted
	if !v.read(raw) {
		v.salvage(raw)
		return false
	}
	v.dropNominated()
	return true
}

// salvage keeps of a refused section what a trusted sender says of the client, for
// the log.
func (v *View) salvage(raw []byte) {
	v.made = v.made[:0]
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		colon, _, _ := nameOf(line)
		if colon <= 0 || !v.trusted {
			continue
		}
		f := Field{Name: borrow(v.respell(line[:colon])), Value: borrow(trim(line[colon+1:]))}
		if StandingOf(f.Name) == StandingMade && validValue(f.Value) {
			v.made = append(v.made, f)
		}
	}
}

func (v *View) read(raw []byte) bool {
	framings := 0
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		line := raw
		switch {
		case end < 0:
			raw = nil
		case end == 0 || raw[end-1] != '\r':
			v.Fault = "a header line ends in a bare LF"
			return false
		default:
			line, raw = raw[:end-1], raw[end+1:]
		}
		if len(line) == 0 {
			continue
		}
		colon, spelled, odd := nameOf(line)
		if colon <= 0 {
			v.Fault = nameFault(line)
			return false
		}
		value := trim(line[colon+1:])
		if !CleanValue(value) {
			v.Fault = "a header value holds a control character"
			return false
		}
		name := line[:colon:colon]
		if !spelled {
			name = v.respell(name)
		}
		f := Field{Name: borrow(name), Value: borrow(value)}
		kind := kindOf(f.Name)
		if kind.special >= specialContentLength {
			framings++
		}
		if !v.take(f, kind, value, odd) {
			return false
		}
	}
	if framings > 1 {
		v.Fault = "Content-Length and Transfer-Encoding are given more than once or together"
		return false
	}
	return true
}

// nameOf returns the length of the name that a line begins with, 0 or less when
// it is no token; whether it is in canonical form; and whether it holds a
// character beyond letters, digits and "-".
func nameOf(line []byte) (colon int, canonical, odd bool) {
	wrong := byteLower // what is not canonical at this place
	var seen, bad uint8
	for i, c := range line {
		class := nameBytes[c]
		switch class {
		case byteColon:
			return i, bad == 0, seen&byteOdd != 0
		case 0:
			return -1, false, false
		case byteHyphen:
			wrong = byteLower
			continue
		}
		bad |= class & wrong
		seen |= class
		wrong = byteUpper
	}
	return -1, false, false
}

func nameFault(line []byte) string {
	switch {
	case line[0] == ' ' || line[0] == '\t':
		return "a header line is folded"
	case line[0] == ':' || bytes.IndexByte(line, ':') < 0:
		return "a header line has no name"
	}
	return "the name of a header field holds a character that no name may hold"
}

// respell returns the canonical form of a token, in memory of v.
func (v *View) respell(name []byte) []byte {
	from := len(v.names)
	first := true
	for _, c := range name {
		switch {
		case first && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case !first && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		first = c == '-'
		v.names = append(v.names, c)
	}
	return v.names[from:len(v.names):len(v.names)]
}

// take takes over one field, or refuses the request.
func (v *View) take(f Field, kind *fieldKind, value []byte, odd bool) bool {
	if kind.special != specialNone && !v.takeSpecial(kind.special, value) {
		return false
	}
	if kind.single != 0 {
		if bit := uint64(1) << kind.single; v.single&bit == 0 {
			v.single |= bit
		} else {
			return v.again(f)
		}
	}
	if kind.steer != 0 {
		v.steer(int(kind.steer-1), value)
	}
	if odd {
		v.late = true
		v.Proxied = v.Proxied || ofTheClient(twinOf(f.Name))
	}
	switch kind.standing {
	case StandingOrdinary:
	case StandingHop, StandingNever:
		return true
	case StandingMade:
		v.Proxied = true
		if v.trusted || f.Name == "Via" {
			v.made = append(v.made, f)
		}
		return true
	case StandingClient, StandingIdentity:
		v.Proxied = true
		if !v.trusted {
			return true
		}
		v.late = v.late || kind.standing == StandingIdentity
	case StandingOverride, StandingMethod:
		// From others than trusted senders it is withheld, which Settle notes.
		v.late = true
	}
	v.fields = append(v.fields, f)
	return true
}

func (v *View) takeSpecial(s special, value []byte) bool {
	switch s {
	case specialNone:
	case specialHost:
		if v.hosts++; v.hosts > 1 {
			v.Fault = "there is more than one Host"
			return false
		}
		v.Host, v.hostAt = present(value), len(v.fields)
	case specialConnection:
		v.connection = v.join(v.connection, value)
	case specialContentLength:
		if _, ok := parseDelta(value); !ok {
			v.Fault = "Content-Length is not a number"
			return false
		}
	case specialTransferEncoding:
		if !is(value, "chunked") {
			v.Fault = "the only transfer coding that is understood is chunked"
			return false
		}
	}
	return true
}

// again judges a further line of a field that comes once: two parsers may take
// different ones, so they must not differ.
func (v *View) again(f Field) bool {
	for i := range v.fields {
		if v.fields[i].Name == f.Name && v.fields[i].Value != f.Value {
			v.Fault = "a field that a request may have once is given twice, with different values"
			return false
		}
	}
	return true
}

func (v *View) steer(i int, value []byte) {
	if bit := uint16(1) << i; v.steered&bit == 0 {
		v.steered |= bit
		v.steering[i] = present(value)
		return
	}
	v.steering[i] = v.join(v.steering[i], value)
}

// join puts lines of one field together (RFC 9110 section 5.3). Rare, so a copy
// is fine.
func (v *View) join(before, value []byte) []byte {
	if before == nil {
		return present(value)
	}
	from := len(v.joined)
	v.joined = append(v.joined, before...)
	v.joined = append(v.joined, ", "...)
	v.joined = append(v.joined, value...)
	return v.joined[from:len(v.joined):len(v.joined)]
}

// present returns value, which is never nil: an empty field is present.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value[:len(value):len(value)]
}

// dropNominated takes out the fields that Connection names (RFC 9110 section
// 7.6.1). The origin does not get them, so neither key nor variant nor any
// decision may be made with them: who names Accept-Language there would else
// store the answer to no language as the answer to theirs. What the proxies
// before weir say of the client is not theirs to take away: it is for weir.
func (v *View) dropNominated() {
	list := v.connection
	for len(list) > 0 {
		var option []byte
		option, list = cutComma(list)
		if option = trim(option); !isToken(option) || isConnectionOption(option) {
			continue
		}
		name := borrow(v.respell(option))
		kind := kindOf(name)
		switch kind.standing {
		case StandingMade, StandingClient, StandingIdentity:
			continue
		}
		if kind.special != specialNone {
			continue
		}
		v.fields = v.fields.Without(name)
		v.hostAt = slices.IndexFunc(v.fields, func(f Field) bool { return f.Name == "Host" })
		if kind.steer != 0 {
			v.steered &^= 1 << (kind.steer - 1)
		}
	}
}

// isConnectionOption names the options that are no field of the request's own.
func isConnectionOption(name []byte) bool { return is(name, "close") || is(name, "keep-alive") }

// Via gives the lines of Via.
func (v *View) Via() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range v.made {
			if v.made[i].Name == "Via" && !yield(v.made[i].Value) {
				return
			}
		}
	}
}

// Fill puts the fields into q, whose host is known and whose fields are not set. The Host among them is the
// canonical one.
func (v *View) Fill(q *Request) {
	if v.hosts > 0 {
		v.fields[v.hostAt].Value = borrow(q.Host)
	}
	q.Fields = v.fields
	if v.steered == 0 {
		return
	}
	for i, to := range q.steering() {
		if v.steered&(1<<i) != 0 {
			*to = v.steering[i]
		}
	}
}

// Settle takes out of q what does not go on under its rule.
func (v *View) Settle(r *Rule, q *Request) {
	if !v.late {
		return
	}
	out := v.fields[:0]
	for _, f := range v.fields {
		if v.goesOn(r, &f) {
			out = append(out, f)
		}
	}
	v.fields = out
	q.Fields = out
}

func (v *View) goesOn(r *Rule, f *Field) bool {
	switch standing := StandingOf(f.Name); standing {
	case StandingIdentity:
		return r.keysField(f.Name)
	case StandingOverride, StandingMethod:
		keyed := r.keysField(f.Name)
		if !v.trusted && !(keyed && standing == StandingMethod) {
			v.Withheld = append(v.Withheld, f.Name)
			return false
		}
		v.Override = v.Override || !keyed
	case StandingOrdinary:
		if oddName(f.Name) && !r.passesOdd(f.Name) {
			v.Withheld = append(v.Withheld, f.Name)
			return false
		}
	}
	return true
}

// oddName reports whether a name holds more than letters, digits and "-". CGI
// and what descends from it turn such characters into "_", and "-" as well, so
// that X_Forwarded_For becomes what X-Forwarded-For is.
func oddName(name string) bool {
	for i := range len(name) {
		if nameBytes[name[i]]&(byteLower|byteUpper|bytePlain|byteHyphen) == 0 {
			return true
		}
	}
	return false
}
