package chaos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/loadtest/load"
	"weir/loadtest/selfcheck"
)

// together runs n clients until ctx ends and all of them have returned. Each has a stream of chance of its own.
func together(ctx context.Context, d *draw, n int, client func(ctx context.Context, rng *rand.Rand, i int)) {
	var wg sync.WaitGroup
	for i := range n {
		rng := rand.New(rand.NewPCG(d.seed, uint64(i)+2))
		wg.Go(func() { client(ctx, rng, i) })
	}
	wg.Wait()
}

// dial connects to weir. The connection ends with ctx.
func dial(ctx context.Context, address string) (net.Conn, func(), error) {
	dialer := &net.Dialer{Timeout: answerWithin}
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, func() { stop(); _ = c.Close() }, nil
}

// large draws a URL with a large body that nobody has asked for: half of them may be stored.
func (b *bench) large(rng *rand.Rand, size int64) object {
	g := rng.IntN(groups)
	o := object{group: g, host: groupHost(g), size: size}
	o.target = fmt.Sprintf("/g%d/large%d;size=%d;tag=%s;max-age=60", g, b.fresh.Add(1), size, groupTag(g))
	if rng.IntN(2) == 0 {
		o.target = fmt.Sprintf("/pass/large%d;size=%d;tag=%s;no-store", b.fresh.Add(1), size, groupTag(g))
	}
	return o
}

func (o *object) requestText() string {
	return "GET " + o.target + " HTTP/1.1\r\nHost: " + o.host + "\r\n\r\n"
}

func readNothing(ctx context.Context, b *bench, d *draw) error {
	together(ctx, d, 150+d.who*40, func(ctx context.Context, rng *rand.Rand, _ int) {
		c, end, err := dial(ctx, b.place.data)
		if err != nil {
			return
		}
		defer end()
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4 << 10)
		}
		o := b.large(rng, 3<<20+rng.Int64N(5<<20))
		if _, err := io.WriteString(c, o.requestText()); err == nil {
			<-ctx.Done()
		}
	})
	return nil
}

// paced reads a little at a time.
type paced struct {
	ctx context.Context
	r   io.Reader
	max int
	gap time.Duration
}

func (p *paced) Read(b []byte) (int, error) {
	sleep(p.ctx, p.gap)
	return p.r.Read(b[:min(len(b), p.max)])
}

func readSlowly(ctx context.Context, b *bench, d *draw) error {
	together(ctx, d, 60+d.who*20, func(ctx context.Context, rng *rand.Rand, _ int) {
		for ctx.Err() == nil {
			o := b.large(rng, 500<<10+rng.Int64N(4<<20))
			hard, _ := b.floors.of(&o)
			b.raw(ctx, &o, hard, func(r io.Reader) io.Reader { return &paced{ctx, r, 8 << 10, 60 * time.Millisecond} })
		}
	})
	return nil
}

// raw asks for o on a connection of its own, and checks the body as it is read through slow.
func (b *bench) raw(ctx context.Context, o *object, hard uint64, slow func(io.Reader) io.Reader) {
	c, end, err := dial(ctx, b.place.data)
	if err != nil {
		return
	}
	defer end()
	if _, err := io.WriteString(c, o.requestText()); err != nil {
		return
	}
	b.rawAnswer(bufio.NewReader(slow(c)), o, hard)
}

// rawAnswer reads one answer to a plain GET and judges it. It returns false when the connection is of no more use.
func (b *bench) rawAnswer(r *bufio.Reader, o *object, hard uint64) bool {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		var opErr *net.OpError
		if !errors.As(err, &opErr) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) {
			b.found.add(kindWrong, "GET http://%s%s: not an HTTP response: %v", o.host, o.target, err)
		}
		return false
	}
	q := &ask{method: http.MethodGet, host: o.host, target: o.target, header: http.Header{}}
	b.judge(q, &answer{Response: resp}, o, 0, o.size, hard, 0, nil)
	return !resp.Close
}

func leave(ctx context.Context, b *bench, d *draw) error {
	together(ctx, d, 16, func(ctx context.Context, rng *rand.Rand, _ int) {
		for ctx.Err() == nil {
			b.leaveOnce(ctx, rng)
			sleep(ctx, time.Duration(rng.IntN(30))*time.Millisecond)
		}
	})
	return nil
}

// leaveOnce begins something and leaves.
func (b *bench) leaveOnce(ctx context.Context, rng *rand.Rand) {
	c, end, err := dial(ctx, b.place.data)
	if err != nil {
		return
	}
	defer end()
	o := b.large(rng, 100<<10+rng.Int64N(5<<20))
	if rng.IntN(3) == 0 {
		o = *b.drawObject(rng)
	}
	text := o.requestText()
	if rng.IntN(4) == 0 {
		text = "POST /up/100000 HTTP/1.1\r\nHost: people.test\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", rng.IntN(50000))
	}
	if _, err := io.WriteString(c, text); err != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(200)) * time.Millisecond))
	_, _ = io.CopyN(io.Discard, c, rng.Int64N(1+o.size))
	if tcp, ok := c.(*net.TCPConn); ok && rng.IntN(2) == 0 {
		_ = tcp.SetLinger(0) // a reset
	}
}

func uploadSlowly(ctx context.Context, b *bench, d *draw) error {
	together(ctx, d, 150+d.who*40, func(ctx context.Context, rng *rand.Rand, _ int) {
		for ctx.Err() == nil {
			b.uploadOnce(ctx, rng)
			sleep(ctx, 100*time.Millisecond)
		}
	})
	return nil
}

func (b *bench) uploadOnce(ctx context.Context, rng *rand.Rand) {
	c, end, err := dial(ctx, b.place.data)
	if err != nil {
		return
	}
	defer end()
	chunked := rng.IntN(2) == 0
	host, path := "people.test", "/up/5000000"
	if rng.IntN(2) == 0 {
		host, path = groupHost(1), "/g1/form"
	}
	head := "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if chunked {
		head += "Transfer-Encoding: chunked\r\n\r\n"
	} else {
		head += "Content-Length: 5000000\r\n\r\n"
	}
	if _, err := io.WriteString(c, head); err != nil {
		return
	}
	body := selfcheck.Bytes(selfcheck.SeedOf(path, 0), 0, 16<<10)
	for len(body) > 0 && ctx.Err() == nil {
		n := min(len(body), 1)
		piece := string(body[:n])
		if chunked {
			piece = fmt.Sprintf("%x\r\n%s\r\n", n, piece)
		}
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}
		body = body[n:]
		sleep(ctx, time.Duration(100+rng.IntN(300))*time.Millisecond)
	}
}

func pipeline(ctx context.Context, b *bench, d *draw) error {
	together(ctx, d, 6, func(ctx context.Context, rng *rand.Rand, _ int) {
		for ctx.Err() == nil {
			b.pipelineOnce(ctx, rng)
			sleep(ctx, 20*time.Millisecond)
		}
	})
	return nil
}

// pipelineOnce sends thirty requests in one piece and wants thirty answers, in order.
func (b *bench) pipelineOnce(ctx context.Context, rng *rand.Rand) {
	c, end, err := dial(ctx, b.place.data)
	if err != nil {
		return
	}
	defer end()
	var text bytes.Buffer
	var asked []*object
	var hards []uint64
	for range 30 {
		o := b.drawObject(rng)
		hard, _ := b.floors.of(o)
		asked, hards = append(asked, o), append(hards, hard)
		text.WriteString(o.requestText())
	}
	if _, err := c.Write(text.Bytes()); err != nil {
		return
	}
	r := bufio.NewReader(c)
	for i, o := range asked {
		b.counts.asked.Add(1)
		if !b.rawAnswer(r, o, hards[i]) {
			return
		}
	}
}

func idle(admin bool) func(context.Context, *bench, *draw) error {
	return func(ctx context.Context, b *bench, d *draw) error {
		address, texts := b.place.data, []string{"", "GET / HTTP/1.1\r\nHos", "GET /g1/idle;size=10 HTTP/1.1\r\nHost: g1.shop.test\r\n\r\n"}
		if admin {
			address, texts = b.place.admin, []string{"", "GET /metrics HTTP/1.1\r\nHost: x\r\nX-A", "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"}
		}
		together(ctx, d, 300, func(ctx context.Context, _ *rand.Rand, i int) {
			for ctx.Err() == nil {
				hold(ctx, address, texts[i%len(texts)])
				sleep(ctx, 50*time.Millisecond)
			}
		})
		return nil
	}
}

// hold keeps a connection open until the other side closes it.
func hold(ctx context.Context, address, text string) {
	c, end, err := dial(ctx, address)
	if err != nil {
		return
	}
	defer end()
	if _, err := io.WriteString(c, text); err == nil {
		_, _ = io.Copy(io.Discard, c)
	}
}

func crowd(ctx context.Context, b *bench, d *draw) error {
	o := object{group: 2, host: groupHost(2), size: 3000}
	o.target = fmt.Sprintf("/g2/hot%d;size=3000;tag=g2;max-age=1;stale-if-error=600", b.fresh.Add(1))
	hard, _ := b.floors.of(&o)
	b.raw(ctx, &o, hard, func(r io.Reader) io.Reader { return r })
	sleep(ctx, 1500*time.Millisecond)
	for _, g := range b.origin.gates {
		g.be(hang)
		defer g.be(good)
	}
	together(ctx, d, connections*5/4, func(ctx context.Context, rng *rand.Rand, _ int) {
		sleep(ctx, time.Duration(rng.IntN(1000))*time.Millisecond)
		for ctx.Err() == nil {
			hard, _ := b.floors.of(&o)
			b.raw(ctx, &o, hard, func(r io.Reader) io.Reader { return r })
			sleep(ctx, 3*time.Second)
		}
	})
	return nil
}

func misses(ctx context.Context, b *bench, d *draw) error {
	together(ctx, d, 80+d.who*40, func(ctx context.Context, rng *rand.Rand, _ int) {
		for ctx.Err() == nil {
			o := b.large(rng, 4<<20)
			hard, _ := b.floors.of(&o)
			b.raw(ctx, &o, hard, func(r io.Reader) io.Reader { return r })
		}
	})
	return nil
}

// refused are requests that must be answered 400 or the like, or closed. Each is followed by a request that must not be
// answered, since nobody can know where it begins.
var refused = []string{
	"GET /g1/x HTTP/1.1\r\nHost: g1.shop.test\r\nContent-Length abc: 4\r\n\r\n",
	"GET /g1/x HTTP/1.1\r\nHost: g1.shop.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
	"POST /g1/x HTTP/1.1\r\nHost: g1.shop.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST /g1/x HTTP/1.1\r\nHost: g1.shop.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
	"POST /g1/x HTTP/1.1\r\nHost: g1.shop.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
	"POST /g1/x HTTP/1.1\r\nHost: g1.shop.test\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
	"GET /g1/x HTTP/1.1\r\nHost: g1.shop.test\r\nHost: g2.shop.test\r\n\r\n",
	"GET /g1/x HTTP/1.1\r\n X: y\r\nHost: g1.shop.test\r\n\r\n",
	"GET /g1/x HTTP/1.1\nHost: g1.shop.test\n\n\x00",
	"GET /g1/x\r\nHost: g1.shop.test\r\n\r\n",
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
	"GET /g1/x HTTP/1.1\r\nHost: g1.shop.test\r\nX: " + strings.Repeat("y", 40<<10) + "\r\n\r\n",
}

// smuggled asks for something of its own, so that an answer to it can be told.
const smuggled = "GET /g3/smuggled;size=77;no-store HTTP/1.1\r\nHost: g3.shop.test\r\n\r\n"

func malformed(ctx context.Context, b *bench, d *draw) error {
	together(ctx, d, 6, func(ctx context.Context, rng *rand.Rand, _ int) {
		for ctx.Err() == nil {
			b.malformedOnce(ctx, refused[rng.IntN(len(refused))])
			sleep(ctx, 20*time.Millisecond)
		}
	})
	return nil
}

func (b *bench) malformedOnce(ctx context.Context, text string) {
	c, end, err := dial(ctx, b.place.data)
	if err != nil {
		return
	}
	defer end()
	if _, err := io.WriteString(c, text+smuggled); err != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(answerWithin))
	got, _ := io.ReadAll(io.LimitReader(c, 64<<10)) // a reset is as good as an end
	if bytes.Contains(got, []byte(load.VersionField)) {
		b.found.add(kindWrong, "the request %q was answered: %q", text[:min(len(text), 120)], got[:min(len(got), 200)])
	}
}

func scopes(ctx context.Context, b *bench, d *draw) error {
	rng := d.rng()
	for ctx.Err() == nil {
		var tags []string
		for range 1000 {
			tags = append(tags, `"made-up-`+strconv.FormatUint(rng.Uint64(), 36)+strings.Repeat("x", 40)+`"`)
		}
		body := `{"tags": [` + strings.Join(tags, ",") + `]}`
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.place.admin+"/v1/purge", strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+tokens[2].secret)
		resp, err := b.purges.RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return nil
}
