package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrField marks a response whose header no cache should pass on.
var ErrField = errors.New("invalid header field")

// EndToEnd copies the fields of a response as they were received, sorted by name with
// each name's values in order, without what concerns one connection only (RFC 9110
// section 7.6.1) or one proxy only (RFC 9111 section 3.1). Names become canonical. A
// name that is no token or a value with a control character is an error that wraps
// ErrField: the response is malformed.
func EndToEnd(received Fields) (Fields, error) {
	var nominated map[string]bool
	for i := range received {
		if f := &received[i]; is(f.Name, "connection") {
			if nominated == nil {
				nominated = map[string]bool{}
			}
			nominate(nominated, f.Value)
		}
	}
	fields := make(Fields, 0, len(received))
	for i := range received {
		name, value := received[i].Name, trim(received[i].Value)
		if !isToken(name) {
			return nil, fmt.Errorf("cannot use field name %.40q: %w", name, ErrField)
		}
		canonical := CanonicalName(name)
		if hopByHop(canonical) || nominated[canonical] {
			continue
		}
		if !validValue(value) {
			return nil, fmt.Errorf("cannot use value of field %.40q: %w", name, ErrField)
		}
		fields = append(fields, Field{canonical, value})
	}
	slices.SortStableFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return fields, nil
}

// nominate adds the connection options of one Connection value. A field that
// the stored response depends on cannot be nominated: RFC 9110 section 7.6.1
// forbids senders to, and dropping Cache-Control would make private public.
func nominate(into map[string]bool, value string) {
	for len(value) > 0 {
		var option string
		option, value = cutComma(value)
		if name := CanonicalName(trim(option)); name != "" && !essential(name) {
			into[name] = true
		}
	}
}

// validValue: RFC 9110 section 5.5; no control characters but the tab.
func validValue[T text](value T) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// hopByHop tells whether a field is never forwarded and never stored.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Http2-Settings", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization":
		return true
	}
	return false
}

// essential tells whether a stored response would be wrong without that field:
// what it is, how its body is coded, or who may be shown it.
func essential(name string) bool {
	switch name {
	case "Age", "Cache-Control", "Cdn-Cache-Control", "Content-Encoding", "Content-Length", "Content-Range",
		"Content-Type", "Date", "Expires", "Vary", "Weir-Cache-Control":
		return true
	}
	return false
}

// Dated returns f with a Date: f itself when it has a valid one, else a copy
// dated received (unix nanoseconds), as RFC 9110 section 6.6.1 asks of a
// recipient with a clock before it stores or forwards.
func Dated(f Fields, received int64) Fields {
	if _, ok := ParseDateAt(f.Get("Date"), received/second); ok {
		return f
	}
	dated := make(Fields, 0, len(f)+1)
	for i := range f {
		if f[i].Name != "Date" {
			dated = append(dated, f[i])
		}
	}
	date := Field{"Date", string(AppendDate(nil, received/second))}
	at, _ := slices.BinarySearchFunc(dated, date, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return slices.Insert(dated, at, date)
}

// storedFields is what of a response is kept: not what the response withholds
// from shared caches, not Age, which Freshness.Born holds, and cookies only where
// the rule stores them. It is f itself where that is all of it.
func storedFields(rule *Rule, f Fields, c *control) Fields {
	withheld := func(v *Field) bool {
		return isSetCookie(v.Name) && !rule.storesCookies() || v.Name == "Age" || hopByHop(v.Name) || c.withholds(v.Name)
	}
	for i := range f {
		if !withheld(&f[i]) {
			continue
		}
		kept := append(make(Fields, 0, len(f)), f[:i]...)
		for j := i + 1; j < len(f); j++ {
			if !withheld(&f[j]) {
				kept = append(kept, f[j])
			}
		}
		return kept
	}
	return f
}

// Except returns the fields but those with the names, in memory of its own.
func (f Fields) Except(names ...string) Fields {
	out := make(Fields, 0, len(f))
	for i := range f {
		if !slices.Contains(names, f[i].Name) {
			out = append(out, f[i])
		}
	}
	return out
}
