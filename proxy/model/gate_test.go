package model

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"weir/origin"
	"weir/policy"
)

// scriptedOrigin answers by the behaviour of each path and notes every
// exchange. While it holds, an answer waits for a release before its header,
// and for another before its body.
type scriptedOrigin struct {
	clock *clock
	// mu protects what is below: requests come side by side.
	mu        sync.Mutex
	resources map[string]*resource
	serial    int
	tick      Tick
	holds     bool
	held      []*held
	// news are the answers whose header came or whose body ended, in order.
	news []news
	// contacts are all exchanges of the step.
	contacts []*Contact
	// causes are the requests of the step, by number.
	causes map[int]Request
}

// held is an exchange whose next part waits.
type held struct {
	c *Contact
	// body: the header went.
	body    bool
	release chan struct{}
}

type news struct {
	c    *Contact
	done bool
}

func newOrigin(c *clock, initial []behaviour) *scriptedOrigin {
	o := &scriptedOrigin{clock: c, resources: map[string]*resource{}, causes: map[int]Request{}}
	for i, path := range paths {
		o.resources[path] = &resource{behaviour: initial[i], made: c.now()}
	}
	return o
}

// change gives a path another behaviour, and another version if it is due.
func (o *scriptedOrigin) change(path string, b behaviour, version bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.resources[path]
	r.behaviour = b
	if version {
		r.version++
		r.made = o.clock.now()
	}
}

// next is the next tick.
func (o *scriptedOrigin) next() Tick {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tick++
	return o.tick
}

// expect notes a request that a client is about to send.
func (o *scriptedOrigin) expect(id int, q Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.causes[id] = q
}

// begin starts a step.
func (o *scriptedOrigin) begin(holds bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holds, o.contacts, o.news = holds, nil, nil
	clear(o.causes)
}

// take returns the news since the last take.
func (o *scriptedOrigin) take() []news {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.news
	o.news = nil
	return n
}

// waiting is how many answers wait for a release.
func (o *scriptedOrigin) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.held)
}

// release lets the i-th of the answers that wait go on, counted in a circle.
func (o *scriptedOrigin) release(i int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.held); n > 0 {
		h := o.held[i%n]
		o.held = slices.Delete(o.held, i%n, i%n+1)
		close(h.release)
	}
}

// letGo releases everything, now and from now on.
func (o *scriptedOrigin) letGo() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holds = false
	for _, h := range o.held {
		close(h.release)
	}
	o.held = nil
}

// wait holds an exchange until its release. The caller holds o.mu.
func (o *scriptedOrigin) wait(ctx context.Context, c *Contact, body bool) error {
	if !o.holds {
		return nil
	}
	h := &held{c: c, body: body, release: make(chan struct{})}
	o.held = append(o.held, h)
	o.mu.Unlock()
	defer o.mu.Lock()
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = slices.DeleteFunc(o.held, func(other *held) bool { return other == h })
	return ctx.Err()
}

// Do implements fetch.Origin.
func (o *scriptedOrigin) Do(ctx context.Context, r *origin.Request) (*origin.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	// What is remembered, and told again, outlives the request.
	own := headerOf(r.Fields)
	r.Fields = sortedFields(own)
	o.mu.Lock()
	defer o.mu.Unlock()
	res := o.resources[r.Target]
	o.serial++
	o.tick++
	serial := o.serial
	c := &Contact{Asked: Request{Method: r.Method, Path: r.Target, Fields: own}, AskedTick: o.tick}
	c.Response.Asked = o.clock.now()
	c.Client, _ = strconv.Atoi(r.Fields.Get("X-Client"))
	c.Cause = o.causes[c.Client]
	o.contacts = append(o.contacts, c)
	delay := time.Duration(0)
	if !o.holds {
		delay = time.Duration(res.Delay) * time.Second
	}
	if err := o.wait(ctx, c, false); err != nil {
		return nil, err
	}
	o.clock.advance(delay)
	o.tick++
	c.Came, c.CameTick = o.clock.now(), o.tick
	kind, fails := faults[res.Fault]
	if fails {
		c.Trouble = Unreachable
	} else {
		res.answer(c, serial)
	}
	o.news = append(o.news, news{c, false})
	if fails || len(c.Sent) == 0 {
		o.ended(c)
	}
	if fails {
		return nil, &origin.Error{Kind: kind, Origin: "o", Err: errors.New("scripted")}
	}
	return o.response(ctx, c, res.Chunked), nil
}

// ended notes the end of an answer. The caller holds o.mu.
func (o *scriptedOrigin) ended(c *Contact) {
	if c.DoneTick == 0 {
		o.tick++
		c.DoneTick = o.tick
		o.news = append(o.news, news{c, true})
	}
}

// response is what the proxy gets.
func (o *scriptedOrigin) response(ctx context.Context, c *Contact, chunked bool) *origin.Response {
	r := &origin.Response{Status: c.Status, Fields: sortedFields(c.Fields), ContentLength: int64(len(c.Sent))}
	r.Body = io.NopCloser(bytes.NewReader(nil))
	if len(c.Sent) > 0 {
		sent := c.Sent
		if c.Cut {
			sent = sent[:len(sent)/2]
		}
		r.Body = &gatedBody{o: o, ctx: ctx, c: c, rest: sent}
	}
	switch {
	case c.Asked.Method == "HEAD" && c.Status != 304:
		r.ContentLength = -1
		if c.Length {
			r.ContentLength = int64(len(c.Whole))
			r.Fields = append(r.Fields.Without("Content-Length"), policy.Field{Name: "Content-Length", Value: strconv.Itoa(len(c.Whole))})
		}
	case chunked && c.Status == 200 && !c.Cut:
		r.ContentLength = -1
	}
	return r
}

// gatedBody is a body that waits for its release before its first byte.
type gatedBody struct {
	o      *scriptedOrigin
	ctx    context.Context // that of the exchange which the body is a part of
	c      *Contact
	rest   []byte
	passed bool
}

// Read implements io.Reader.
func (b *gatedBody) Read(p []byte) (int, error) {
	b.o.mu.Lock()
	defer b.o.mu.Unlock()
	if !b.passed {
		if err := b.o.wait(b.ctx, b.c, true); err != nil {
			return 0, err
		}
		b.passed = true
	}
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; n > 0 {
		return n, nil
	}
	b.o.ended(b.c)
	if b.c.Cut {
		return 0, &origin.Error{Kind: origin.Truncated, Origin: "o", Err: io.ErrUnexpectedEOF}
	}
	return 0, io.EOF
}

// Close implements io.Closer: nobody reads on.
func (b *gatedBody) Close() error {
	b.o.mu.Lock()
	defer b.o.mu.Unlock()
	b.o.held = slices.DeleteFunc(b.o.held, func(h *held) bool {
		if h.c != b.c {
			return false
		}
		close(h.release)
		return true
	})
	b.c.Dropped = b.c.DoneTick == 0 && len(b.rest) > 0
	b.o.ended(b.c)
	return nil
}
