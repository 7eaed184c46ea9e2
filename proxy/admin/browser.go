package admin

import (
	"mime"
	"net/http"
	"strings"
)

// A browser on a machine that may use the plane runs pages of anybody. What keeps
// them out stands here: they cannot send application/json without asking first,
// which nothing answers, and a browser says where a request comes from.

// fromElsewhere returns the refusal of a request that a page of another origin
// made, else nil. A person who follows a link to the plane is let through: the
// page that has the link cannot read the answer.
func fromElsewhere(req *http.Request) *refusal {
	const want = "a request that no web page makes, or one of a page of this very host and port"
	switch site := req.Header.Get("Sec-Fetch-Site"); {
	case site == "" || site == "none" || site == "same-origin":
	case followsLink(req):
	default:
		return &refusal{status: http.StatusForbidden, Error: "a page of another origin made the request (Sec-Fetch-Site)", Want: want}
	}
	for _, origin := range req.Header.Values("Origin") {
		scheme, host, _ := strings.Cut(origin, "://")
		if scheme != "http" && scheme != "https" || !strings.EqualFold(host, req.Host) {
			return &refusal{status: http.StatusForbidden, Error: "a page of another origin made the request (Origin)", Want: want}
		}
	}
	return nil
}

func followsLink(req *http.Request) bool {
	return (req.Method == http.MethodGet || req.Method == http.MethodHead) &&
		req.Header.Get("Sec-Fetch-Mode") == "navigate" && req.Header.Get("Sec-Fetch-Dest") == "document"
}

// notJSON returns the refusal of a request that changes something and does not
// say that it is JSON, else nil.
func notJSON(req *http.Request) *refusal {
	types := req.Header.Values("Content-Type")
	if len(types) == 1 {
		if t, _, err := mime.ParseMediaType(types[0]); err == nil && t == "application/json" {
			return nil
		}
	}
	return &refusal{
		status: http.StatusUnsupportedMediaType, Error: "the body is not said to be JSON",
		Want: "one header Content-Type: application/json (curl --json, or -H)",
	}
}
