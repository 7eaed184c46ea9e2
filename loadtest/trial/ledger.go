package trial

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
)

// shortest is the length of the shortest secret. What is shorter would be found in others' pages by chance.
const shortest = 8

// ledger knows whose every secret is.
type ledger struct {
	mu    sync.Mutex
	owner map[string]*visitor
}

func newLedger() *ledger { return &ledger{owner: make(map[string]*visitor)} }

// claim records the words of secret as v's. It reports an error if one of them already belongs to somebody else.
func (l *ledger) claim(v *visitor, kind, secret string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range words([]byte(secret)) {
		if o := l.owner[w]; o != nil && o != v {
			return fmt.Errorf("the %s %s was %s's before", kind, w, o.name)
		}
		l.owner[w] = v
	}
	return nil
}

// foreign returns a word of text that is a secret of somebody else than v, and whose it is.
func (l *ledger) foreign(v *visitor, text []byte) (string, *visitor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range words(text) {
		if o := l.owner[w]; o != nil && o != v {
			return w, o
		}
	}
	return "", nil
}

// unescape undoes percent-encoding, as cookies have it; what is not encoded well stays.
func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// words cuts text into its runs of letters, digits, "-" and "_" that are long enough for a secret. Numbers do not count:
// they are times and counters, which several visitors may have in common.
func words(text []byte) []string {
	var out []string
	start := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && isWord(text[i]) {
			continue
		}
		if i-start >= shortest && !isNumber(text[start:i]) {
			out = append(out, string(text[start:i]))
		}
		start = i + 1
	}
	return out
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func isNumber(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// judge returns what is wrong with an answer to v: somebody else's secrets in its header or body, cookies that
// somebody else has been given, and a page for another than v.
func (l *ledger) judge(s *site, v *visitor, a *answer) []string {
	var faults []string
	for name, values := range a.header {
		for _, value := range values {
			if w, o := l.foreign(v, []byte(value+" "+unescape(value))); o != nil {
				faults = append(faults, fmt.Sprintf("the field %s holds %s's %s", name, o.name, w))
			}
		}
	}
	if w, o := l.foreign(v, a.body); o != nil {
		faults = append(faults, fmt.Sprintf("the body holds %s's %s", o.name, w))
	}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if len(c.Value) < shortest || c.MaxAge < 0 || s.constantCookie(c.Name) {
			continue
		}
		if err := l.claim(v, "cookie "+c.Name, unescape(c.Value)); err != nil {
			faults = append(faults, err.Error())
		}
	}
	for _, secret := range s.private(a.body) {
		if err := l.claim(v, "token", secret); err != nil {
			faults = append(faults, err.Error())
		}
	}
	if got, ok := s.who(a.body); ok && a.status == http.StatusOK && got != v.expected() {
		faults = append(faults, fmt.Sprintf("the page is for %s, want %s", got, v.expected()))
	}
	return faults
}
