package configs

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	yamlLine   = regexp.MustCompile(`^line (\d+): `)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	bareStar   = regexp.MustCompile(`(?m)^[^#"'\n]*(?:[:,\[]|-) *(\*)`)
)

// syntaxHints say what most likely caused an error of the YAML parser, which
// tells what it expected in terms of its grammar. inParser: the line it gives
// counts from 0, and is where the block around the error begins, or the error.
var syntaxHints = []struct {
	text, valid string
	inParser    bool
}{
	{"mapping values are not allowed", `keys of one mapping at the same indentation, and quotes around a value that holds ": "`, false},
	{"cannot start any token", "quotes around a value that begins with @, % or `", false},
	{"unexpected end of stream", "a closing quote", false},
	{"expected alphabetic or numeric", "quotes around a value that begins with * or &", false},
	{"could not find expected ':'", `"key: value", with a space behind the colon`, false},
	{"expected ',' or ']'", `a closing "]"`, true},
	{"expected ',' or '}'", `a closing "}"`, true},
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
	if m := bareStar.FindSubmatchIndex(data); m != nil && strings.Contains(text, "alphabetic or numeric") {
		d.add(&d.faults, placeOf(data, m[2]), "quotes around it", star)
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
