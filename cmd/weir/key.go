package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strings"

	"github.com/spf13/cobra"

	"weir/policy"
)

func keyCommand() *cobra.Command {
	var path, method string
	var headers []string
	c := &cobra.Command{
		Use:   "key -c weir.yaml [-X METHOD] [-H 'Name: value']... URL",
		Short: "Show which policy matches a request, and its cache key",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load(path, c.ErrOrStderr())
			if err != nil {
				return err
			}
			set, err := rules(cfg)
			if err != nil {
				return err
			}
			q, err := requestOf(method, args[0], headers)
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
			return nil
		},
	}
	configFlag(c, &path)
	c.Flags().StringVarP(&method, "request", "X", "GET", "the request's method")
	c.Flags().StringArrayVarP(&headers, "header", "H", nil, "a header field, as often as needed")
	return c
}

// requestOf is the request that a client would send for the URL.
func requestOf(method, url string, headers []string) (*policy.Request, error) {
	t, err := policy.SplitTarget([]byte(url))
	if err != nil {
		return nil, err
	}
	if t.Form != policy.AbsoluteForm {
		return nil, fmt.Errorf("cannot make a key for %q: it needs a scheme and a host, such as http://example.com/path", url)
	}
	h := keyHeader{}
	for _, line := range headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("cannot read header %q: it is not of the form 'Name: value'", line)
		}
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		h[name] = append(h[name], []byte(strings.TrimSpace(value)))
	}
	raw := t.Authority
	if v := h.Peek("Host"); v != nil {
		raw = v
	}
	host, err := policy.ParseHost(nil, raw, t.Scheme)
	if err != nil {
		return nil, err
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
