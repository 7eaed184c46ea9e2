package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// site is an application and how its visitors behave.
type site struct {
	name   string
	recipe string // file in configs/examples
	// pages are asked for by everybody at once; public are those of which a recipe gives guests one copy.
	pages, public []string
	// survive are pages that stand in while the application is down, without a recipe; with it all public ones do.
	survive []string
	// start starts the application at p.origin; members are the names of those who will log in.
	start  func(ctx context.Context, b *bench, p place, members []string) (*origin, error)
	login  func(ctx context.Context, v *visitor) error
	logout func(ctx context.Context, v *visitor) error
	// who returns for whom a page was made; ok is false for pages that do not say.
	who func(body []byte) (name string, ok bool)
	// private returns tokens in a page that are for one visitor only.
	private func(body []byte) []string
	// constant are cookies that have the same value for everybody.
	constant []string
	// more checks what only this application has.
	more func(ctx context.Context, r *run) error
}

func (s *site) constantCookie(name string) bool { return slices.Contains(s.constant, name) }

// origin is an application that runs.
type origin struct {
	*process
	others []*process // such as a database; stopped last
	// made returns how often the application has made each page.
	made func(ctx context.Context) (map[string]int, error)
}

func (o *origin) stopAll() {
	o.stop()
	for _, p := range o.others {
		p.stop()
	}
}

// madeAt returns a made that reads JSON from a URL of the application.
func madeAt(url string) func(context.Context) (map[string]int, error) {
	return func(ctx context.Context) (map[string]int, error) {
		b, err := fetch(ctx, url)
		if err != nil {
			return nil, err
		}
		made := make(map[string]int)
		if err := json.Unmarshal(b, &made); err != nil {
			return nil, fmt.Errorf("cannot read what %s says: %w", url, err)
		}
		return made, nil
	}
}

var (
	whoField     = regexp.MustCompile(`<p id="who">([^<]*)</p>`)
	privateField = regexp.MustCompile(`<p id="private">([^<]*)</p>`)
	madeField    = regexp.MustCompile(`<p id="made">([^<]*)</p>`)
)

// whoInField and privateInField read the pages of the trial's own applications.
func whoInField(body []byte) (string, bool) {
	m := whoField.FindSubmatch(body)
	if m == nil {
		return "", false
	}
	return string(m[1]), true
}

func privateInField(body []byte) []string {
	var out []string
	for _, m := range privateField.FindAllSubmatch(body, -1) {
		out = append(out, string(m[1]))
	}
	return out
}
