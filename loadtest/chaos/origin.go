package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/loadtest/loadorigin"
	"weir/loadtest/selfcheck"
)

// origin is what stands behind weir: two servers of the shop, and one of pages that belong to somebody.
type origin struct {
	shop   *loadorigin.Origin
	gates  []*gate // of the shop
	people *gate
	broken atomic.Int64 // uploads that came with other bytes than were sent
	wg     sync.WaitGroup
	stop   context.CancelFunc
	server *http.Server
}

func startOrigin() (*origin, error) {
	shop, err := loadorigin.New(loadorigin.Options{})
	if err != nil {
		return nil, fmt.Errorf("cannot make the origin: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := &origin{shop: shop, stop: cancel}
	for range 2 {
		g, err := newGate()
		if err != nil {
			cancel()
			return nil, err
		}
		o.gates = append(o.gates, g)
		o.wg.Go(func() { _ = shop.Serve(ctx, g) }) // it returns when ctx ends
	}
	if o.people, err = newGate(); err != nil {
		cancel()
		return nil, err
	}
	o.server = &http.Server{Handler: http.HandlerFunc(o.page), ReadHeaderTimeout: time.Minute}
	o.wg.Go(func() { _ = o.server.Serve(o.people) })
	return o, nil
}

func (o *origin) close() {
	o.stop()
	for _, g := range o.all() {
		_ = g.Close()
	}
	_ = o.server.Close()
	o.wg.Wait()
}

func (o *origin) all() []*gate { return append([]*gate{o.people}, o.gates...) }

// connections is how many weir holds to all servers.
func (o *origin) connections() int {
	n := 0
	for _, g := range o.all() {
		n += g.connections()
	}
	return n
}

// visitorField names the visitor that a page was made for.
const visitorField = "Chaos-Visitor"

// pageSize of a visitor's page.
const pageSize = 3000

// pageKinds are the ways in which pages that belong to a visitor say so: hardly, mostly.
var pageKinds = map[string]string{
	"etag": "", "nocache": "no-cache", "private": "private, max-age=60", "zero": "max-age=0", "validate": "max-age=0, must-revalidate",
	"modified": "", "nostore": "no-store", "cookie": "max-age=60",
}

// page answers /me/KIND/N with a page for the visitor whose cookie came, and /up/N with what was uploaded.
func (o *origin) page(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/up/") {
		o.upload(w, r)
		return
	}
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) != 4 {
		http.NotFound(w, r)
		return
	}
	who := "nobody"
	if c, err := r.Cookie("sid"); err == nil {
		who = c.Value
	}
	// Pages take a while, so that visitors meet each other's requests.
	time.Sleep(time.Duration(2+len(who)%5*4) * time.Millisecond)
	h := w.Header()
	cc, known := pageKinds[parts[2]]
	if !known {
		http.NotFound(w, r)
		return
	}
	if cc != "" {
		h.Set("Cache-Control", cc)
	}
	name := r.URL.Path + "#" + who
	switch parts[2] {
	case "modified":
		h.Set("Last-Modified", time.Now().Add(-100*24*time.Hour).UTC().Format(http.TimeFormat))
	case "cookie":
		// The page is for all, its cookie is not.
		name = r.URL.Path
		h.Set("Set-Cookie", "mine="+who)
	default:
		h.Set("ETag", `"`+who+`"`)
	}
	h.Set(visitorField, who)
	h.Set("Content-Length", strconv.Itoa(pageSize))
	h.Set("Content-Type", "text/html")
	_, _ = w.Write(selfcheck.Bytes(selfcheck.SeedOf(name, 0), 0, pageSize))
}

// upload checks the bytes of a request's body, whose length the path says, and answers with their number.
func (o *origin) upload(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/up/"), 10, 64)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	n, err := selfcheck.Verify(r.Body, selfcheck.SeedOf(r.URL.Path, 0), 0, size, nil)
	var fault *selfcheck.Error
	switch {
	case errors.As(err, &fault):
		o.broken.Add(1)
		http.Error(w, fault.Error(), http.StatusUnprocessableEntity)
	case err != nil: // it was cut, and that is known
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, strconv.FormatInt(n, 10)) // the client may have left
	}
}
