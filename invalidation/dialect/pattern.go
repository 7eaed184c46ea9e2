package dialect

import (
	"errors"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// What stands in an expansion for what is no text. Header values hold no such
// bytes: pattern refuses them.
const (
	markBegin = '\x01' // ^
	markEnd   = '\x02' // $
	markAny   = '\x03' // .*
	markSep   = '\x04' // what separates two tags, or \b
	markDot   = '\x05' // a dot without a backslash
)

const (
	// maxExpansions bounds the literals that a pattern comes to, and maxPattern
	// its length, in bytes.
	maxExpansions = 4096
	maxPattern    = 16 << 10
)

var (
	errPattern = errors.New("the regular expression is more than a union of literals (valid is one such as a|b, /path/.* or ((^|,)tag(,|$)))")
	errMany    = errors.New("the regular expression stands for too many literals (send several requests)")
	errDot     = errors.New(`a dot that stands for any character is not understood (write \. for a dot)`)
)

// expand returns the literals that a regular expression is the union of, with
// marks for what is no text. Of tags a comma and a space separate.
func expand(pattern string, tags bool) ([]string, error) {
	if len(pattern) > maxPattern {
		return nil, errMany
	}
	if strings.ContainsFunc(pattern, func(r rune) bool { return r < ' ' || r == unicode.ReplacementChar }) {
		return nil, errPattern
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, errPattern
	}
	list, err := expandNode(re, tags)
	if err != nil {
		return nil, err
	}
	// The parser puts together what alternatives begin with, so the order is not
	// that of the pattern; one entry for each is enough.
	slices.Sort(list)
	return slices.Compact(list), nil
}

func expandNode(re *syntax.Regexp, tags bool) ([]string, error) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, nil
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return nil, errPattern
		}
		return []string{literal(re.Rune, tags)}, nil
	case syntax.OpCharClass:
		return expandClass(re.Rune, tags)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return []string{string(markDot)}, nil
	case syntax.OpBeginLine, syntax.OpBeginText:
		return []string{string(markBegin)}, nil
	case syntax.OpEndLine, syntax.OpEndText:
		return []string{string(markEnd)}, nil
	case syntax.OpWordBoundary:
		if tags {
			return []string{string(markSep)}, nil
		}
	case syntax.OpCapture:
		return expandNode(re.Sub[0], tags)
	case syntax.OpStar, syntax.OpPlus:
		if op := re.Sub[0].Op; op == syntax.OpAnyChar || op == syntax.OpAnyCharNotNL {
			return []string{string(markAny)}, nil
		}
	case syntax.OpQuest:
		list, err := expandNode(re.Sub[0], tags)
		return append(list, ""), err
	case syntax.OpConcat:
		return expandConcat(re.Sub, tags)
	case syntax.OpAlternate:
		var out []string
		for _, sub := range re.Sub {
			list, err := expandNode(sub, tags)
			if err != nil {
				return nil, err
			}
			if out = append(out, list...); len(out) > maxExpansions {
				return nil, errMany
			}
		}
		return out, nil
	}
	return nil, errPattern
}

func expandConcat(subs []*syntax.Regexp, tags bool) ([]string, error) {
	out := []string{""}
	for _, sub := range subs {
		list, err := expandNode(sub, tags)
		if err != nil {
			return nil, err
		}
		if len(out)*len(list) > maxExpansions {
			return nil, errMany
		}
		next := make([]string, 0, len(out)*len(list))
		for _, a := range out {
			for _, b := range list {
				next = append(next, a+b)
			}
		}
		out = next
	}
	return out, nil
}

// expandClass is for classes that the parser makes of alternatives of one
// character, and for small ones.
func expandClass(ranges []rune, tags bool) ([]string, error) {
	const most = 64
	var out []string
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if len(out) == most {
				return nil, errPattern
			}
			if r < ' ' {
				// \s: tabs and line ends are no part of a header value.
				continue
			}
			out = append(out, literal([]rune{r}, tags))
		}
	}
	return out, nil
}

func literal(runes []rune, tags bool) string {
	s := string(runes)
	if tags {
		s = strings.Map(func(r rune) rune {
			if r == ',' || r == ' ' {
				return markSep
			}
			return r
		}, s)
	}
	return s
}

const marks = "\x01\x02\x03\x04\x05"

// plainDots makes literal dots of those that can be nothing else: between two
// characters of a name, as in shop.example or style.css.
func plainDots(s string) (string, error) {
	b := []byte(s)
	for i, c := range b {
		if c != markDot {
			continue
		}
		if i == 0 || i+1 == len(b) || !isAlnum(b[i+1]) {
			return "", errDot
		}
		b[i] = '.'
	}
	return string(b), nil
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
}

// tagsOf returns the tags that a pattern names; all where it fits every object.
func tagsOf(pattern string) (tags []string, all bool, err error) {
	list, err := expand(pattern, true)
	if err != nil {
		return nil, false, err
	}
	for _, e := range list {
		some, every, err := tagsOfOne(e)
		switch {
		case err != nil:
			return nil, false, err
		case every:
			return nil, true, nil
		}
		for _, t := range some {
			if !slices.Contains(tags, t) {
				tags = append(tags, t)
			}
		}
	}
	return tags, false, nil
}

const tagEdges = string(markBegin) + string(markEnd) + string(markSep)

// tagsOfOne takes one expansion apart: its parts between separators. A part is a
// whole tag, so what is tied at its beginning alone, or holds ".*", would name
// tags that begin so: there is no such purge.
func tagsOfOne(e string) (tags []string, all bool, err error) {
	e, err = plainDots(e)
	if err != nil {
		return nil, false, err
	}
	if !strings.ContainsFunc(e, func(r rune) bool { return !strings.ContainsRune(marks, r) }) {
		if strings.ContainsRune(e, markAny) {
			return nil, true, nil
		}
		return nil, false, errPattern
	}
	tied := strings.ContainsAny(e[:1], tagEdges)
	parts := strings.FieldsFunc(e, func(r rune) bool { return strings.ContainsRune(tagEdges, r) })
	if tied && !strings.ContainsAny(e[len(e)-1:], tagEdges) && parts[len(parts)-1] != string(markAny) {
		return nil, false, errors.New("the regular expression fits every tag that begins so, and tags are compared whole (name each tag, as in (^|,)tag(,|$))")
	}
	for i, p := range parts {
		if p == string(markAny) && (i == 0 || i == len(parts)-1) {
			continue
		}
		if strings.ContainsRune(p, markAny) {
			return nil, false, errors.New("the regular expression fits a part of a tag, and tags are compared whole (name each tag, or give the responses a tag in common)")
		}
		tags = append(tags, p)
	}
	return tags, false, nil
}

// urlScope is what one literal of a pattern for URLs means.
type urlScope struct {
	path  string // with a query; "" is everything
	exact bool
}

// urlsOf returns what a pattern for URLs means. It is tied to the beginning,
// whether it says so or not: a path is what plugins send.
func urlsOf(pattern string) ([]urlScope, error) {
	for i := 1; i+1 < len(pattern); i++ {
		if pattern[i] == '?' && isAlnum(pattern[i-1]) && isAlnum(pattern[i+1]) {
			return nil, errors.New(`a question mark makes what precedes it optional (write \? before a query)`)
		}
	}
	list, err := expand(pattern, false)
	if err != nil {
		return nil, err
	}
	var out []urlScope
	for _, e := range list {
		s, err := urlOf(e)
		if err != nil {
			return nil, err
		}
		if s.path == "" {
			return []urlScope{{}}, nil
		}
		out = append(out, s)
	}
	return out, nil
}

func urlOf(e string) (urlScope, error) {
	e = strings.TrimLeft(e, string(markBegin))
	body := strings.TrimRight(e, string(markEnd))
	open := strings.TrimRight(body, string(markAny))
	s := urlScope{path: open, exact: body != e && open == body}
	if !s.exact && (s.path == "" || s.path == "/") {
		return urlScope{}, nil
	}
	path, err := plainDots(s.path)
	switch {
	case err != nil:
		return urlScope{}, err
	case strings.ContainsAny(path, marks):
		return urlScope{}, errors.New("the regular expression fits what is in the middle of a URL (valid is the beginning of URLs, such as /path/.*, or one whole URL, such as ^/path$)")
	case !strings.HasPrefix(path, "/"):
		return urlScope{}, errors.New("the regular expression does not begin with the path (valid is one such as /path/.* or ^/path$)")
	}
	s.path = path
	return s, nil
}

// hostsOf returns the hosts that a pattern names; any where it fits all.
func hostsOf(pattern string) (hosts []string, any bool, err error) {
	list, err := expand(pattern, false)
	if err != nil {
		return nil, false, err
	}
	for _, e := range list {
		e = strings.TrimRight(strings.TrimLeft(e, string(markBegin)), string(markEnd))
		if e == string(markAny) {
			return nil, true, nil
		}
		host, err := plainDots(e)
		if err != nil {
			return nil, false, err
		}
		if host == "" || strings.ContainsAny(host, marks) {
			return nil, false, errors.New("the regular expression fits a part of a host (name each host, as in ^(a\\.example|b\\.example)$)")
		}
		hosts = append(hosts, strings.ToLower(host))
	}
	return hosts, false, nil
}
