package trial

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"time"
)

// How Next.js makes /news: every renewal takes newsTakes, and an answer is fresh for newsFresh.
const (
	newsTakes = 800 * time.Millisecond
	newsFresh = 5 * time.Second
)

// nextjs is the application in apps/next.
func nextjs() *site {
	return &site{
		name: "Next.js", recipe: "nextjs.yaml",
		pages:  []string{"/account", "/news"},
		public: []string{"/news"}, survive: []string{"/news"},
		start: startNext,
		login: func(ctx context.Context, v *visitor) error {
			return v.postForRedirect(ctx, "/login", url.Values{"name": {v.name}})
		},
		logout: func(ctx context.Context, v *visitor) error { return v.postForRedirect(ctx, "/logout", nil) },
		who:    whoInField, private: privateInField,
		more: staleAndRefreshed,
	}
}

func startNext(ctx context.Context, b *bench, p place, _ []string) (*origin, error) {
	return b.serve(ctx, p, command{
		name: "next", dir: filepath.Join(b.Apps, "next"),
		args: []string{"node", "../node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1", "-p", port(p.origin)},
		env:  []string{"NEXT_TELEMETRY_DISABLED=1"},
	}, "/count")
}

// staleAndRefreshed waits until the page has expired and looks at how it is renewed: nobody waits for the renewal, and
// a newer page is there soon after.
func staleAndRefreshed(ctx context.Context, r *run) error {
	v := r.guests[0]
	first, err := r.news(ctx, v)
	if err != nil {
		return err
	}
	select {
	case <-time.After(newsFresh + 500*time.Millisecond): // its lifetime has to pass; nothing else tells when it has
	case <-ctx.Done():
		return ctx.Err()
	}
	expired, err := r.news(ctx, v)
	if err != nil {
		return err
	}
	r.check(expired.hit && expired.took < newsTakes/2, "an expired page is served stale at once", fmt.Sprintf("%v, %s", expired.took.Round(time.Millisecond), expired.said))
	// Next.js too answers the first request after an expiry with what it had, and makes the page again behind that
	// answer: so weir's own renewal may bring the old page once more.
	deadline := time.Now().Add(2 * (newsFresh + soon))
	for {
		now, err := r.news(ctx, v)
		if err != nil {
			return err
		}
		if now.took >= newsTakes/2 {
			r.check(false, "nobody waits for a renewal", fmt.Sprintf("%v, %s", now.took, now.said))
			return nil
		}
		if now.made > first.made {
			r.check(true, "nobody waits for a renewal", "")
			r.check(true, "the page is renewed behind the answers", fmt.Sprintf("version %d after %d", now.made, first.made))
			return nil
		}
		if time.Now().After(deadline) {
			r.check(false, "the page is renewed behind the answers", fmt.Sprintf("still version %d", now.made))
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// news is what one request for /news showed.
type news struct {
	made int
	took time.Duration
	hit  bool
	said string
}

func (r *run) news(ctx context.Context, v *visitor) (news, error) {
	a, err := v.do(ctx, "GET", "/news", "", nil, nil)
	if err != nil {
		return news{}, err
	}
	r.judge(v, "GET", "/news", a)
	m := madeField.FindSubmatch(a.body)
	if m == nil {
		return news{}, fmt.Errorf("/news says nothing, with status %d: %s", a.status, tail(a.body))
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return news{}, fmt.Errorf("cannot read the version of /news: %w", err)
	}
	said := a.header.Get("Cache-Status")
	return news{n, a.took, isHit(said), said}, nil
}
