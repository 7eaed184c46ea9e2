package proxy

import (
	"log/slog"
	"strings"
	"sync"

	"weir/policy"
	"weir/proxy/metrics"
)

// maxWithheldNames bounds the names that are remembered as logged: clients make
// them up.
const maxWithheldNames = 256

// withheldNames are the names of fields of which the log says that they were not
// sent on.
type withheldNames struct {
	mu     sync.Mutex // protects logged
	logged map[string]struct{}
}

// first reports whether nothing was logged of the name before, and whether it is
// the last one that will be.
func (w *withheldNames) first(name string) (first, last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.logged[name]; known || len(w.logged) == maxWithheldNames {
		return false, false
	}
	if w.logged == nil {
		w.logged = make(map[string]struct{})
	}
	w.logged[strings.Clone(name)] = struct{}{}
	return true, len(w.logged) == maxWithheldNames
}

// note counts fields that were not sent on, and logs each name once.
func (w *withheldNames) note(names []string, m *metrics.Registry, log *slog.Logger) {
	for _, name := range names {
		reason, remedy := metrics.WithheldUnderscore, "request.underscores"
		if policy.StandingOf(name) != policy.StandingOrdinary {
			reason, remedy = metrics.WithheldOverride, "trusted_proxies"
		}
		m.Withheld(reason)
		if first, last := w.first(name); first {
			log.Warn("a request field is not sent to the origin", "name", strings.Clone(name), "see", remedy, "last_name_logged", last)
		}
	}
}
