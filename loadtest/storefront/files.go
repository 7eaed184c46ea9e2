package storefront

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/loadtest/selfcheck"
)

const (
	aDay    = "public, max-age=3600, s-maxage=86400, stale-while-revalidate=3600"
	forever = "public, max-age=31536000, immutable"
)

// image serves /images/product-N.svg and .png.
func (s *Shop) image(w http.ResponseWriter, r *http.Request) {
	name, extension, _ := strings.Cut(r.PathValue("name"), ".")
	number, ok := strings.CutPrefix(name, "product-")
	id, err := strconv.Atoi(number)
	p := catalog.product(id)
	// Only one spelling exists: others would be copies under other keys.
	if !ok || err != nil || p == nil || number != strconv.Itoa(id) {
		s.notFound(w, r)
		return
	}
	c := caching{control: aDay, tags: []string{"images", p.Tag()}, changed: s.started}
	switch extension {
	case "svg":
		send(w, r, "image/svg+xml", s.images[id-1].svg(p), c)
	case "png":
		send(w, r, "image/png", s.images[id-1].png(p), c)
	default:
		s.notFound(w, r)
	}
}

func (s *Shop) favicon(w http.ResponseWriter, r *http.Request) {
	send(w, r, "image/svg+xml", []byte(favicon), caching{control: aDay, tags: []string{"images"}, changed: s.started})
}

func (s *Shop) static(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("name") != s.css.name {
		s.notFound(w, r)
		return
	}
	send(w, r, "text/css; charset=utf-8", s.css.body, caching{control: forever, tags: []string{"static"}, changed: s.started})
}

// DownloadSeed gives the content of /downloads/catalog.bin, for selfcheck.
var DownloadSeed = selfcheck.SeedOf("/downloads/catalog.bin", 0)

func (s *Shop) download(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="catalog.bin"`)
	h.Set("Cache-Control", aDay)
	h.Set("Surrogate-Key", "downloads")
	h.Set("ETag", fmt.Sprintf(`"%016x-%d"`, uint64(DownloadSeed), s.opts.DownloadSize))
	http.ServeContent(w, r, "", s.started, selfcheck.NewReader(DownloadSeed, s.opts.DownloadSize))
}

// stockHolds is how long an amount stays the same.
const stockHolds = 5 * time.Second

type stockAnswer struct {
	Product   int       `json:"product"`
	Available int       `json:"available"`
	At        time.Time `json:"at"`
}

func (s *Shop) stock(w http.ResponseWriter, r *http.Request) {
	const contentType = "application/json"
	id, err := strconv.Atoi(r.PathValue("id"))
	if p := catalog.product(id); err != nil || p == nil {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, `{"error": "no such product"}`)
		return
	}
	now := s.opts.Now().UTC()
	tick := uint64(now.UnixNano()) / uint64(stockHolds)
	body, err := json.Marshal(stockAnswer{
		Product:   id,
		Available: int(uint64(selfcheck.SeedOf("stock"+strconv.Itoa(id), tick)) % 40),
		At:        now.Truncate(time.Second),
	})
	if err != nil {
		panic("BUG: cannot marshal stock: " + err.Error())
	}
	sendUncached(w, contentType, "no-store", append(body, '\n'))
}
