package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"weir/configs"
	"weir/policy"
)

func keyCommand() *cobra.Command {
	var file configFile
	var method, from string
	var headers []string
	c := &cobra.Command{
		Use:   "key [-c FILE | FILE] [-X METHOD] [-H 'Name: value']... [--from ADDRESS] URL",
		Short: "Show which policy matches a request, its cache key, and what the origin is asked",
		Long: "Show which policy matches a request, the text and the hash of its cache key, and what the\n" +
			"origin would be asked. Nothing is sent: the answer follows from the configuration alone.",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, "key needs a URL, such as http://example.com/path")
			}
			if first := args[0]; len(args) > 1 && strings.Contains(first, "://") {
				return usage(c, "key takes one URL, and got %q and %q", first, args[1])
			}
			return file.argument(c, args[:len(args)-1])
		},
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load(file.path, c.ErrOrStderr())
			if err != nil {
				return err
			}
			set, err := rules(cfg)
			if err != nil {
				return err
			}
			q, err := newKeyRequest(cfg, method, args[len(args)-1], headers, from)
			if err != nil {
				return err
			}
			return q.show(c.OutOrStdout(), set)
		},
	}
	file.flag(c)
	c.Flags().StringVarP(&method, "request", "X", "GET", "the request's `METHOD`")
	c.Flags().StringArrayVarP(&headers, "header", "H", nil, "a header field of the request: `'NAME: VALUE'`")
	c.Flags().StringVar(&from, "from", "", "the `ADDRESS` that the request comes from; one of trusted_proxies is believed")
	return c
}

// keyRequest is a request as a client would send it, and its canonical form.
type keyRequest struct {
	policy.Request
	view    policy.View
	from    policy.Sender
	arrived policy.Fields
	name    string // weir's, in Via
}

// newKeyRequest makes the request that a client would send for the URL.
func newKeyRequest(cfg *configs.Config, method, url string, headers []string, from string) (*keyRequest, error) {
	if !httpguts.ValidHeaderFieldName(method) { // a method is a token as well
		return nil, fmt.Errorf("cannot make a key for method %q: it is no HTTP method", method)
	}
	t, err := policy.SplitTarget([]byte(url))
	if err == nil && t.Form != policy.AbsoluteForm {
		err = errors.New("it has no scheme and host")
	}
	if err != nil {
		valid := "a whole URL is needed, such as http://example.com/path"
		if before, _, found := strings.Cut(url, "#"); found {
			valid = "browsers keep it to themselves: leave out what begins with #, " + before
		}
		return nil, fmt.Errorf("cannot make a key for %q: %w (%s)", url, err, valid)
	}
	q := &keyRequest{name: cfg.CacheName, from: policy.Sender{Scheme: t.Scheme, Proxies: cfg.TrustedProxies}}
	if from != "" {
		if q.from.Addr, err = netip.ParseAddr(from); err != nil {
			return nil, fmt.Errorf("cannot use --from %q: it is not an IP address (valid: one such as 192.0.2.1 or 2001:db8::1)", from)
		}
	}
	raw, err := q.rawHeader(t.Authority, headers)
	if err != nil {
		return nil, err
	}
	if !q.view.Read(raw, q.from.Trusted()) {
		return nil, fmt.Errorf("cannot make a key for this request: %s: weir would answer 400", q.view.Fault)
	}
	q.Method, q.Path, q.Query = method, t.Path, t.Query
	q.Scheme = q.view.Scheme(&q.from)
	if q.Host, err = policy.ParseHost(nil, q.view.Host, q.Scheme); err != nil {
		return nil, fmt.Errorf("cannot make a key for host %q: %w", q.view.Host, err)
	}
	q.view.Fill(&q.Request)
	return q, nil
}

// rawHeader is the header section: the fields of the flags, and a Host.
func (q *keyRequest) rawHeader(authority []byte, headers []string) ([]byte, error) {
	host := "Host: " + string(authority) + "\r\n"
	var raw strings.Builder
	for _, line := range headers {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("cannot read header %q: it is not of the form 'Name: value'", line)
		}
		if strings.EqualFold(name, "Host") {
			host = ""
		}
		q.arrived = append(q.arrived, policy.Field{Name: policy.CanonicalName(name), Value: value})
		raw.WriteString(name + ": " + value + "\r\n")
	}
	return []byte(host + raw.String()), nil
}

// show writes the policy, the key and what the origin is asked.
func (q *keyRequest) show(w io.Writer, set *policy.Set) error {
	if set.MatchesMade() {
		q.view.Forwarded(&q.Request, nil, &q.from, "1.1", q.name)
	}
	r := set.Match(&q.Request)
	if r == nil {
		return errors.New("no policy matches: weir would answer 404")
	}
	q.view.Settle(r, &q.Request)
	q.view.Forwarded(&q.Request, r, &q.from, "1.1", q.name)
	text := r.AppendKey(nil, &q.Request)
	fmt.Fprintf(w, "policy: %s\nkey:    %s\nhash:   %s\n",
		r.Name, strings.ReplaceAll(string(text), "\n", "\n        "), policy.HashKey(text))
	pass := ""
	switch {
	case r.Pass:
		pass = "the policy stores nothing"
	case q.Method != "GET" && q.Method != "HEAD":
		pass = "only GET and HEAD are answered from the cache"
		if upper := strings.ToUpper(q.Method); upper == "GET" || upper == "HEAD" {
			pass += ", and methods are in upper case: " + upper
		}
	case q.view.Override:
		pass = policy.ReasonOverride.String() + ": a field names another path, host or method, and is not in the key"
	case set.InDoubt(r, &q.Request):
		pass = policy.ReasonPathInDoubt.String() + ": an origin may read this path as another"
	}
	if pass != "" {
		fmt.Fprintf(w, "pass:   %s\n", pass)
	}
	target := "the target as it came"
	if pass == "" {
		target = string(r.AppendTarget(nil, &q.Request))
	}
	fmt.Fprintf(w, "origin: %s %s\n        Host: %s\n", q.Method, target, q.Host)
	q.showFields(w, r)
	return nil
}

// showFields writes the fields that weir adds, changes or takes out.
func (q *keyRequest) showFields(w io.Writer, r *policy.Rule) {
	for _, f := range r.Sent(&q.Request) {
		if f.Name != "Host" && !has(q.arrived, f) {
			fmt.Fprintf(w, "        %s: %s\n", f.Name, f.Value)
		}
	}
	sent := r.Sent(&q.Request)
	for i, f := range q.arrived {
		if !sent.Has(f.Name) && !q.arrived[:i].Has(f.Name) {
			fmt.Fprintf(w, "        (without %s)\n", f.Name)
		}
	}
}

func has(fields policy.Fields, f policy.Field) bool {
	for _, g := range fields {
		if g == f {
			return true
		}
	}
	return false
}
