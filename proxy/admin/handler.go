package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"weir/invalidation"
)

// StatusSource provides the body of /v1/status: a Status, or anything else that
// encoding/json can write. It is called for each request, from any goroutine.
type StatusSource interface {
	Status() any
}

// ReadySource says whether the process should get traffic: nil, or why not.
type ReadySource interface {
	Ready() error
}

// MetricsSource writes the Prometheus text page.
type MetricsSource interface {
	WriteMetrics(w io.Writer) error
}

// maxBody bounds the body of a request in bytes.
const maxBody = 1 << 20

// Options are the parts that the plane shows; all are needed.
type Options struct {
	Status  StatusSource
	Ready   ReadySource
	Metrics MetricsSource
	Purges  PurgeSource
	Events  *Events
	Audit   *invalidation.Audit // of refusals; nil: no lines
	Tokens  []Token             // as for SetTokens
}

// Handler answers the admin plane. It is safe for concurrent use.
type Handler struct {
	o      Options
	gate   gate
	routes []route
}

// access says who may use a route.
type access uint8

const (
	// accessOpen: everybody.
	accessOpen access = iota
	// accessLocal: everybody when there are tokens, else this machine only. For
	// what is no secret but no business of the network either.
	accessLocal
	// accessRead: whoever has the scope read.
	accessRead
	// accessPurge: whoever has the scope that the purge needs, which the body
	// says: the route looks itself.
	accessPurge
)

// purgePath begins the resource of each purge.
const purgePath = "/v1/purges/"

// route is one resource. It is read with GET or HEAD, or written with POST. A
// path that ends in a slash, the root aside, stands for all below it.
type route struct {
	path   string
	post   bool
	about  string
	access access
	// free: its connection is not protected while it is worked at, since it always
	// answers, or claims protection by itself once it is permitted.
	free  bool
	serve func(req *http.Request) reply
}

// reply is a response in full.
type reply struct {
	status      int
	contentType string
	body        []byte
	header      map[string]string
	// stream, where it is set, writes the body instead, until it is over.
	stream func(w http.ResponseWriter)
}

// NewHandler returns the plane. The error is that of SetTokens.
func NewHandler(o Options) (*Handler, error) {
	h := &Handler{o: o}
	h.routes = []route{
		{"/", false, "this list", accessLocal, false, h.index},
		{"/healthz", false, "200 while the process lives", accessOpen, true, healthz},
		{"/readyz", false, "200 while it should get traffic, else 503", accessOpen, true, h.readyz},
		{"/metrics", false, "metrics as Prometheus text", accessRead, false, h.metrics},
		{"/v1/status", false, "version, tiers, configuration, peers as JSON", accessRead, false, h.status},
		{"/v1/purge", true, "purge urls, tags, prefixes, hosts or all", accessPurge, true, h.purge},
		{"/v1/purges", false, "the log of purges (?last=N, or ?after=ID&limit=N)", accessRead, false, h.purges},
		{purgePath, false, "one purge, by its id, and who has applied it", accessRead, false, h.purgeByID},
		{"/v1/events", false, "purges and changes of peers as they happen (SSE)", accessRead, true, h.events},
	}
	if err := h.SetTokens(o.Tokens); err != nil {
		return nil, err
	}
	return h, nil
}

// SetTokens replaces all tokens from the next request on. With none, only
// this machine is answered. When a token has a fault nothing changes and the
// error names every fault.
func (h *Handler) SetTokens(tokens []Token) error { return h.gate.set(tokens) }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, maxBody)
	h.respond(req).send(w)
}

func (h *Handler) respond(req *http.Request) reply {
	at := slices.IndexFunc(h.routes, func(r route) bool { return r.fits(req.URL.Path) })
	if at < 0 {
		if no := h.permit(req, accessLocal); no != nil {
			return no.reply()
		}
		return (&refusal{status: http.StatusNotFound, Error: "no such resource", Want: "one of the resources that exist", Resources: h.resources()}).reply()
	}
	r := h.routes[at]
	want, allow, ok := r.allows(req.Method)
	if !ok || r.access != accessPurge {
		if no := h.permit(req, r.access); no != nil {
			return no.reply()
		}
	}
	if !ok {
		out := (&refusal{status: http.StatusMethodNotAllowed, Error: "method not allowed", Want: want}).reply()
		out.header = map[string]string{"Allow": allow}
		return out
	}
	if r.post {
		if no := h.permitPage(req); no != nil {
			return no.reply()
		}
		if no := notJSON(req); no != nil {
			h.refused(req, "", no)
			return no.reply()
		}
	}
	if r.free {
		return r.serve(req)
	}
	release, no := claim(req, working)
	if no != nil {
		return no.reply()
	}
	defer release()
	return r.serve(req)
}

func (r *route) fits(path string) bool {
	if r.path == purgePath {
		return strings.HasPrefix(path, purgePath) && path != purgePath
	}
	return r.path == path
}

func (r *route) method() string {
	if r.post {
		return http.MethodPost
	}
	return http.MethodGet
}

// allows tells whether the method is one of the route's, else what would be.
func (r *route) allows(method string) (want, allow string, ok bool) {
	if r.post {
		return "POST", "POST", method == http.MethodPost
	}
	return "GET or HEAD", "GET, HEAD", method == http.MethodGet || method == http.MethodHead
}

// permit returns nil when req may use what needs a, else the refusal.
func (h *Handler) permit(req *http.Request, a access) *refusal {
	if a == accessOpen {
		return nil
	}
	scope := ScopeRead
	switch {
	case a == accessPurge:
		scope = ScopePurgeTag
	case a == accessLocal && len(h.gate.list()) > 0:
		return h.permitPage(req)
	}
	_, no := h.permitScope(req, scope)
	return no
}

// permitPage keeps pages of other origins out.
func (h *Handler) permitPage(req *http.Request) *refusal {
	no := fromElsewhere(req)
	if no != nil {
		h.refused(req, "", no)
	}
	return no
}

// permitScope returns nil when req may use the scope, and says who asks.
func (h *Handler) permitScope(req *http.Request, s Scope) (invalidation.Who, *refusal) {
	if no := h.permitPage(req); no != nil {
		return invalidation.Who{}, no
	}
	name, no := h.gate.permit(req, s)
	if no != nil {
		h.refused(req, name, no)
	}
	return who(req, name), no
}

// refused leaves the audit line.
func (h *Handler) refused(req *http.Request, token string, no *refusal) {
	h.o.Audit.Refused(who(req, token), req.Method+" "+req.URL.Path, no.Error)
}

func who(req *http.Request, token string) invalidation.Who {
	w := invalidation.Who{Via: "api", Token: token, Address: req.RemoteAddr, Agent: req.UserAgent()}
	if host, _, err := net.SplitHostPort(req.RemoteAddr); err == nil {
		w.Address = host
	}
	return w
}

func (h *Handler) resources() []string {
	out := make([]string, len(h.routes))
	for i, r := range h.routes {
		out[i] = r.method() + " " + r.path
	}
	return out
}

func (h *Handler) index(*http.Request) reply {
	var b strings.Builder
	b.WriteString("weir admin plane\n\n")
	for _, r := range h.routes {
		line := r.method() + " " + r.path
		if r.path == purgePath {
			line += "ID"
		}
		b.WriteString(line + strings.Repeat(" ", max(1, 19-len(line))) + r.about)
		switch {
		case len(h.gate.list()) == 0:
		case r.access == accessRead:
			b.WriteString(" (token with scope read)")
		case r.access == accessPurge:
			b.WriteString(" (token with scope purge, or purge:tag for tags)")
		}
		b.WriteByte('\n')
	}
	return text(http.StatusOK, b.String())
}

func healthz(*http.Request) reply { return text(http.StatusOK, "ok\n") }

// readyz names the reason only to those who may read the status.
func (h *Handler) readyz(req *http.Request) reply {
	err := h.o.Ready.Ready()
	switch {
	case err == nil:
		return text(http.StatusOK, "ready\n")
	case !h.mayRead(req):
		return text(http.StatusServiceUnavailable, "not ready\n")
	}
	return text(http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
}

// mayRead reports whether req may read the status. It leaves no line: a health
// check needs no token.
func (h *Handler) mayRead(req *http.Request) bool {
	if fromElsewhere(req) != nil {
		return false
	}
	_, no := h.gate.permit(req, ScopeRead)
	return no == nil
}

func (h *Handler) metrics(*http.Request) reply {
	var b bytes.Buffer
	if err := h.o.Metrics.WriteMetrics(&b); err != nil {
		return (&refusal{status: http.StatusInternalServerError, Error: err.Error()}).reply()
	}
	return reply{status: http.StatusOK, contentType: "text/plain; version=0.0.4; charset=utf-8", body: b.Bytes()}
}

func (h *Handler) status(*http.Request) reply {
	s := h.o.Status.Status()
	if ours, ok := s.(Status); ok {
		s = ours.Normalized()
	}
	return jsonReply(http.StatusOK, s)
}

// refusal is the JSON body of every answer that is not the resource.
type refusal struct {
	status    int
	Error     string   `json:"error"`
	Want      string   `json:"want,omitempty"`
	Faults    []string `json:"faults,omitempty"`
	Resources []string `json:"resources,omitempty"`
	// retryAfter: the same request may do in a second.
	retryAfter bool
}

func (r *refusal) reply() reply {
	out := jsonReply(r.status, r)
	switch {
	case r.retryAfter:
		out.header = map[string]string{"Retry-After": "1"}
	case r.status == http.StatusUnauthorized:
		out.header = map[string]string{"WWW-Authenticate": `Bearer realm="weir"`}
	}
	return out
}

func text(status int, body string) reply {
	return reply{status: status, contentType: "text/plain; charset=utf-8", body: []byte(body)}
}

func jsonReply(status int, v any) reply {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		b.Reset()
		status = http.StatusInternalServerError
		_ = enc.Encode(refusal{Error: "cannot encode the answer: " + err.Error()}) // strings always encode
	}
	return reply{status: status, contentType: "application/json", body: b.Bytes()}
}

// send writes r; net/http leaves the body out for HEAD.
func (r reply) send(w http.ResponseWriter) {
	header := w.Header()
	for name, value := range r.header {
		header.Set(name, value)
	}
	header.Set("Content-Type", r.contentType)
	if r.stream == nil {
		header.Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.status)
	if r.stream != nil {
		r.stream(w)
		return
	}
	_, _ = w.Write(r.body) // the client went away: nobody is left to tell
}
