package replay

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"weir/loadtest/selfcheck"
)

// OriginOptions shape the answers. The zero value is what NewOrigin's defaults say.
type OriginOptions struct {
	MaxAge time.Duration // of 200, 301 and 404; default 1 h; other statuses say no-store
	Tag    string        // Surrogate-Key of every answer; none by default
}

// Origin answers each URL of a catalogue: size and status as the log says, selfcheck content, Cache-Control, ETag,
// Last-Modified, ranges and conditional requests. It counts what it is asked for. It may be used by many goroutines.
type Origin struct {
	catalogue *Catalogue
	opts      OriginOptions
	requests  atomic.Int64
	bytes     atomic.Int64
	unknown   atomic.Int64
}

// Counts is what an Origin was asked for.
type Counts struct {
	Requests int64 `json:"requests"`
	Bytes    int64 `json:"bytes"`   // of bodies
	Unknown  int64 `json:"unknown"` // requests for what the catalogue does not have: a proxy changed the target or the method
}

// NewOrigin serves c.
func NewOrigin(c *Catalogue, opts OriginOptions) *Origin {
	if opts.MaxAge == 0 {
		opts.MaxAge = time.Hour
	}
	return &Origin{catalogue: c, opts: opts}
}

// Counts returns what was asked for so far.
func (o *Origin) Counts() Counts {
	return Counts{Requests: o.requests.Load(), Bytes: o.bytes.Load(), Unknown: o.unknown.Load()}
}

// lastModified of every resource: before any log that is replayed, and fixed, so that validators never change.
var lastModified = time.Date(2015, time.January, 1, 0, 0, 0, 0, time.UTC)

// ServeHTTP answers one request.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.requests.Add(1)
	cw := &countingWriter{ResponseWriter: w, total: &o.bytes}
	res, ok := o.catalogue.Lookup(r.Method, r.RequestURI)
	if !ok {
		o.unknown.Add(1)
		w.Header().Set("Cache-Control", "no-store")
		http.Error(cw, "the log has no "+r.Method+" "+r.RequestURI, http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	switch res.Status {
	case http.StatusOK, http.StatusMovedPermanently, http.StatusNotFound:
		h.Set("Cache-Control", "max-age="+strconv.FormatInt(int64(o.opts.MaxAge/time.Second), 10))
	default:
		h.Set("Cache-Control", "no-store")
	}
	if o.opts.Tag != "" {
		h.Set("Surrogate-Key", o.opts.Tag)
	}
	if res.Status/100 == 3 {
		path, query, found := strings.Cut(r.RequestURI, "?")
		location := strings.TrimSuffix(path, "/") + "/"
		if found {
			location += "?" + query
		}
		h.Set("Location", location)
	}
	body := selfcheck.NewReader(res.Seed, res.Size)
	if res.Status == http.StatusOK && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		h.Set("ETag", fmt.Sprintf(`"%016x-%x"`, uint64(res.Seed), res.Size))
		http.ServeContent(cw, r, "", lastModified, body)
		return
	}
	if res.Status != http.StatusNoContent {
		h.Set("Content-Length", strconv.FormatInt(res.Size, 10))
	}
	w.WriteHeader(res.Status)
	if r.Method != http.MethodHead {
		io.Copy(cw, body) // fails only when the other side left, which that side reports
	}
}

type countingWriter struct {
	http.ResponseWriter
	total *atomic.Int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.total.Add(int64(n))
	return n, err
}
