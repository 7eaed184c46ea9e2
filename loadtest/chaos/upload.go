package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/loadtest/selfcheck"
)

// upload sends a body that proves itself, of stated length or in chunks; the origin compares it.
func (b *bench) upload(ctx context.Context, t http.RoundTripper, rng *rand.Rand) {
	size := int64(1 + rng.IntN(200<<10))
	if rng.IntN(6) == 0 {
		size = 1<<20 + rng.Int64N(1<<20)
	}
	target := fmt.Sprintf("/up/%d", size)
	calm, begin := b.weir.undisturbed(), time.Now()
	ctx, cancel := context.WithTimeout(ctx, 2*b.within(answerWithin))
	defer cancel()
	var body io.Reader = selfcheck.NewReader(selfcheck.SeedOf(target, 0), size)
	if rng.IntN(2) == 0 {
		body = io.MultiReader(body) // hides the length
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.place.data+target, body)
	if err != nil {
		return
	}
	req.Host = "people.test"
	if _, plain := body.(*io.SectionReader); plain {
		req.ContentLength = size
	}
	b.counts.asked.Add(1)
	resp, err := t.RoundTrip(req)
	if took := time.Since(begin); took > b.within(answerWithin) && calm() {
		b.found.add(kindHang, "POST http://people.test%s: no answer within %v", target, took.Round(time.Millisecond))
	}
	if err != nil {
		b.counts.troubled.Add(1)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	switch {
	case err != nil || resp.StatusCode >= 500 || resp.StatusCode == http.StatusBadRequest:
		b.counts.troubled.Add(1)
	case resp.StatusCode != http.StatusOK || strings.TrimSpace(string(text)) != strconv.FormatInt(size, 10):
		b.found.add(kindWrong, "POST http://people.test%s: %s, %q", target, resp.Status, text)
	default:
		b.counts.uploads.Add(1)
	}
}
