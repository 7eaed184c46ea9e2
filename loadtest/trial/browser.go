package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// seen is a page that one of the browsers of apps/browser.js has shown.
type seen struct {
	Who, Path, Name, Cache string
	Status                 int
}

// browsers runs a Chromium with two browsers in it, one that logs in and one that does not, and looks at what they
// show: the bar of WordPress names the visitor.
func browsers(ctx context.Context, r *run) error {
	member := r.members[members-1]
	out, err := command{name: "chromium", dir: r.bench.Apps, args: []string{"node", "browser.js", r.place.base(), member.name}}.run(ctx)
	if err != nil {
		return err
	}
	r.phase = "two browsers"
	pages := 0
	for line := range bytes.Lines(out) {
		if !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		var s seen
		if err := json.Unmarshal(line, &s); err != nil {
			return fmt.Errorf("cannot read what the browsers saw: %w", err)
		}
		pages++
		r.Requests++
		if s.Name != s.Who {
			a := &answer{status: s.Status, header: http.Header{"Cache-Status": {s.Cache}}}
			r.leak(member, "browser", s.Path, a, fmt.Sprintf("%s is shown a page for %s", s.Who, s.Name))
		}
	}
	const want = 13
	r.check(pages == want, "both browsers show every page", fmt.Sprintf("%d of %d", pages, want))
	if pages != want {
		r.Noted = append(r.Noted, strings.TrimSpace(string(tail(out))))
	}
	return nil
}
