package script

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// answerDirectives change the answer that is being described. The argument is the rest of the line.
var answerDirectives = map[string]func(*Answer, string) error{
	"status":         status,
	"status-line":    statusLine,
	"header":         header,
	"header-raw":     headerRaw,
	"header-fill":    headerFill,
	"header-many":    headerMany,
	"header-time":    headerTime,
	"interim":        interim,
	"interim-header": interimHeader,
	"body":           body,
	"text":           text,
	"framing":        framing,
	"trailer":        trailer,
	"surplus":        surplus,
	"conditional":    func(a *Answer, s string) error { a.Conditional = true; return noArguments(s) },
	"ranges":         func(a *Answer, s string) error { a.Ranges = true; return noArguments(s) },
	"close":          func(a *Answer, s string) error { a.Close = true; return noArguments(s) },
	"early":          func(a *Answer, s string) error { a.Early = true; return noArguments(s) },
	"delay":          delay,
	"stall":          stall,
	"cut":            func(a *Answer, s string) error { return end(a, ActCut, s) },
	"reset":          func(a *Answer, s string) error { return end(a, ActReset, s) },
	"pace":           pace,
}

// fillLimit bounds what header-fill and header-many make.
const fillLimit = 16 << 20

func status(a *Answer, s string) error {
	if statusCode("HTTP/1.1 "+s) < 200 {
		return errors.New("should be a final status and its reason, such as: status 200 OK (status-line takes any)")
	}
	a.StatusLine = "HTTP/1.1 " + s
	return nil
}

func statusLine(a *Answer, s string) error {
	line, err := parseText(s)
	if err == nil && line == "" {
		return errors.New("the status line is empty")
	}
	a.StatusLine = line
	return err
}

func header(a *Answer, s string) error {
	f, err := parseField(s)
	a.Fields = append(a.Fields, f)
	return err
}

func headerRaw(a *Answer, s string) error {
	line, err := parseText(s)
	a.Fields = append(a.Fields, Field{Value: line, Raw: true})
	return err
}

func headerFill(a *Answer, s string) error {
	name, size, _ := strings.Cut(s, " ")
	n, err := parseSize(strings.TrimSpace(size))
	if err != nil {
		return err
	}
	if n > fillLimit {
		return fmt.Errorf("%d bytes are above the limit of %d", n, fillLimit)
	}
	a.Fields = append(a.Fields, Field{Name: name, Value: strings.Repeat("x", int(n))})
	return checkName(name)
}

func headerMany(a *Answer, s string) error {
	name, count, _ := strings.Cut(s, " ")
	n, err := parseCount(strings.TrimSpace(count))
	if err != nil {
		return err
	}
	if n > 100_000 {
		return fmt.Errorf("%d fields are above the limit of 100000", n)
	}
	for i := range n {
		a.Fields = append(a.Fields, Field{Name: name + "-" + strconv.Itoa(i+1), Value: "x"})
	}
	return checkName(name)
}

func headerTime(a *Answer, s string) error {
	name, offset, _ := strings.Cut(s, " ")
	f := Field{Name: name, Time: true}
	if offset = strings.TrimSpace(offset); offset != "" {
		d, err := parseDuration(offset)
		if err != nil {
			return err
		}
		f.Offset = d
	}
	a.Fields = append(a.Fields, f)
	return checkName(name)
}

func interim(a *Answer, s string) error {
	if code := statusCode("HTTP/1.1 " + s); code < 100 || code > 199 {
		return errors.New("should be a 1xx status and its reason, such as: interim 103 Early Hints")
	}
	a.Interims = append(a.Interims, Interim{Status: s})
	return nil
}

func interimHeader(a *Answer, s string) error {
	if len(a.Interims) == 0 {
		return errors.New("stands before the first interim")
	}
	f, err := parseField(s)
	last := &a.Interims[len(a.Interims)-1]
	last.Fields = append(last.Fields, f)
	return err
}

func body(a *Answer, s string) error {
	w, err := splitWords(s)
	if err != nil {
		return err
	}
	if len(w)%2 == 0 {
		return errors.New("should be: body SIZE [of NAME] [version N]")
	}
	if a.Body.Size, err = parseSize(w[0].text); err != nil {
		return err
	}
	for i := 1; i < len(w); i += 2 {
		switch w[i].text {
		case "of":
			a.Body.Name = w[i+1].text
		case "version":
			if a.Body.Version, err = strconv.ParseUint(w[i+1].text, 10, 64); err != nil {
				return fmt.Errorf("%q is no version from 0 on", w[i+1].text)
			}
		default:
			return fmt.Errorf("%q should be of or version", w[i].text)
		}
	}
	return nil
}

func text(a *Answer, s string) (err error) {
	a.Body.Text, err = parseText(s)
	return err
}

func framing(a *Answer, s string) error {
	kind, size, hasSize := strings.Cut(s, " ")
	for f := FramingLength; f <= FramingNone; f++ {
		if f.String() != kind {
			continue
		}
		a.Framing = f
		if !hasSize {
			return nil
		}
		if f != FramingChunked {
			return fmt.Errorf("framing %s takes no size", kind)
		}
		n, err := parseSize(strings.TrimSpace(size))
		if err == nil && n == 0 {
			return errors.New("a chunk has at least 1 byte")
		}
		a.ChunkSize = n
		return err
	}
	return fmt.Errorf("%q should be length, chunked [SIZE], close or none", kind)
}

func trailer(a *Answer, s string) error {
	f, err := parseField(s)
	a.Trailers = append(a.Trailers, f)
	return err
}

func surplus(a *Answer, s string) (err error) {
	a.Surplus, err = parseText(s)
	return err
}

func delay(a *Answer, s string) error {
	w := strings.Fields(s)
	if len(w) == 0 {
		return errors.New("should be: delay DURATION [at WHERE]")
	}
	d, err := parseDuration(w[0])
	if err != nil {
		return err
	}
	e := Event{Action: ActDelay, For: d}
	return addEvent(a, e, w[1:])
}

func stall(a *Answer, s string) error {
	w := strings.Fields(s)
	if len(w) == 0 || w[0] == "at" {
		return errors.New("should be: stall NAME [at WHERE] [for DURATION]")
	}
	e := Event{Action: ActStall, Name: w[0]}
	if n := len(w); n >= 3 && w[n-2] == "for" {
		d, err := parseDuration(w[n-1])
		if err != nil {
			return err
		}
		if d <= 0 {
			return errors.New("a stall's limit must be above 0")
		}
		e.For = d
		w = w[:n-2]
	}
	return addEvent(a, e, w[1:])
}

func end(a *Answer, action Action, s string) error {
	return addEvent(a, Event{Action: action}, strings.Fields(s))
}

// addEvent reads [at WHERE] from w and appends e.
func addEvent(a *Answer, e Event, w []string) error {
	defer func() { a.Events = append(a.Events, e) }()
	if len(w) == 0 {
		return nil
	}
	if w[0] != "at" || len(w) < 2 {
		return fmt.Errorf("%q should be: at WHERE", strings.Join(w, " "))
	}
	where := w[1]
	w = w[2:]
	switch where {
	case "start":
		e.Point = AtStart
	case "final":
		e.Point = AtFinal
	case "head":
		e.Point = AtHead
	case "body":
		e.Point = AtBody
	case "end":
		e.Point = AtEnd
	case "upload":
		e.Point = AtUpload
		if len(w) == 0 {
			return errors.New("should be: at upload SIZE")
		}
		where, w = w[0], w[1:]
		fallthrough
	default:
		n, err := parseSize(where)
		if err != nil {
			return fmt.Errorf("%q is no place; valid are start, final, head, body, a size such as 64KiB, end, upload SIZE", where)
		}
		if e.Point != AtUpload {
			e.Point = AtBody
		}
		e.Offset = n
	}
	if len(w) > 0 {
		return fmt.Errorf("%q stands after the place", strings.Join(w, " "))
	}
	return nil
}

func pace(a *Answer, s string) (err error) {
	w := strings.Fields(s)
	if len(w) != 3 || w[1] != "every" {
		return errors.New("should be: pace SIZE every DURATION")
	}
	if a.PaceSize, err = parseSize(w[0]); err != nil {
		return err
	}
	a.PaceEvery, err = parseDuration(w[2])
	return err
}
