package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"weir/policy"
)

func keyCommand() *cobra.Command {
	var file configFile
	var method string
	var headers []string
	c := &cobra.Command{
		Use:   "key [-c FILE | FILE] [-X METHOD] [-H 'Name: value']... URL",
		Short: "Show which policy matches a request, and its cache key",
		Long: "Show which policy matches a request, and the text and the hash of its cache key. Nothing is\n" +
			"sent: the answer follows from the configuration alone.",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, "key needs a URL, such as http://example.com/path")
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
			q, err := requestOf(method, args[len(args)-1], headers)
			if err != nil {
				return err
			}
			r := set.Match(q)
			if r == nil {
				return errors.New("no policy matches: weir would answer 404")
			}
			text := r.AppendKey(nil, q)
			fmt.Fprintf(c.OutOrStdout(), "policy: %s\nkey:    %s\nhash:   %s\n",
				r.Name, strings.ReplaceAll(string(text), "\n", "\n        "), policy.HashKey(text))
			if r.Pass {
				fmt.Fprintln(c.OutOrStdout(), "pass:   the policy stores nothing")
			}
			return nil
		},
	}
	file.flag(c)
	c.Flags().StringVarP(&method, "request", "X", "GET", "the request's `METHOD`")
	c.Flags().StringArrayVarP(&headers, "header", "H", nil, "a header field of the request: `'NAME: VALUE'`")
	return c
}

// requestOf is the request that a client would send for the URL.
func requestOf(method, url string, headers []string) (*policy.Request, error) {
	if !httpguts.ValidHeaderFieldName(method) { // a method is a token as well
		return nil, fmt.Errorf("cannot make a key for method %q: it is no HTTP method", method)
	}
	t, err := policy.SplitTarget([]byte(url))
	if err == nil && t.Form != policy.AbsoluteForm {
		err = errors.New("it has no scheme and host")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a key for %q: %w (a whole URL is needed, such as http://example.com/path)", url, err)
	}
	h := keyHeader{}
	for _, line := range headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("cannot read header %q: it is not of the form 'Name: value'", line)
		}
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		h[name] = append(h[name], []byte(strings.TrimSpace(value)))
	}
	raw := t.Authority
	switch hosts := h.PeekAll("Host"); len(hosts) {
	case 0:
	case 1:
		raw = hosts[0]
	default:
		return nil, errors.New("cannot make a key for a request with several Host headers: weir would answer 400")
	}
	host, err := policy.ParseHost(nil, raw, t.Scheme)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key for host %q: %w", raw, err)
	}
	q := &policy.Request{Method: method, Scheme: t.Scheme, Host: host, Path: t.Path, Query: t.Query, Header: h}
	q.CacheControl = h.joined("Cache-Control")
	q.Authorization = h.joined("Authorization")
	return q, nil
}

// keyHeader is a policy.RequestHeader made from -H flags.
type keyHeader map[string][][]byte

// Peek implements policy.RequestHeader.
func (h keyHeader) Peek(name string) []byte {
	if v := h.PeekAll(name); len(v) > 0 {
		return v[0]
	}
	return nil
}

// PeekAll implements policy.RequestHeader.
func (h keyHeader) PeekAll(name string) [][]byte { return h[textproto.CanonicalMIMEHeaderKey(name)] }

func (h keyHeader) joined(name string) []byte {
	if v := h.PeekAll(name); len(v) > 0 {
		return bytes.Join(v, []byte(", "))
	}
	return nil
}
