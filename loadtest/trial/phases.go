package trial

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// minOffload is the least share of guests' requests for public pages that a recipe keeps from the application.
const minOffload = 0.9

// rounds is how often each guest asks for each public page while the offload is measured.
const rounds = 10

// phases is what happens in a run: each kind of moment at which a cache could mistake one visitor for another.
func (r *run) phases(ctx context.Context) error {
	if err := r.logIn(ctx, r.members); err != nil {
		return err
	}
	all := r.everybody()
	reload := http.Header{"Cache-Control": {"no-cache"}, "Pragma": {"no-cache"}}
	stale := http.Header{"Cache-Control": {"max-stale"}}
	steps := []func() error{
		func() error { return r.burst(ctx, "cold", all, r.site.pages, nil) },
		func() error { return r.burst(ctx, "again", all, r.site.pages, nil) },
		func() error { return r.burst(ctx, "reload", all, r.site.pages, reload) },
		func() error { return r.burst(ctx, "max-stale", all, r.site.pages, stale) },
		func() error { return r.heads(ctx, all) },
		func() error { return purge(ctx, r.place, true) },
		func() error { return r.burst(ctx, "stale", all, r.site.pages, nil) },
		func() error { return purge(ctx, r.place, false) },
		func() error { return r.burst(ctx, "purged", all, r.site.pages, nil) },
		func() error { return r.logIn(ctx, r.joiners) },
		func() error { return r.burst(ctx, "after log-in", all, r.site.pages, nil) },
		func() error { return r.logOut(ctx, r.members[:members/2]) },
		func() error { return r.burst(ctx, "after log-out", all, r.site.pages, nil) },
		func() error { return r.offload(ctx) },
		func() error {
			if r.site.more == nil {
				return nil
			}
			return r.site.more(ctx, r)
		},
		// What more checked may have purged pages, or have left them in a browser's coding only.
		func() error { return r.burst(ctx, "before the application stops", r.guests, r.site.public, nil) },
		func() error { return purge(ctx, r.place, true) },
		func() error { r.app.stop(); return nil },
		func() error { return r.burst(ctx, "application down", all, r.site.pages, nil) },
		func() error { return r.burst(ctx, "application down, max-stale", all, r.site.pages, stale) },
		func() error { return r.survivors(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// heads has everybody send HEAD, and then GET: a HEAD may neither tell nor change what is somebody's.
func (r *run) heads(ctx context.Context, vs []*visitor) error {
	for _, path := range r.site.pages {
		err := together(vs, func(v *visitor) error {
			a, err := v.do(ctx, http.MethodHead, path, "", nil, nil)
			if err != nil {
				return err
			}
			r.judge(v, http.MethodHead, path, a)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return r.burst(ctx, "after HEAD", vs, r.site.pages, nil)
}

// offload measures how many of the requests for public pages of guests who have just arrived reached the application.
// The first visit is not counted, since a burst onto an empty cache is the phases' matter.
func (r *run) offload(ctx context.Context) error {
	var vs []*visitor
	for range guests {
		for _, kind := range []string{"arrived", "tracked"} {
			v, err := r.visitor(kind)
			if err != nil {
				return err
			}
			if kind == "tracked" {
				v.setCookie("_ga", "GA1.1."+v.name)
			}
			vs = append(vs, v)
		}
	}
	if err := r.burst(ctx, "guests", vs, r.site.public, nil); err != nil {
		return err
	}
	before, err := r.app.made(ctx)
	if err != nil {
		return err
	}
	for range rounds {
		if err := r.burst(ctx, "guests", vs, r.site.public, nil); err != nil {
			return err
		}
	}
	after, err := r.app.made(ctx)
	if err != nil {
		return err
	}
	r.GuestRequests = rounds * len(vs) * len(r.site.public)
	for _, path := range r.site.public {
		if after[path] == 0 {
			return fmt.Errorf("the application has not counted %s: %v", path, after)
		}
		r.GuestMade += after[path] - before[path]
	}
	if r.config.name == "recipe" {
		ratio := r.ratio()
		r.check(ratio >= minOffload, "guests share their pages", fmt.Sprintf("offload %.0f %%, want %.0f %%", 100*ratio, 100*minOffload))
	}
	return nil
}

// survivors looks at pages that stand in, stale, while the application is down.
func (r *run) survivors(ctx context.Context) error {
	pages := r.site.survive
	if r.config.name == "recipe" {
		pages = r.site.public
	}
	for _, path := range pages {
		v, err := r.visitor("arrived")
		if err != nil {
			return err
		}
		a, err := v.get(ctx, path, nil)
		if err != nil {
			return err
		}
		r.judge(v, http.MethodGet, path, a)
		r.check(a.status == http.StatusOK, path+" stands in while the application is down", fmt.Sprintf("status %d, %s", a.status, a.header.Get("Cache-Status")))
	}
	return nil
}

// ratio is the offload for guests.
func (r *result) ratio() float64 {
	if r.GuestRequests == 0 {
		return 0
	}
	return 1 - float64(r.GuestMade)/float64(r.GuestRequests)
}

// one runs a site behind a configuration from the start of both to their end.
func (b *bench) one(ctx context.Context, s *site, c configuration, p place) (res result, err error) {
	r, err := newRun(b, s, c, p)
	if err != nil {
		return result{}, err
	}
	var names []string
	for _, v := range r.everybody() {
		names = append(names, v.name)
	}
	r.app, err = s.start(ctx, b, p, names)
	if err != nil {
		return r.result, err
	}
	defer r.app.stopAll()
	w, err := startWeir(ctx, b.Weir, c, p)
	if err != nil {
		return r.result, err
	}
	defer w.stop()
	if err := r.phases(ctx); err != nil {
		return r.result, fmt.Errorf("%w; the end of weir's log: %s", err, w.tail())
	}
	if r.Requests == 0 {
		return r.result, errors.New("nothing was asked for")
	}
	return r.result, nil
}
