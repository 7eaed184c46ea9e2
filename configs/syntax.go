package configs

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	yamlLine   = regexp.MustCompile(`^line (\d+): `)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)

	// A value that begins with a character of YAML's own; (1) is that character.
	bareStart = regexp.MustCompile(`^[^#"'\n]*?(?:[:,\[{] *|- +)([*&@%` + "`" + `!])`)
	// A key without a space behind its colon; (1) is the key, (2) the value.
	bareColon = regexp.MustCompile(`^ *(?:- +)?([a-z_]+):([^\s:].*)$`)
	// An item without a space behind its dash.
	bareDash = regexp.MustCompile(`^ *(-)[a-z_]+: `)
	// A backslash in double quotes that begins no escape of YAML; (1) is it.
	badEscape = regexp.MustCompile(`"(?:[^"\\]|\\[0abtnvfre "/\\N_LPxuU])*?(\\)[^0abtnvfre "/\\N_LPxuU]`)
)

// slip is a common mistake that YAML's parser has no clear words for.
type slip struct {
	// errors are the parser's words for it, any of them.
	errors []string
	// find returns where in a line it is, and what to say; ok is false when it is
	// not there.
	find func(line string) (column int, message, valid string, ok bool)
}

// slips are looked for in the lines around the one that the parser names, in
// this order.
var slips = []slip{
	{[]string{"unknown escape", "hexdecimal", "expected escape"}, func(line string) (int, string, string, bool) {
		m := badEscape.FindStringSubmatchIndex(line)
		if m == nil {
			return 0, "", "", false
		}
		return m[2], "a backslash in double quotes begins an escape sequence, and " + quote(line[m[2]:min(m[2]+2, len(line))]) + " is none",
			"single quotes, in which a backslash is itself: '...'", true
	}},
	{[]string{"cannot start any token", "alphabetic or numeric", "whitespace or line break", "did not find URI", "tag"}, func(line string) (int, string, string, bool) {
		m := bareStart.FindStringSubmatchIndex(line)
		if m == nil {
			return 0, "", "", false
		}
		return m[2], "a value that begins with " + quote(line[m[2]:m[3]]) + " needs quotes", "quotes around it", true
	}},
	{[]string{"could not find expected ':'", "mapping values are not allowed", "expected key", "expected '-'"}, func(line string) (int, string, string, bool) {
		if m := bareDash.FindStringSubmatchIndex(line); m != nil {
			return m[2], "a space is missing behind the dash", `"- " before each item of a list`, true
		}
		m := bareColon.FindStringSubmatchIndex(line)
		if m == nil || !schemaHas(line[m[2]:m[3]]) {
			return 0, "", "", false
		}
		return m[2], "a space is missing behind the colon of " + quote(line[m[2]:m[3]]), cut(line[m[2]:m[3]] + ": " + line[m[4]:m[5]]), true
	}},
	{[]string{"cannot start any token"}, func(line string) (int, string, string, bool) {
		i := strings.IndexByte(line, '\t')
		return i, "there is a tab", "spaces", i >= 0
	}},
}

// schemaHas reports whether some key of the schema has this name.
func schemaHas(name string) bool {
	d := &decoder{schema: make(map[string]bool)}
	top := value{d: d}
	d.config(&Config{}, top.object(""))
	return len(d.homes(name)) > 0
}

// findSlip looks for what caused an error of the parser that is about a line.
func findSlip(data []byte, line int, text string) (at place, message, valid string, ok bool) {
	lines := strings.Split(string(data), "\n")
	for _, s := range slips {
		if !slices.ContainsFunc(s.errors, func(e string) bool { return strings.Contains(text, e) }) {
			continue
		}
		// The parser names the line that it was at, or the one before.
		for _, n := range []int{line, line + 1, line - 1} {
			if n < 1 || n > len(lines) {
				continue
			}
			if column, message, valid, ok := s.find(lines[n-1]); ok {
				return place{n, 1 + utf8.RuneCountInString(lines[n-1][:column])}, message, valid, true
			}
		}
	}
	return place{}, "", "", false
}

// syntaxHints say what most likely caused an error of the YAML parser, which
// tells what it expected in terms of its grammar. inParser: the line it gives
// counts from 0, and is where the block around the error begins, or the error.
var syntaxHints = []struct {
	text, valid string
	inParser    bool
}{
	{"mapping values are not allowed", `keys of one mapping at the same indentation, and quotes around a value that holds ": "`, false},
	{"cannot start any token", "quotes around a value that begins with @, % or `", false},
	{"escape", "single quotes, in which a backslash is itself", false},
	{"unexpected end of stream", "a closing quote", false},
	{"expected alphabetic or numeric", "quotes around a value that begins with * or &", false},
	{"could not find expected ':'", `"key: value", with a space behind the colon`, false},
	{"expected ',' or ']'", `a closing "]", and quotes around a value that holds brackets, braces or ": "`, true},
	{"expected ',' or '}'", `a closing "}", and quotes around a value that holds brackets, braces or ": "`, true},
	{"expected <document start>", "every key of the top level at the same indentation", true},
	{"expected key", "keys of one mapping at the same indentation, and nothing behind a closing quote or bracket", true},
	{"expected '-' indicator", `items of one list at the same indentation, each with "- "`, true},
	{"did not find", "YAML", true},
}

// syntax reports an error of the YAML parser, which ends the reading of a file.
func (d *decoder) syntax(data []byte, err error) {
	if errors.Is(err, io.EOF) {
		d.add(&d.faults, place{1, 1}, validFile, "the file is empty")
		return
	}
	if at, found := tabIndent(data); found {
		d.add(&d.faults, at, "spaces", "there is a tab in the indentation")
		return
	}
	const star = `a value that begins with "*" needs quotes`
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlAnchor.FindStringSubmatch(text); m != nil {
		d.add(&d.faults, find(data, "*"+m[1]), "an anchor &"+cut(m[1])+" further up, or quotes",
			"the alias *"+cut(m[1])+" has no anchor; "+star)
		return
	}
	at := place{1, 1}
	m := yamlLine.FindStringSubmatch(text)
	numbered := m != nil
	if numbered {
		at.line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	valid := "YAML"
	for _, hint := range syntaxHints {
		if strings.Contains(text, hint.text) {
			valid = hint.valid
			if hint.inParser && numbered {
				at.line++
			}
			break
		}
	}
	if where, message, valid, ok := findSlip(data, at.line, text); ok {
		d.add(&d.faults, where, valid, message)
		return
	}
	// An end that came too soon is reported behind the last line.
	at.line = min(at.line, 1+bytes.Count(bytes.TrimRight(data, "\n"), []byte("\n")))
	d.add(&d.faults, at, valid, "this cannot be read as YAML from here on: "+text)
}

// tabIndent finds the commonest slip, for which the YAML parser has no clear
// words.
func tabIndent(data []byte) (place, bool) {
	line := 0
	for text := range bytes.Lines(data) {
		line++
		indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
		if i := bytes.IndexByte(indent, '\t'); i >= 0 && len(bytes.TrimSpace(text)) > 0 {
			return place{line, i + 1}, true
		}
	}
	return place{}, false
}

// find returns where text first stands in data, or the beginning.
func find(data []byte, text string) place {
	return placeOf(data, max(0, bytes.Index(data, []byte(text))))
}

// placeOf returns the place of a byte of data.
func placeOf(data []byte, offset int) place {
	before := data[:offset]
	lastLine := before[bytes.LastIndexByte(before, '\n')+1:]
	return place{1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(lastLine)}
}
