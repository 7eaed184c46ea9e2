package trial

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// How many visitors there are of each kind.
const (
	members = 6 // logged in from the beginning; half of them log out
	joiners = 3 // log in midway
	guests  = 4
	tracked = 3 // guests with a cookie of some statistics
)

// maxShown bounds the faults that a report shows of one run; all are counted.
const maxShown = 12

// run is one application behind one configuration.
type run struct {
	site   *site
	config configuration
	place  place
	bench  *bench
	app    *origin
	ledger *ledger

	members, joiners, guests, tracked []*visitor

	mu sync.Mutex
	result
}

// result is what a run found.
type result struct {
	Site, Config  string
	Visitors      int
	Requests      int
	Wrong         int            // answers that held what was not the visitor's
	Leaks         []string       // the first of them
	By            map[string]int // how many by phase, and by page
	Failed        []string       // checks that failed beside
	Passed        []string
	Noted         []string
	GuestRequests int
	GuestMade     int // how often the application made a page for them
	phase         string
}

func newRun(b *bench, s *site, c configuration, p place) (*run, error) {
	r := &run{site: s, config: c, place: p, bench: b, ledger: newLedger()}
	r.Site, r.Config, r.By = s.name, c.name, make(map[string]int)
	for _, k := range []struct {
		list *[]*visitor
		n    int
		kind string
	}{{&r.members, members, "member"}, {&r.joiners, joiners, "joiner"}, {&r.guests, guests, "visitor"}, {&r.tracked, tracked, "tracked"}} {
		for range k.n {
			v, err := r.visitor(k.kind)
			if err != nil {
				return nil, err
			}
			*k.list = append(*k.list, v)
		}
	}
	for _, v := range r.tracked {
		v.setCookie("_ga", "GA1.1."+v.name)
	}
	return r, nil
}

// visitor returns one more visitor, whose name is known to the ledger.
func (r *run) visitor(kind string) (*visitor, error) {
	v, err := newVisitor(r.place.base(), kind)
	if err != nil {
		return nil, err
	}
	r.Visitors++
	return v, r.ledger.claim(v, "name", v.name)
}

func (r *run) everybody() []*visitor {
	var all []*visitor
	for _, list := range [][]*visitor{r.members, r.joiners, r.guests, r.tracked} {
		all = append(all, list...)
	}
	return all
}

// logIn logs visitors in, all at once.
func (r *run) logIn(ctx context.Context, vs []*visitor) error {
	return together(vs, func(v *visitor) error {
		if err := r.site.login(ctx, v); err != nil {
			return fmt.Errorf("cannot log %s in: %w", v.name, err)
		}
		v.loggedIn = true
		return r.claimCookies(v)
	})
}

func (r *run) logOut(ctx context.Context, vs []*visitor) error {
	return together(vs, func(v *visitor) error {
		if err := r.site.logout(ctx, v); err != nil {
			return fmt.Errorf("cannot log %s out: %w", v.name, err)
		}
		v.loggedIn = false
		return nil
	})
}

// claimCookies tells the ledger what v was given when it logged in.
func (r *run) claimCookies(v *visitor) error {
	for _, c := range v.client.Jar.Cookies(v.base) {
		if r.site.constantCookie(c.Name) {
			continue
		}
		if err := r.ledger.claim(v, "cookie "+c.Name, unescape(c.Value)); err != nil {
			r.leak(v, "POST", "log-in", nil, err.Error())
		}
	}
	return nil
}

// burst has visitors ask for each of the pages, all at the same moment for one page after the other.
func (r *run) burst(ctx context.Context, phase string, vs []*visitor, pages []string, header http.Header) error {
	r.phase = phase
	for _, path := range pages {
		err := together(vs, func(v *visitor) error {
			a, err := v.get(ctx, path, header)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", phase, v.name, err)
			}
			r.judge(v, http.MethodGet, path, a)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// judge counts an answer and what is wrong with it.
func (r *run) judge(v *visitor, method, path string, a *answer) {
	faults := r.ledger.judge(r.site, v, a)
	r.mu.Lock()
	r.Requests++
	r.mu.Unlock()
	if len(faults) > 0 {
		r.leak(v, method, path, a, strings.Join(faults, "; "))
	}
}

func (r *run) leak(v *visitor, method, path string, a *answer, fault string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Wrong++
	r.By[r.phase]++
	r.By[path]++
	if len(r.Leaks) >= maxShown {
		return
	}
	said := ""
	if a != nil {
		said = fmt.Sprintf(" [%d, Cache-Status: %s]", a.status, a.header.Get("Cache-Status"))
	}
	r.Leaks = append(r.Leaks, fmt.Sprintf("%s: %s %s for %s: %s%s", r.phase, method, path, v.expected()+" "+v.name, fault, said))
}

// check records whether a check beside the leaks holds; detail says what was seen.
func (r *run) check(ok bool, what, detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if detail != "" {
		what += " (" + detail + ")"
	}
	if ok {
		r.Passed = append(r.Passed, what)
	} else {
		r.Failed = append(r.Failed, what)
	}
}

// advise records a check that only a recipe has to pass; what the README's configuration does is noted.
func (r *run) advise(what, detail string) {
	if r.config.name == "recipe" {
		r.check(false, what, detail)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Noted = append(r.Noted, "not so without the recipe: "+what+" ("+detail+")")
}

// together calls f for each visitor at the same moment and returns the first error.
func together(vs []*visitor, f func(*visitor) error) error {
	gate := make(chan struct{})
	errs := make(chan error, len(vs))
	for _, v := range vs {
		go func() {
			<-gate
			errs <- f(v)
		}()
	}
	close(gate)
	var first error
	for range vs {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
