package trial

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// guestName is what pages call a visitor who is not logged in.
const guestName = "guest"

// maxBody bounds the body of an answer that a visitor keeps.
const maxBody = 32 << 20

// visitor is one browser: it keeps cookies, and the last answer for each URL, which it asks to have validated.
type visitor struct {
	name     string // unique; what the application calls the visitor when logged in
	loggedIn bool
	base     *url.URL
	client   *http.Client
	kept     map[string]*answer
}

// answer is what a visitor was sent. With status 304 the client machinery below has put the kept page in its place.
type answer struct {
	status    int
	header    http.Header
	body      []byte
	took      time.Duration
	validated bool // a 304 came
}

// newVisitor returns a visitor of the site at base. kind begins the name.
func newVisitor(base, kind string) (*visitor, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", base, err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("cannot make a cookie jar: %w", err)
	}
	random := make([]byte, 6)
	_, _ = rand.Read(random)
	transport := &http.Transport{MaxIdleConnsPerHost: 4, DisableCompression: true}
	client := &http.Client{
		Jar: jar, Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &visitor{name: kind + hex.EncodeToString(random), base: u, client: client, kept: make(map[string]*answer)}, nil
}

// expected is what pages should call v.
func (v *visitor) expected() string {
	if v.loggedIn {
		return v.name
	}
	return guestName
}

// setCookie gives v a cookie that the application did not set.
func (v *visitor) setCookie(name, value string) {
	v.client.Jar.SetCookies(v.base, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// do sends one request and reads the answer. It follows no redirect.
func (v *visitor) do(ctx context.Context, method, path, contentType string, body io.Reader, header http.Header) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, v.base.String()+path, body)
	if err != nil {
		return nil, fmt.Errorf("cannot make a request for %s: %w", path, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	begin := time.Now()
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("cannot get %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("cannot read the body of %s: %w", path, err)
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: got, took: time.Since(begin)}, nil
}

// get asks for a page as a browser does: with the validators of the page that it keeps. A 304 means that page, and
// its body counts as what was sent.
func (v *visitor) get(ctx context.Context, path string, header http.Header) (*answer, error) {
	h := header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	kept := v.kept[path]
	if kept != nil {
		conditions(h, kept.header)
	}
	a, err := v.do(ctx, http.MethodGet, path, "", nil, h)
	if err != nil {
		return nil, err
	}
	switch {
	case a.status == http.StatusNotModified && kept != nil:
		a.status, a.body, a.validated = kept.status, kept.body, true
	case a.status == http.StatusNotModified:
		return nil, errors.New("304 for a request without conditions")
	case a.status == http.StatusOK:
		v.kept[path] = a
	}
	return a, nil
}

// conditions adds to h what a browser asks with when it keeps an answer with the fields of kept.
func conditions(h, kept http.Header) {
	if tag := kept.Get("ETag"); tag != "" {
		h.Set("If-None-Match", tag)
	}
	if modified := kept.Get("Last-Modified"); modified != "" {
		h.Set("If-Modified-Since", modified)
	}
}

// post sends a form.
func (v *visitor) post(ctx context.Context, path string, form url.Values) (*answer, error) {
	return v.do(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), nil)
}

// postForRedirect sends a form that is answered with a redirect when it was taken.
func (v *visitor) postForRedirect(ctx context.Context, path string, form url.Values) error {
	a, err := v.post(ctx, path, form)
	if err != nil {
		return err
	}
	if a.status < 300 || a.status > 399 {
		return fmt.Errorf("POST %s: status %d, want a redirect; %s", path, a.status, bytes.TrimSpace(a.body[:min(len(a.body), 200)]))
	}
	return nil
}
