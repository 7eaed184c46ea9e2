package policy

import (
	"bytes"
	"strings"
)

// A rule whose path pattern ends in a file name's extension, such as "*.css",
// says of what kind its responses are. Many applications answer /account/x.css as
// they answer /account; so the response has to be of that kind.

// typeFits reports whether the response is of the type that the end of the path
// promises. It is so where a pattern that promises nothing fits the path, where
// the response is a redirect or says that there is nothing, and where it has no
// body.
func (r *Rule) typeFits(q *Request, resp *Response) bool {
	switch {
	case resp.Status == 204, resp.Status >= 300 && resp.Status < 400, resp.Status == 404, resp.Status == 410:
		return true
	}
	if len(r.Match.Paths) == 0 {
		return true
	}
	path := appendURI(nil, q.Path, &pathClasses)
	promised := ""
	for _, pattern := range r.Match.Paths {
		if !glob(pattern, path) {
			continue
		}
		extension := extensionOf(pattern)
		if extension == "" {
			return true
		}
		promised = extension
	}
	return promised == "" || fitsExtension(promised, resp.Fields.Get("Content-Type"))
}

// extensionOf returns the extension that every path has which fits the pattern
// by its end, in lower case and without the dot; "" when there is none, and when
// the pattern names a single file.
func extensionOf(pattern string) string {
	star := strings.LastIndexByte(pattern, '*')
	tail := pattern[star+1:]
	dot := strings.LastIndexByte(tail, '.')
	if star < 0 || dot < 0 || dot == len(tail)-1 || strings.IndexByte(tail[dot:], '/') >= 0 {
		return ""
	}
	return strings.ToLower(tail[dot+1:])
}

// extensionTypes are the media types that go with an extension: whole types, or
// the beginnings of types where they end in "/". What is not listed may be
// anything but a page or data of an application.
var extensionTypes = map[string][]string{
	"css": {"text/css"},
	"js":  {"text/javascript", "application/javascript", "application/x-javascript", "application/ecmascript", "text/ecmascript"},
	"mjs": {"text/javascript", "application/javascript", "application/x-javascript"},
	"map": {"application/json", "text/plain", "application/octet-stream"},

	"json": {"application/json"}, "webmanifest": {"application/manifest+json", "application/json"},
	"html": {"text/html", "application/xhtml+xml"}, "htm": {"text/html", "application/xhtml+xml"},
	"txt": {"text/plain"}, "csv": {"text/csv", "text/plain"}, "md": {"text/markdown", "text/plain"},
	"xml": {"application/xml", "text/xml", "application/rss+xml", "application/atom+xml"},
	"rss": {"application/rss+xml", "application/xml", "text/xml"}, "atom": {"application/atom+xml", "application/xml", "text/xml"},
	"pdf": {"application/pdf"}, "wasm": {"application/wasm"},
}

// mediaExtensions are those of images, fonts, sound, films and archives, whose
// types are many.
var mediaExtensions = newExtensions(
	"png jpg jpeg jpe gif webp avif svg svgz ico bmp tif tiff heic heif jxl apng cur", "image/",
	"woff woff2 ttf otf eot", "font/ application/font application/x-font application/vnd.ms-fontobject",
	"mp4 m4v webm mov avi mkv ogv mpg mpeg ts m4s m3u8 mpd vtt", "video/ audio/ application/vnd.apple.mpegurl application/x-mpegurl application/dash+xml text/vtt",
	"mp3 m4a aac ogg oga opus flac wav mid", "audio/ video/ application/ogg",
	"zip gz tgz bz2 xz zst 7z rar tar jar iso dmg exe msi deb rpm apk bin", "application/",
)

func newExtensions(pairs ...string) map[string][]string {
	m := make(map[string][]string)
	for i := 0; i < len(pairs); i += 2 {
		for _, extension := range strings.Fields(pairs[i]) {
			m[extension] = append(strings.Fields(pairs[i+1]), "application/octet-stream", "binary/octet-stream")
		}
	}
	return m
}

// pageTypes are the types of what an application makes for a visitor.
var pageTypes = []string{"text/html", "application/xhtml+xml", "application/json", "text/xml", "application/xml", "text/plain"}

// fitsExtension reports whether a Content-Type goes with an extension.
func fitsExtension(extension, contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(trim(media))
	if types, ok := extensionTypes[extension]; ok {
		for _, t := range types {
			if media == t {
				return true
			}
		}
		return extension == "json" && strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
	}
	if prefixes, ok := mediaExtensions[extension]; ok {
		for _, p := range prefixes {
			if strings.HasPrefix(media, p) && media != "application/json" && media != "application/xhtml+xml" && media != "application/xml" {
				return true
			}
		}
		return false
	}
	return media != "" && !contains(pageTypes, media)
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// reflects reports whether a response holds the value of a parameter that does
// not count in the key: whole, in whatever encoding. In fields that hold a URL
// each value counts; elsewhere those of four bytes and more, which do not stand
// there by chance.
func reflects(r *Rule, q *Request, fields Fields) bool {
	ignored := r.AppendIgnored(nil, q)
	for len(ignored) > 0 {
		p := cutParam(ignored, 0)
		value := plainText(ignored[min(p.equals+1, p.end):p.end])
		if p.equals == p.end {
			value = plainText(ignored[:p.end])
		}
		for i := range fields {
			least, checked := leastReflection(fields[i].Name)
			if checked && len(value) >= least && bytes.Contains(plainText([]byte(fields[i].Value)), value) {
				return true
			}
		}
		if p.end == len(ignored) {
			break
		}
		ignored = ignored[p.end+1:]
	}
	return false
}

// leastReflection is how long a value must be to count in a field of that name.
func leastReflection(name string) (least int, checked bool) {
	switch name {
	case "Location", "Content-Location", "Link", "Refresh":
		return 1, true
	case "Age", "Accept-Ranges", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Etag",
		"Expires", "Last-Modified", "Server", "Vary":
		return 0, false
	}
	return 4, true
}

// plainText is s with its triplets decoded, "+" for a space included, as often as
// an origin may encode.
func plainText(s []byte) []byte {
	out := appendDecoded(nil, s)
	for range 2 {
		out = appendDecoded(nil, out)
	}
	return out
}
