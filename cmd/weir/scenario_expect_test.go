package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"
	"github.com/rogpeppe/go-internal/testscript"

	"weir/policy"
)

const expectUsage = `expect CLIENT WHAT, where WHAT is
	status RE                    the whole status code matches
	interim N                    an interim response of that status came before
	header NAME [RE]             the field is there, and its lines joined with ", " match
	head RE                      the head as it came matches
	text RE                      the whole body matches; text= TEXT: it is TEXT
	body SIZE [of NAME] [version N] [from OFFSET]   the whole body is that selfcheck content
	length SIZE                  what Content-Length says
	got SIZE                     so much of the body has arrived while it goes on
	broken                       the body breaks off, and the client can tell
	closed                       the connection ends, in good order, after this response
	nothing                      the connection ends without a response
	age MIN MAX                  Age is there and between the two
	cache [NAME | -NAME | NAME=RE | ttl>N | ttl<N]...   weir's member of Cache-Status, whose grammar is checked too`

func cmdExpect(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: %s", expectUsage)
	}
	c := clientOf(ts, args[0])
	check := checks[args[1]]
	if check == nil {
		ts.Fatalf("usage: %s", expectUsage)
	}
	err := check(c, args[2:])
	if errors.Is(err, errUsage) {
		ts.Fatalf("usage: %s", expectUsage)
	}
	if neg && (err == nil || errors.Is(err, errNone)) {
		ts.Fatalf("%s: expected the opposite (%v)", args[0], err)
	}
	if !neg && err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

var (
	errUsage = errors.New("usage")
	errNone  = errors.New("no response came")
)

var checks = map[string]func(c *client, args []string) error{
	"status": expectStatus, "interim": expectInterim, "header": expectHeader, "head": expectHead,
	"text": expectText, "text=": expectExactText, "body": expectBody, "length": expectLength, "got": expectGot,
	"broken": expectBroken, "closed": expectClosed, "nothing": expectNothing, "age": expectAge, "cache": expectCache,
}

// final waits for the response that is looked at. Its immutable part may be
// read without the lock.
func (c *client) final() (*response, error) {
	var found *response
	find := func() bool {
		n := c.at
		for _, r := range c.responses {
			if r.status < 200 {
				continue
			}
			if n == 0 {
				found = r
				return true
			}
			n--
		}
		return false
	}
	c.await(func() bool { return find() || c.ended })
	if found == nil {
		return nil, errNone
	}
	return found, nil
}

// whole waits for the response to end.
func (c *client) whole() (*response, error) {
	r, err := c.final()
	if err == nil && !c.await(func() bool { return r.ended }) {
		err = errors.New("the body does not end")
	}
	return r, err
}

func expectStatus(c *client, args []string) error {
	r, err := c.final()
	if err == nil && len(args) == 1 && !regexp.MustCompile("^(?:"+args[0]+")$").MatchString(strconv.Itoa(r.status)) {
		err = fmt.Errorf("status %d, want %s", r.status, args[0])
	}
	return err
}

func expectInterim(c *client, args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	if !c.await(func() bool {
		for _, r := range c.responses {
			if strconv.Itoa(r.status) == args[0] {
				return true
			}
		}
		return c.ended
	}) {
		return errNone
	}
	for _, r := range c.responses {
		if strconv.Itoa(r.status) == args[0] {
			return nil
		}
	}
	return fmt.Errorf("no interim response %s", args[0])
}

func expectHeader(c *client, args []string) error {
	r, err := c.final()
	if err != nil || len(args) == 0 || len(args) > 2 {
		return errors.Join(err, badUsage(err == nil))
	}
	values := r.header.Values(args[0])
	if len(values) == 0 {
		return fmt.Errorf("there is no %s", args[0])
	}
	if len(args) == 2 && !regexp.MustCompile(args[1]).MatchString(strings.Join(values, ", ")) {
		return fmt.Errorf("%s is %q, want %s", args[0], values, args[1])
	}
	return nil
}

func badUsage(bad bool) error {
	if bad {
		return errUsage
	}
	return nil
}

func expectHead(c *client, args []string) error {
	r, err := c.final()
	if err == nil && !regexp.MustCompile(args[0]).MatchString(r.head) {
		err = fmt.Errorf("the head does not match %s", args[0])
	}
	return err
}

func expectText(c *client, args []string) error {
	r, err := c.whole()
	if err == nil && (r.err != nil || !regexp.MustCompile(args[0]).Match(r.kept)) {
		err = fmt.Errorf("the body does not match %s (it ended with: %w)", args[0], r.err)
	}
	return err
}

func expectExactText(c *client, args []string) error {
	r, err := c.whole()
	if err == nil && (r.err != nil || string(r.kept) != args[0]) {
		err = fmt.Errorf("the body is not %q (it ended with: %w)", args[0], r.err)
	}
	return err
}

func expectBody(c *client, args []string) error {
	if len(args)%2 == 0 {
		return errUsage
	}
	r, err := c.whole()
	if err != nil {
		return err
	}
	size, err := parseByteSize(args[0])
	if err != nil {
		return err
	}
	name, version, off := c.name, uint64(0), r.off
	for i := 1; i < len(args); i += 2 {
		switch args[i] {
		case "of":
			name = args[i+1]
		case "version":
			version, err = strconv.ParseUint(args[i+1], 10, 64)
		case "from":
			off, err = parseByteSize(args[i+1])
		default:
			err = errUsage
		}
		if err != nil {
			return err
		}
	}
	if err := r.bodyFault(name, c.name, version, off, size); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

func expectLength(c *client, args []string) error {
	r, err := c.final()
	if err != nil {
		return err
	}
	want, err := parseByteSize(args[0])
	if err == nil && r.length != want {
		err = fmt.Errorf("Content-Length says %d, want %d", r.length, want)
	}
	return err
}

func expectGot(c *client, args []string) error {
	r, err := c.final()
	if err != nil {
		return err
	}
	want, err := parseByteSize(args[0])
	if err != nil {
		return err
	}
	c.await(func() bool { return r.got >= want || r.ended })
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.got < want || r.ended {
		return fmt.Errorf("%d bytes arrived (ended: %v), want %d and more to come", r.got, r.ended, want)
	}
	return nil
}

func expectBroken(c *client, _ []string) error {
	r, err := c.whole()
	if err == nil && r.err == nil {
		err = errors.New("the body ended as if it were complete")
	}
	return err
}

func expectClosed(c *client, _ []string) error {
	if _, err := c.whole(); err != nil {
		return err
	}
	if !c.await(func() bool { return c.ended }) {
		return errors.New("the connection stays open")
	}
	if c.err != io.EOF {
		return fmt.Errorf("the connection ended with: %w", c.err)
	}
	return nil
}

func expectNothing(c *client, _ []string) error {
	if !c.await(func() bool { return c.ended || len(c.responses) > 0 }) {
		return errors.New("the connection stays open")
	}
	if len(c.responses) > 0 {
		return errors.New("a response came")
	}
	return nil
}

func expectAge(c *client, args []string) error {
	if len(args) != 2 {
		return errUsage
	}
	r, err := c.final()
	if err != nil {
		return err
	}
	least, err1 := strconv.Atoi(args[0])
	most, err2 := strconv.Atoi(args[1])
	age, err := strconv.Atoi(r.header.Get("Age"))
	if err := errors.Join(err1, err2, err); err != nil {
		return err
	}
	if len(r.header.Values("Age")) != 1 || age < least || age > most {
		return fmt.Errorf("Age is %q, want one between %d and %d", r.header.Values("Age"), least, most)
	}
	return nil
}

// expectCache reads Cache-Status (RFC 9211) with a parser that weir does not
// use, and compares weir's own member, the last one.
func expectCache(c *client, args []string) error {
	r, err := c.final()
	if err != nil {
		return err
	}
	members, err := httpsfv.UnmarshalList(r.header.Values("Cache-Status"))
	if err != nil || len(members) == 0 {
		return fmt.Errorf("Cache-Status %q is no list (RFC 9211 section 2): %w", r.header.Values("Cache-Status"), err)
	}
	item, ok := members[len(members)-1].(httpsfv.Item)
	if !ok || item.Value != httpsfv.Token("weir") {
		return fmt.Errorf("the last member of Cache-Status is %v, want the token weir", members[len(members)-1])
	}
	if err := cacheGrammar(item.Params); err != nil {
		return err
	}
	for _, want := range args {
		if !cacheHas(item.Params, want) {
			return fmt.Errorf("Cache-Status %q does not fulfil %q", r.header.Values("Cache-Status"), want)
		}
	}
	return nil
}

// fwdReasons are the values that RFC 9211 section 2.2 registers, and those of
// its registry that are of use to a shared cache.
var fwdReasons = map[string]bool{
	"bypass": true, "method": true, "uri-miss": true, "vary-miss": true, "miss": true, "request": true, "stale": true, "partial": true,
}

// cacheGrammar checks names, types and closed lists of the parameters.
func cacheGrammar(p *httpsfv.Params) error {
	for _, name := range p.Names() {
		v, _ := p.Get(name)
		ok := false
		switch name {
		case "hit", "stored", "collapsed":
			ok = v == true
		case "fwd":
			token, isToken := v.(httpsfv.Token)
			ok = isToken && fwdReasons[string(token)]
		case "fwd-status", "ttl":
			_, ok = v.(int64)
		case "key":
			_, ok = v.(string)
		case "detail":
			token, isToken := v.(httpsfv.Token)
			ok = isToken && knownDetail(string(token))
		}
		if !ok {
			return fmt.Errorf("Cache-Status parameter %s=%v is unknown, of the wrong type or not in its list", name, v)
		}
	}
	_, hit := p.Get("hit")
	_, fwd := p.Get("fwd")
	_, stored := p.Get("stored")
	_, status := p.Get("fwd-status")
	if hit && (fwd || stored || status) {
		return errors.New("Cache-Status says hit and that the request was forwarded (RFC 9211 section 2.1)")
	}
	return nil
}

// knownDetail: the closed list is the tiers, the reasons and stale-if-error.
func knownDetail(d string) bool {
	for r := policy.ReasonNone + 1; r < policy.Reasons; r++ {
		if d == r.String() {
			return true
		}
	}
	return d == policy.TierRAM.String() || d == policy.TierDisk.String() || d == policy.TierOrigin.String() || d == "stale-if-error"
}

// cacheHas tells whether the parameters fulfil NAME, -NAME, NAME=RE, ttl>N or
// ttl<N.
func cacheHas(p *httpsfv.Params, want string) bool {
	if name, absent := strings.CutPrefix(want, "-"); absent {
		_, there := p.Get(name)
		return !there
	}
	i := strings.IndexAny(want, "=<>")
	if i < 0 {
		_, there := p.Get(want)
		return there
	}
	v, there := p.Get(want[:i])
	if !there {
		return false
	}
	if want[i] == '=' {
		return regexp.MustCompile("^(?:" + want[i+1:] + ")$").MatchString(fmt.Sprint(v))
	}
	got, isInt := v.(int64)
	bound, err := strconv.ParseInt(want[i+1:], 10, 64)
	return isInt && err == nil && (want[i] == '<' && got < bound || want[i] == '>' && got > bound)
}
