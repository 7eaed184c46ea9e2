package script

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseError is one line of a script that is wrong.
type ParseError struct {
	Line int    // from 1
	Text string // the line, without its indentation
	Err  error  // what is wrong and what would be right
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("line %d: %q: %v", e.Line, e.Text, e.Err)
}

func (e *ParseError) Unwrap() error { return e.Err }

// ParseScript reads the text form. The error joins every fault, each a *ParseError.
func ParseScript(text string) (*Script, error) {
	p := parser{script: &Script{}}
	var faults []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := p.line(line); err != nil {
			faults = append(faults, &ParseError{Line: n, Text: line, Err: err})
		}
		p.note(n, line)
	}
	if len(faults) == 0 {
		faults = p.contradictions()
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("cannot parse script: %w", errors.Join(faults...))
	}
	return p.script, nil
}

// place is where an answer begins in the text.
type place struct {
	line int
	text string
}

type parser struct {
	script *Script
	inHead bool // only where lines may follow: no directive of the route's first answer was seen
	places [][]place
}

// note remembers the line that began the answer which is now the last.
func (p *parser) note(line int, text string) {
	r := p.route()
	if r == nil {
		return
	}
	for len(p.places) < len(p.script.Routes) {
		p.places = append(p.places, nil)
	}
	i := len(p.script.Routes) - 1
	for len(p.places[i]) < len(r.Answers) {
		p.places[i] = append(p.places[i], place{line, text})
	}
}

// contradictions reports faults that no single line has.
func (p *parser) contradictions() (faults []error) {
	for i := range p.script.Routes {
		for j := range p.script.Routes[i].Answers {
			for _, err := range p.script.Routes[i].Answers[j].faults() {
				at := p.places[i][j]
				faults = append(faults, &ParseError{Line: at.line, Text: at.text, Err: fmt.Errorf("the answer that begins here %w", err)})
			}
		}
	}
	return faults
}

func (p *parser) route() *Route {
	if n := len(p.script.Routes); n > 0 {
		return &p.script.Routes[n-1]
	}
	return nil
}

func (p *parser) line(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "on":
		return p.on(rest)
	case "refuse":
		n, err := parseCount(rest)
		p.script.Refuse = n
		return err
	}
	r := p.route()
	if r == nil {
		if answerDirectives[word] == nil && word != "where" && word != "then" {
			return fmt.Errorf("unknown directive %q", word)
		}
		return fmt.Errorf("%s stands before the first on METHOD TARGET", word)
	}
	switch word {
	case "then":
		p.inHead = false
		r.Answers = append(r.Answers, Answer{})
		return noArguments(rest)
	case "where":
		if !p.inHead {
			return errors.New("where must stand right after on METHOD TARGET")
		}
		c, err := parseCondition(rest)
		r.Where = append(r.Where, c)
		return err
	}
	directive := answerDirectives[word]
	if directive == nil {
		return fmt.Errorf("unknown directive %q", word)
	}
	p.inHead = false
	return directive(&r.Answers[len(r.Answers)-1], rest)
}

func (p *parser) on(rest string) error {
	p.inHead = true
	r := Route{Answers: make([]Answer, 1)}
	p.script.Routes = append(p.script.Routes, r)
	w, err := splitWords(rest)
	if err != nil {
		return err
	}
	if len(w) != 2 || w[0].text == "" {
		return errors.New("should be: on METHOD TARGET")
	}
	last := p.route()
	last.Method, last.Target = w[0].text, w[1].text
	if !w[1].quoted && strings.HasSuffix(last.Target, "*") {
		last.Target, last.Prefix = strings.TrimSuffix(last.Target, "*"), true
	}
	if last.Target == "" && !last.Prefix {
		return errors.New("the target is empty; * stands for any")
	}
	return nil
}

func parseCondition(s string) (Condition, error) {
	if name, ok := strings.CutPrefix(s, "no "); ok {
		return Condition{Name: strings.TrimSpace(name), Absent: true}, checkName(strings.TrimSpace(name))
	}
	name, value, exact := strings.Cut(s, ":")
	return Condition{Name: name, Value: strings.TrimSpace(value), Exact: exact}, checkName(name)
}

// word is one word of a line; quoted ones hold what the quotes held.
type word struct {
	text   string
	quoted bool
}

func splitWords(s string) ([]word, error) {
	var words []word
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if s[0] != '"' {
			text, rest, _ := strings.Cut(s, " ")
			words = append(words, word{text: text})
			s = rest
			continue
		}
		q, err := strconv.QuotedPrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%s is no Go string in double quotes", s)
		}
		text, err := strconv.Unquote(q)
		if err != nil {
			return nil, fmt.Errorf("%s is no Go string in double quotes", q)
		}
		words = append(words, word{text: text, quoted: true})
		s = s[len(q):]
		if s != "" && s[0] != ' ' {
			return nil, fmt.Errorf("a space should stand after %s", q)
		}
	}
	return words, nil
}

// parseText reads exactly one string in double quotes.
func parseText(s string) (string, error) {
	w, err := splitWords(s)
	if err != nil {
		return "", err
	}
	if len(w) != 1 || !w[0].quoted {
		return "", errors.New(`should be one string in double quotes, such as "hello\n"`)
	}
	return w[0].text, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1_000_000 {
		return 0, fmt.Errorf("%q is no count from 0 to 1000000", s)
	}
	return n, nil
}

func parseSize(s string) (int64, error) {
	unit := int64(1)
	digits := s
	for _, u := range []struct {
		name string
		size int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if d, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = d, u.size
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no size; valid are 500, 64KiB, 80MiB, 1GiB", s)
	}
	return int64(n) * unit, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration; valid are 50ms, 2s, 1m30s", s)
	}
	return d, nil
}

func parseField(s string) (Field, error) {
	name, value, ok := strings.Cut(s, ":")
	if !ok {
		return Field{}, errors.New("should be NAME: VALUE (header-raw takes malformed lines)")
	}
	return Field{Name: name, Value: strings.TrimSpace(value)}, checkName(name)
}

func checkName(s string) error {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return fmt.Errorf("%q is no field name", s)
		}
	}
	if s == "" {
		return errors.New("the field name is missing")
	}
	return nil
}

func noArguments(s string) error {
	if s != "" {
		return fmt.Errorf("takes no arguments, has %q", s)
	}
	return nil
}
