package storefront

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed static/style.css
var static embed.FS

// asset is a file that never changes under its name.
type asset struct {
	name string
	body []byte
}

func loadCSS() asset {
	body, err := static.ReadFile("static/style.css")
	if err != nil {
		panic("BUG: the style sheet is not embedded: " + err.Error())
	}
	return asset{name: "style." + digest(body)[:10] + ".css", body: body}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// caching is what an answer tells caches.
type caching struct {
	control string
	tags    []string
	changed time.Time // Last-Modified
}

// send writes a body with its validators and answers conditional requests. Text is compressed where the client takes it;
// the compressed form is another representation and has an ETag of its own.
func send(w http.ResponseWriter, r *http.Request, contentType string, body []byte, c caching) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", c.control)
	if len(c.tags) > 0 {
		h.Set("Surrogate-Key", strings.Join(c.tags, " "))
	}
	tag := digest(body)
	if strings.HasPrefix(contentType, "text/") || strings.HasPrefix(contentType, "image/svg") {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			body = compress(body)
			tag += "-gz"
			h.Set("Content-Encoding", "gzip")
			h.Set("Content-Length", strconv.Itoa(len(body))) // ServeContent leaves it out for encoded bodies
		}
	}
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", c.changed, bytes.NewReader(body))
}

// sendUncached writes a body that belongs to one client or one moment.
func sendUncached(w http.ResponseWriter, contentType, control string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", control)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	zw.Write(body) // a bytes.Buffer takes everything
	zw.Close()
	return b.Bytes()
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3): gzip by name, or * where gzip is not named, with q above 0.
func acceptsGzip(fields []string) bool {
	star := false
	for item := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		coding, params, _ := strings.Cut(item, ";")
		coding = strings.ToLower(strings.TrimSpace(coding))
		wanted := true
		if name, q, ok := strings.Cut(params, "="); ok && strings.EqualFold(strings.TrimSpace(name), "q") {
			v, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			wanted = err == nil && v > 0
		}
		switch coding {
		case "gzip", "x-gzip":
			return wanted
		case "*":
			star = wanted
		}
	}
	return star
}
