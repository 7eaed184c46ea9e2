package configs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// maxValues bounds the values looked at in one file. A file of the largest
// size holds fewer; only aliases of aliases reach it.
const maxValues = 100_000

// decoder collects the faults of one file.
type decoder struct {
	file     string
	faults   Faults
	warnings Faults
	files    []fileRef
	// values counts what was looked at; full: more than the file may have, and
	// from then on whatever seems to be missing is not.
	values int
	full   bool
	// places are those of the policies and of what they hold.
	places map[string]place
	// suggestions counts the calls of didYouMean.
	suggestions int
	unknown     []unknownKey
	// schema holds the general path of every key that was asked for, such as
	// policies[].ttl.default, whether or not the file gives it.
	schema map[string]bool
}

// place is a position in the file, counted from 1.
type place struct{ line, column int }

// value is what the file gives for one key or list item, or its absence.
// Methods that read it as something report a fault when it is something else,
// and then return the fallback, so that decoding goes on.
type value struct {
	d *decoder
	// y is nil when the file gives nothing; never an alias.
	y *yaml.Node
	// at is where the value stands (the alias, not what it stands for), and
	// head the key that it belongs to.
	at, head place
	// required: leaving the key out is no remedy.
	required bool
	// path is how faults call it (policies[1].ttl), shape the same with
	// indexes and free names taken out (policies[].ttl).
	path, shape string
}

// fault reports what is wrong with the value, and what would be valid.
func (v value) fault(valid, format string, args ...any) {
	v.d.add(&v.d.faults, v.at, valid, v.named(fmt.Sprintf(format, args...)))
}

// warn reports what is valid and yet hardly meant.
func (v value) warn(format string, args ...any) {
	v.d.add(&v.d.warnings, v.at, "", v.named(fmt.Sprintf(format, args...)))
}

// advise is warn with what would say clearly what is meant.
func (v value) advise(valid, format string, args ...any) {
	v.d.add(&v.d.warnings, v.at, valid, v.named(fmt.Sprintf(format, args...)))
}

// missing reports that a key of this value is not there.
func (v value) missing(key, valid string) {
	v.d.add(&v.d.faults, v.head, valid, v.named(quote(key)+" is missing"))
}

func (v value) named(message string) string {
	if v.path == "" {
		return message
	}
	return v.path + ": " + message
}

func (d *decoder) add(to *Faults, at place, valid, message string) {
	if d.full {
		return
	}
	*to = append(*to, Fault{File: d.file, Line: at.line, Column: at.column, Message: message, Valid: valid})
}

// placed is v without its file, so that a Config does not hold on to it.
func (v value) placed() value {
	v.d, v.y = nil, nil
	return v
}

// given reports whether the file has this value.
func (v value) given() bool { return v.y != nil }

// child makes the value of a node below v. Once the file's budget is used up
// every further value reads as left out.
func (v value) child(y *yaml.Node, head place, path, shape string) value {
	c := value{d: v.d, y: y, at: place{y.Line, y.Column}, head: head, path: path, shape: shape}
	if head == (place{}) {
		c.head = c.at
	}
	v.d.values++
	if v.d.values > maxValues {
		c.fault("fewer aliases", "the file holds more than %d values when its aliases are written out", maxValues)
		v.d.full = true
		c.y = nil
		return c
	}
	if strings.HasPrefix(path, "policies[") {
		v.d.notePlace(path, c.at)
	}
	if y.Kind == yaml.AliasNode {
		c.y = y.Alias
	}
	if c.y.Style&yaml.TaggedStyle != 0 {
		c.fault("the value without a tag", "the YAML tag %s means nothing here", cut(c.y.Tag))
	}
	return c
}

// notePlace remembers where a value stands. The first is the value itself; the
// keys of a mapping come later under its path.
func (d *decoder) notePlace(path string, at place) {
	if d.places == nil {
		d.places = make(map[string]place)
	}
	if _, known := d.places[path]; !known {
		d.places[path] = at
	}
}

// isNull reports whether a key stands there with nothing behind it.
func (v value) isNull() bool { return v.given() && v.y.Kind == yaml.ScalarNode && v.y.Tag == "!!null" }

// orNothing adds to what would be valid that the key need not be there.
func (v value) orNothing(valid string) string {
	if v.required {
		return valid
	}
	return valid + "; or leave the key out"
}

// scalar reads one plain value as the text that stands in the file.
func (v value) scalar(valid string) (string, bool) {
	switch {
	case !v.given():
		return "", false
	case v.isNull():
		v.noValue(valid)
		return "", false
	case template(v.y) != "":
		v.fault(validVariable, "%s is a variable", quote(template(v.y)))
		return "", false
	case v.y.Kind != yaml.ScalarNode:
		v.fault(valid, "this is %s", kindOf(v.y))
		return "", false
	case v.y.Value == "":
		v.fault(v.orNothing(valid), "this is empty")
		return "", false
	}
	return v.y.Value, true
}

// noValue reports a key with nothing behind it, or with what YAML takes for a
// name of nothing.
func (v value) noValue(valid string) {
	if v.y.Anchor != "" {
		v.fault("quotes around a value that begins with &", "%s is an anchor of YAML without a value", quote("&"+v.y.Anchor))
		return
	}
	v.fault(v.orNothing(valid), "there is no value")
}

// text is the text of a plain value that was read before, or "".
func (v value) text() string {
	if !v.given() || v.y.Kind != yaml.ScalarNode {
		return ""
	}
	return v.y.Value
}

// kindOf calls a node what its writer would.
func kindOf(y *yaml.Node) string {
	switch y.Kind {
	case yaml.MappingNode:
		return "a mapping (key: value)"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return quote(y.Value)
	}
	return "not a value"
}

// checker returns a value in its canonical form, or what is wrong with it as
// the end of a sentence that begins with the quoted value.
type checker func(string) (clean string, problem string)

// str reads one value through a checker.
func (v value) str(fallback, valid string, check checker) string {
	s, ok := v.scalar(valid)
	if !ok {
		return fallback
	}
	clean, problem := check(s)
	if problem != "" {
		v.fault(valid, "%s %s", quote(s), problem)
		return fallback
	}
	return clean
}

// choice reads one of a few words and returns its index.
func (v value) choice(fallback int, words ...string) int {
	s, ok := v.scalar("one of " + strings.Join(words, ", "))
	if !ok {
		return fallback
	}
	if i := slices.Index(words, s); i >= 0 {
		return i
	}
	v.fault(strings.Join(words, ", "), "%s is not a choice%s", quote(s), v.d.didYouMean(s, words))
	return fallback
}

// boolean reads true or false.
func (v value) boolean(fallback bool) bool {
	s, ok := v.scalar("true or false")
	if !ok {
		return fallback
	}
	if s != "true" && s != "false" {
		v.fault("true or false", "%s is neither true nor false%s", quote(s), switchHint(s))
		return fallback
	}
	return s == "true"
}

// integer reads a whole number from low to high.
func (v value) integer(fallback, low, high int) int {
	valid := fmt.Sprintf("a whole number from %d to %d", low, high)
	s, ok := v.scalar(valid)
	if !ok {
		return fallback
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		v.fault(valid, "%s is not a whole number%s", quote(s), integerHint(s))
	case len(s) > 1 && s[0] == '0':
		// YAML 1.1 reads it as octal.
		v.fault(valid, "%s begins with 0%s", quote(s), integerHint(s))
	case n < low:
		v.fault(valid, "%d is too small", n)
	case n > high:
		v.fault(valid, "%d is too large", n)
	default:
		return n
	}
	return fallback
}

// size reads bytes from low to high.
func (v value) size(fallback, low, high int64) int64 { return v.sizeOr("", fallback, low, high) }

// sizeOr is size where other words are valid too, as or says.
func (v value) sizeOr(or string, fallback, low, high int64) int64 {
	s, ok := v.scalar(or + validSize)
	if !ok {
		return fallback
	}
	n, err := ParseSize(s)
	bounds := or + formatSize(low) + " to " + formatSize(high)
	switch {
	case err != nil:
		v.fault(or+validSize, "%s %v", quote(s), err)
	case n < low:
		v.fault(bounds, "%s is too small", cut(s))
	case n > high:
		v.fault(bounds, "%s is too large", cut(s))
	default:
		return n
	}
	return fallback
}

// duration reads a time span from low to high.
func (v value) duration(fallback, low, high time.Duration) time.Duration {
	s, ok := v.scalar(validDuration)
	if !ok {
		return fallback
	}
	d, err := ParseDuration(s)
	bounds := formatDuration(low) + " to " + formatDuration(high)
	switch {
	case err != nil:
		v.fault(validDuration, "%s %v%s", quote(s), err, durationHint(s))
	case d < low:
		v.fault(bounds, "%s is too short", cut(s))
	case d > high:
		v.fault(bounds, "%s is too long", cut(s))
	default:
		return d
	}
	return fallback
}

// list reads the items of a list, which may be empty.
func (v value) list(valid string) []value {
	switch {
	case !v.given():
		return nil
	case v.isNull():
		v.noValue(valid)
		return nil
	case v.y.Kind == yaml.ScalarNode:
		v.fault(valid+"; in brackets when it is one: ["+quote(v.y.Value)+"]", "this is %s", kindOf(v.y))
		return nil
	case v.y.Kind != yaml.SequenceNode:
		v.fault(valid, "this is %s", kindOf(v.y))
		return nil
	}
	items := make([]value, 0, len(v.y.Content))
	for i, y := range v.y.Content {
		item := v.child(y, place{}, fmt.Sprintf("%s[%d]", v.path, i), v.shape+"[]")
		if !item.given() {
			break
		}
		items = append(items, item)
	}
	return items
}

// oneOrMany reads a list, or one value as a list of one.
func (v value) oneOrMany(valid string) []value {
	if v.given() && !v.isNull() && v.y.Kind != yaml.SequenceNode {
		return []value{v}
	}
	items := v.list(valid)
	if v.given() && !v.isNull() && len(items) == 0 {
		v.fault(valid, "this is an empty list")
	}
	return items
}

// words reads items through a checker; an item given twice is a fault.
func words(items []value, valid string, check checker) []string {
	seen := make(map[string]place, len(items))
	out := make([]string, 0, len(items))
	for _, item := range items {
		s := item.str("", valid, check)
		if s == "" {
			continue
		}
		if first, twice := seen[s]; twice {
			item.fault("each one once", "%s is listed twice, first on line %d", quote(s), first.line)
			continue
		}
		seen[s] = item.at
		out = append(out, s)
	}
	return out
}

// quote puts a value from the file between quotes, escaped and cut so that a
// message stays one readable line.
func quote(s string) string { return strconv.Quote(cut(s)) }

// cut shortens what may be of any length.
func cut(s string) string {
	const longest = 80
	n := 0
	for i := range s {
		if n++; n > longest {
			return s[:i] + "..."
		}
	}
	return s
}
