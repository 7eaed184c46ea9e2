package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/invalidation"
)

const (
	// MaxPurgeEntries bounds what one request may name, all lists together.
	MaxPurgeEntries = 1000
	// defaultPurgeTimeout and maxPurgeTimeout are for wait: all.
	defaultPurgeTimeout = 2 * time.Second
	maxPurgeTimeout     = time.Minute

	defaultPurgeList = 100
	maxPurgeList     = 1000
)

// PurgeRequest is the body of POST /v1/purge.
type PurgeRequest struct {
	URLs     []string `json:"urls,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	Hosts    []string `json:"hosts,omitempty"`
	All      bool     `json:"all,omitempty"`
	// Soft makes stale what would be gone.
	Soft bool `json:"soft,omitempty"`
	// Wait is local (the default) or all.
	Wait string `json:"wait,omitempty"`
	// Timeout is how long wait: all waits; in Go's form.
	Timeout string `json:"timeout,omitempty"`
}

// Entries counts what the request names.
func (r *PurgeRequest) Entries() int {
	n := len(r.URLs) + len(r.Tags) + len(r.Prefixes) + len(r.Hosts)
	if r.All {
		n++
	}
	return n
}

// tagsOnly tells whether the scope purge:tag is enough.
func (r *PurgeRequest) tagsOnly() bool { return r.Entries() == len(r.Tags) }

// PurgeResult says where a purge is in effect.
type PurgeResult struct {
	ID      string        `json:"id"`
	Applied []PurgeByNode `json:"applied"`
	// Pending are nodes that have not said so in time.
	Pending []string `json:"pending"`
	// Warning says that the purge is in effect here and not in the log yet.
	Warning string `json:"warning,omitempty"`
}

// PurgeByNode is one node's word, and how long it took to come, in microseconds.
type PurgeByNode struct {
	Node   string `json:"node"`
	Micros int64  `json:"micros"`
}

// PurgeRecord is an entry of the log of purges.
type PurgeRecord struct {
	ID    string      `json:"id"`
	At    time.Time   `json:"at"`
	Facts []PurgeFact `json:"facts"`
}

// PurgeFact is one scope of a purge, in the form that keys have.
type PurgeFact struct {
	Kind  string `json:"kind"`
	Scope string `json:"scope,omitempty"`
	Soft  bool   `json:"soft"`
}

// PurgeSource purges and remembers.
type PurgeSource interface {
	// Purge returns once the purge is in effect here, and with wait: all
	// everywhere, when the time is over or ctx ends. invalidation.Faults and
	// *invalidation.Exhausted mean that nothing was done.
	Purge(ctx context.Context, who invalidation.Who, r *PurgeRequest, timeout time.Duration) (PurgeResult, error)
	// Purges lists up to limit purges behind the one named, oldest first.
	Purges(after string, limit int) []PurgeRecord
	// LastPurges lists the newest n purges, oldest first.
	LastPurges(n int) []PurgeRecord
	// FindPurge returns a purge and who has applied it.
	FindPurge(id string) (PurgeRecord, PurgeResult, bool)
}

// parsePurge reads a request and returns every fault in it.
func parsePurge(body io.Reader) (r PurgeRequest, timeout time.Duration, err error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return r, 0, err
	}
	var fields map[string]json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&fields); err != nil {
		return r, 0, invalidation.Faults{"the body is no JSON object: " + err.Error()}
	}
	faults := wholeObject(raw)
	known := map[string]any{
		"urls": &r.URLs, "tags": &r.Tags, "prefixes": &r.Prefixes, "hosts": &r.Hosts,
		"all": &r.All, "soft": &r.Soft, "wait": &r.Wait, "timeout": &r.Timeout,
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		to, ok := known[name]
		if !ok {
			faults = append(faults, fmt.Sprintf("%s: unknown field (known: urls, tags, prefixes, hosts, all, soft, wait, timeout)", name))
			continue
		}
		if json.Unmarshal(fields[name], to) != nil {
			faults = append(faults, fmt.Sprintf("%s: %s is not %s", name, shorten(fields[name]), wanted(to)))
		}
	}
	timeout = defaultPurgeTimeout
	if r.Timeout != "" {
		timeout, err = time.ParseDuration(r.Timeout)
		if err != nil || timeout <= 0 || timeout > maxPurgeTimeout {
			faults = append(faults, fmt.Sprintf("timeout: %q (valid is a duration up to %v, such as 2s)", r.Timeout, maxPurgeTimeout))
		}
	}
	if r.Wait != "" && r.Wait != "local" && r.Wait != "all" {
		faults = append(faults, fmt.Sprintf("wait: %q (valid is local or all)", r.Wait))
	}
	switch n := r.Entries(); {
	case n == 0 && len(faults) == 0:
		faults = append(faults, "nothing to purge (name urls, tags, prefixes or hosts, or set all to true)")
	case n > MaxPurgeEntries:
		faults = append(faults, fmt.Sprintf("%d entries (valid is up to %d in one request)", n, MaxPurgeEntries))
	}
	if len(faults) > 0 {
		return r, 0, faults
	}
	return r, timeout, nil
}

// wholeObject returns the faults of a body that begins with a JSON object: a name
// that is given twice, of which one would count and the other be forgotten, and
// anything behind the object.
func wholeObject(raw []byte) (faults invalidation.Faults) {
	d := json.NewDecoder(bytes.NewReader(raw))
	_, _ = d.Token() // the brace
	seen := map[string]bool{}
	for d.More() {
		var value json.RawMessage
		token, _ := d.Token()
		name, _ := token.(string)
		if d.Decode(&value) != nil {
			break
		}
		if seen[name] {
			faults = append(faults, name+": given twice (valid is one list with all entries)")
		}
		seen[name] = true
	}
	_, _ = d.Token()
	if len(bytes.TrimSpace(raw[d.InputOffset():])) > 0 {
		faults = append(faults, "something follows the JSON object")
	}
	return faults
}

func wanted(to any) string {
	switch to.(type) {
	case *bool:
		return "true or false"
	case *string:
		return "a string"
	}
	return "a list of strings"
}

func shorten(raw json.RawMessage) string {
	if len(raw) > 60 {
		return string(raw[:60]) + "..."
	}
	return string(raw)
}

// purge answers POST /v1/purge.
func (h *Handler) purge(req *http.Request) reply {
	r, timeout, err := parsePurge(req.Body)
	var tooLarge *http.MaxBytesError
	// What the purge needs is said before what is wrong with it, and to nobody
	// else.
	scope := ScopePurgeTag
	if err == nil && !r.tagsOnly() {
		scope = ScopePurge
	}
	who, no := h.permitScope(req, scope)
	if no != nil {
		return no.reply()
	}
	release, no := claim(req, working)
	if no != nil {
		return no.reply()
	}
	defer release()
	if errors.As(err, &tooLarge) {
		return (&refusal{status: http.StatusRequestEntityTooLarge, Error: fmt.Sprintf("the body has more than %d bytes", tooLarge.Limit), Want: "several requests"}).reply()
	}
	var result PurgeResult
	if err == nil {
		result, err = h.o.Purges.Purge(req.Context(), who, &r, timeout)
	} else {
		h.o.Audit.Rejected(who, err)
	}
	var faults invalidation.Faults
	var exhausted *invalidation.Exhausted
	switch {
	case errors.As(err, &faults):
		return (&refusal{status: http.StatusBadRequest, Error: "nothing was purged", Faults: faults}).reply()
	case errors.As(err, &exhausted):
		out := (&refusal{status: http.StatusTooManyRequests, Error: "nothing was purged: " + err.Error()}).reply()
		out.header = map[string]string{"Retry-After": strconv.Itoa(int(exhausted.After.Seconds()))}
		return out
	case err != nil:
		return (&refusal{status: http.StatusInternalServerError, Error: "nothing was purged: " + err.Error()}).reply()
	case len(result.Pending) > 0:
		return jsonReply(http.StatusAccepted, result)
	}
	return jsonReply(http.StatusOK, result)
}

// purges answers GET /v1/purges.
func (h *Handler) purges(req *http.Request) reply {
	q := req.URL.Query()
	for name, values := range q {
		if name != "after" && name != "limit" && name != "last" || len(values) > 1 {
			return (&refusal{status: http.StatusBadRequest, Error: fmt.Sprintf("the parameter %.100q is unknown, or given twice", name), Want: "last, or after and limit"}).reply()
		}
	}
	number := func(name string, fallback int) (int, *refusal) {
		s := q.Get(name)
		if !q.Has(name) {
			return fallback, nil
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPurgeList {
			return 0, &refusal{status: http.StatusBadRequest, Error: fmt.Sprintf("%s is %.100q", name, s), Want: fmt.Sprintf("1 to %d", maxPurgeList)}
		}
		return n, nil
	}
	limit, no := number("limit", defaultPurgeList)
	last, noLast := number("last", 0)
	switch {
	case no != nil:
		return no.reply()
	case noLast != nil:
		return noLast.reply()
	case last > 0 && (q.Has("after") || q.Has("limit")):
		return (&refusal{status: http.StatusBadRequest, Error: "last cannot go with after or limit", Want: "last for the newest, or after and limit to read on from a purge"}).reply()
	}
	var list []PurgeRecord
	if last > 0 {
		list = h.o.Purges.LastPurges(last)
	} else {
		list = h.o.Purges.Purges(q.Get("after"), limit)
	}
	if list == nil {
		list = []PurgeRecord{}
	}
	return jsonReply(http.StatusOK, map[string]any{"purges": list})
}

// purgeByID answers GET /v1/purges/<id>.
func (h *Handler) purgeByID(req *http.Request) reply {
	id := strings.TrimPrefix(req.URL.Path, purgePath)
	record, result, ok := h.o.Purges.FindPurge(id)
	if !ok {
		return (&refusal{status: http.StatusNotFound, Error: fmt.Sprintf("no purge %q is kept", id), Want: "an id of GET /v1/purges"}).reply()
	}
	return jsonReply(http.StatusOK, struct {
		PurgeRecord
		Applied []PurgeByNode `json:"applied"`
		Pending []string      `json:"pending"`
	}{record, result.Applied, result.Pending})
}
