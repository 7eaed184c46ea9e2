package storefront

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed templates/*.html
var templates embed.FS

func parseTemplates() *template.Template {
	return template.Must(template.ParseFS(templates, "templates/*.html"))
}

// pricesHold is how long a page stays the same: within it a revalidation gets 304, after it a new page.
const pricesHold = time.Minute

// view is what every page shows.
type view struct {
	Title      string
	CSS        string
	Categories []*Category
	Active     int // ID of the category that the page belongs to, 0 for none
	Query      string
	Body       string // the template of the page's own part
	AsOf       string // when the prices were set

	// What the page's own part shows; which of them depends on the page.
	Category *Category
	Product  *Product
	Products []*Product
	Others   []*Product
	Lines    []line
	Total    string
	Sort     string
	Page     int
	Pages    []int
}

// render writes a page to memory: a template that fails must not leave half an answer.
func (s *Shop) render(v *view) []byte {
	v.CSS = "/static/" + s.css.name
	v.Categories = catalog.categories
	v.AsOf = s.revision().Format("15:04 MST")
	var b bytes.Buffer
	if err := s.pages.ExecuteTemplate(&b, "layout.html", v); err != nil {
		panic("BUG: cannot render " + v.Body + ": " + err.Error())
	}
	return b.Bytes()
}

// Is tells the layout which part to show.
func (v *view) Is(part string) bool { return v.Body == part }

// revision is when the prices on all pages were set last.
func (s *Shop) revision() time.Time { return s.opts.Now().UTC().Truncate(pricesHold) }

const html = "text/html; charset=utf-8"

func (s *Shop) home(w http.ResponseWriter, r *http.Request) {
	v := &view{Title: "Kestrel & Pine", Body: "home"}
	tags := []string{"home"}
	for i := 0; i < len(catalog.products); i += 6 {
		p := &catalog.products[i]
		v.Products = append(v.Products, p)
		tags = append(tags, p.Tag())
	}
	send(w, r, html, s.render(v), caching{
		control: "public, max-age=60, s-maxage=300, stale-while-revalidate=60, stale-if-error=86400",
		tags:    tags, changed: s.revision(),
	})
}

func (s *Shop) category(w http.ResponseWriter, r *http.Request) {
	c := catalog.category(r.PathValue("slug"))
	if c == nil {
		s.notFound(w, r)
		return
	}
	tags := []string{c.Tag()}
	for _, p := range c.Products {
		tags = append(tags, p.Tag())
	}
	v := &view{Title: c.Name, Body: "category", Active: c.ID, Category: c, Products: c.Products}
	send(w, r, html, s.render(v), caching{
		control: "public, max-age=60, s-maxage=600, stale-while-revalidate=120, stale-if-error=86400",
		tags:    tags, changed: s.revision(),
	})
}

// productOf reads the ID that a slug begins with.
func productOf(slug string) *Product {
	number, _, _ := strings.Cut(slug, "-")
	id, err := strconv.Atoi(number)
	if err != nil {
		return nil
	}
	return catalog.product(id)
}

func (s *Shop) product(w http.ResponseWriter, r *http.Request) {
	p := productOf(r.PathValue("slug"))
	if p == nil {
		s.notFound(w, r)
		return
	}
	if r.URL.Path != p.Path() {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("Surrogate-Key", p.Tag())
		http.Redirect(w, r, p.Path(), http.StatusMovedPermanently)
		return
	}
	v := &view{Title: p.Name, Body: "product", Active: p.Category.ID, Product: p}
	for _, other := range p.Category.Products {
		if other != p && len(v.Others) < 4 {
			v.Others = append(v.Others, other)
		}
	}
	send(w, r, html, s.render(v), caching{
		control: "public, max-age=60, s-maxage=3600, stale-while-revalidate=300, stale-if-error=86400",
		tags:    []string{p.Tag(), p.Category.Tag()}, changed: s.revision(),
	})
}

// searchPage is how many results a page shows.
const searchPage = 12

// queryLimit bounds what is echoed and searched for, in bytes.
const queryLimit = 100

func (s *Shop) search(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	text := strings.ToValidUTF8(q.Get("q"), "")
	if len(text) > queryLimit {
		text = strings.ToValidUTF8(text[:queryLimit], "")
	}
	found := catalog.search(text)
	v := &view{Title: "Search", Body: "search", Query: text, Sort: "name"}
	by := func(a, b *Product) int { return strings.Compare(a.Name, b.Name) }
	if q.Get("sort") == "price" {
		v.Sort = "price"
		by = func(a, b *Product) int { return a.Cents - b.Cents }
	}
	slices.SortStableFunc(found, by)
	pages := max(1, (len(found)+searchPage-1)/searchPage)
	v.Page, _ = strconv.Atoi(q.Get("page"))
	v.Page = min(max(v.Page, 1), pages)
	for n := range pages {
		v.Pages = append(v.Pages, n+1)
	}
	v.Total = fmt.Sprint(len(found))
	v.Products = found[(v.Page-1)*searchPage : min(v.Page*searchPage, len(found))]
	tags := []string{"search"}
	for _, p := range v.Products {
		tags = append(tags, p.Tag())
	}
	send(w, r, html, s.render(v), caching{
		control: "public, max-age=0, s-maxage=60, stale-while-revalidate=30",
		tags:    tags, changed: s.revision(),
	})
}

func (s *Shop) notFound(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	body := s.render(&view{Title: "Not found", Body: "notfound"})
	h.Set("Content-Type", html)
	h.Set("Cache-Control", "public, max-age=30")
	h.Set("Surrogate-Key", "not-found")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}
