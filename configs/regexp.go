package configs

import (
	"regexp"
	"slices"
	"strings"
)

// regexpSigns are parts that only a regular expression has. None of them fits a
// request as the text that it is, so that a glob which holds one is a fault.
var regexpSigns = regexp.MustCompile(`^\^|^~` + // anchored, or as nginx marks it
	`|\\` + // an escape
	`|\(\?|\([^()]*\|[^()]*\)` + // a group, or alternatives
	`|\[\^|\[(?:[A-Za-z0-9]-[A-Za-z0-9])+[A-Za-z0-9_.-]*\]` + // a class of characters
	`|\.\+|\.\*\?|\.\*\$$|^\.\*` + // any characters
	`|[)\]][*+?{]|\{[0-9]+(?:,[0-9]*)?\}`) // a repetition

// doubtfulSigns are parts that a regular expression or a route has and a glob
// hardly ever: a dot for any character behind something that no name has before a
// suffix, the end, alternatives without a group, and the name of a part.
var doubtfulSigns = regexp.MustCompile(`[^*A-Za-z0-9]\.\*|.\$$|\||/:[A-Za-z]`)

// routeParameter is a part of a path that stands for any, as routers of
// applications write it.
var routeParameter = regexp.MustCompile(`/:[A-Za-z_]+`)

// repetition is how often a part comes.
var repetition = regexp.MustCompile(`^\{[0-9]+(?:,[0-9]*)?\}`)

// nginxMark is what nginx puts before a regular expression.
var nginxMark = regexp.MustCompile(`^~\*? *`)

// parameterSigns are doubtful in names of parameters, which have no suffixes.
var parameterSigns = regexp.MustCompile(`[^*]\.\*|.\$$|\|`)

// isRegexp reports whether a pattern can only be a regular expression.
func isRegexp(s string) bool { return regexpSigns.MatchString(s) }

// regexpProblem is what a checker says of a regular expression in place of a
// glob; glob makes the whole text from a part, and check accepts what is valid.
func regexpProblem(s string, check checker, wrap func(glob string, anchored, ended bool) string) string {
	return "is a regular expression, and patterns are globs" + globHint(s, check, wrap)
}

// globHint suggests the globs that say the same as a simple regular expression,
// or returns "".
func globHint(s string, check checker, wrap func(glob string, anchored, ended bool) string) string {
	globs := globsOf(s, wrap)
	for _, g := range globs {
		if _, problem := check(g); g == "" || g == s || problem != "" {
			return ""
		}
	}
	quoted := make([]string, len(globs))
	for i, g := range globs {
		quoted[i] = quote(g)
	}
	switch len(globs) {
	case 0:
		return ""
	case 1:
		return "; did you mean " + quoted[0] + "?"
	}
	return "; did you mean [" + strings.Join(quoted, ", ") + "]?"
}

// How a glob stands for an expression without an anchor at its end: a regular
// expression looks anywhere in a text, a glob fits the whole of it.
func wrapPath(glob string, anchored, ended bool) string {
	if !anchored && !strings.HasPrefix(glob, "/") {
		glob = "*" + glob
	}
	if anchored && !ended {
		glob += "*"
	}
	return glob
}

func wrapHost(glob string, _, _ bool) string {
	if strings.HasSuffix(glob, ".") {
		return "" // the beginning of a name: no glob of a host says that
	}
	return glob
}

func wrapName(glob string, anchored, ended bool) string {
	if anchored && !ended {
		glob += "*"
	}
	return glob
}

func wrapValue(glob string, anchored, ended bool) string {
	if !anchored {
		glob = "*" + glob
	}
	if !ended {
		glob += "*"
	}
	return glob
}

// maxGlobs bounds the globs that one expression is written out as.
const maxGlobs = 8

// globsOf writes a simple regular expression out as globs, each of which wrap
// completes; nil when there are none or too many.
func globsOf(s string, wrap func(glob string, anchored, ended bool) string) []string {
	if len(s) > maxWord {
		return nil
	}
	s = routeParameter.ReplaceAllLiteralString(nginxMark.ReplaceAllLiteralString(s, ""), "/*")
	s, anchored := strings.CutPrefix(s, "^")
	s, ended := strings.CutSuffix(s, "$")
	list, rest := alternatives(s, 0)
	if rest != "" || len(list) > maxGlobs {
		return nil
	}
	var globs []string
	for _, g := range list {
		g = wrap(g, anchored, ended)
		for strings.Contains(g, "**") {
			g = strings.ReplaceAll(g, "**", "*")
		}
		if !slices.Contains(globs, g) {
			globs = append(globs, g)
		}
	}
	return globs
}

// alternatives reads a | b | ... up to the end or to a closing parenthesis, and
// returns what is left from there on.
func alternatives(s string, depth int) (list []string, rest string) {
	for {
		var branch []string
		branch, s = sequence(s, depth)
		list = append(list, branch...)
		after, more := strings.CutPrefix(s, "|")
		if !more || len(list) > maxGlobs {
			return list, s
		}
		s = after
	}
}

// sequence reads one alternative.
func sequence(s string, depth int) (list []string, rest string) {
	list = []string{""}
	for s != "" && s[0] != '|' && s[0] != ')' && len(list) <= maxGlobs {
		part := []string{s[:1]}
		wild := false
		switch s[0] {
		case '\\':
			if len(s) < 2 {
				return list, s
			}
			part[0], s = s[1:2], s[2:]
			wild = strings.Contains("dDwWsS", part[0])
		case '.':
			s = s[1:]
			wild = s != "" && strings.IndexByte("*+?", s[0]) >= 0 || repetition.MatchString(s)
		case '[':
			end := strings.IndexByte(s, ']')
			if end < 0 {
				return list, s
			}
			s, wild = s[end+1:], true
		case '{':
			// A shell's alternatives: {css,js}.
			inner, after, found := strings.Cut(s[1:], "}")
			if !found {
				return list, s
			}
			part, s, wild = strings.Split(inner, ","), after, !strings.Contains(inner, ",")
		case '(':
			if depth > 3 {
				return list, s
			}
			inner := strings.TrimPrefix(s[1:], "?:")
			part, s = alternatives(inner, depth+1)
			if !strings.HasPrefix(s, ")") {
				return nil, s
			}
			s = s[1:]
		default:
			s = s[1:]
		}
		part, s = repeated(part, s, wild)
		list = product(list, part)
	}
	return list, s
}

// repeated applies what says how often a part comes. As in a glob, "*" behind a
// plain character stands for any characters.
func repeated(part []string, s string, wild bool) ([]string, string) {
	if wild {
		part = []string{"*"}
	}
	if s == "" {
		return part, s
	}
	switch s[0] {
	case '?':
		if !wild {
			part = append(slices.Clone(part), "")
		}
		return part, s[1:]
	case '*', '+':
		if len(part) == 1 && !wild {
			part = []string{part[0] + "*"}
		} else {
			part = []string{"*"}
		}
		return part, strings.TrimPrefix(s[1:], "?")
	}
	if m := repetition.FindString(s); m != "" {
		return repeated(part, "+"+s[len(m):], wild)
	}
	return part, s
}

func product(a, b []string) []string {
	var all []string
	for _, x := range a {
		for _, y := range b {
			if all = append(all, x+y); len(all) > maxGlobs {
				return all
			}
		}
	}
	return all
}

// warnRegexps warns of patterns that are valid globs and yet were hardly meant
// as such.
func warnRegexps(items []value, signs *regexp.Regexp, check checker, wrap func(glob string, anchored, ended bool) string) {
	for _, item := range items {
		s := item.text()
		if s == "" {
			continue
		}
		if _, problem := check(s); problem == "" && (signs.MatchString(s) || isRegexp(s)) {
			item.warn(`%s is read as a glob: "*" is any characters, and all others, "." among them, are themselves%s`,
				quote(s), globHint(s, check, wrap))
		}
	}
}
