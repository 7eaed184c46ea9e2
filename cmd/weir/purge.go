package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"weir/proxy/admin"
)

// purgeFlags are those of weir purge.
type purgeFlags struct {
	request   admin.PurgeRequest
	config    configFile
	address   string
	tokenFile string
	wait      bool
	timeout   time.Duration
}

func purgeCommand() *cobra.Command {
	var f purgeFlags
	c := &cobra.Command{
		Use:   "purge --url URL | --tag TAG | --prefix PREFIX | --host HOST | --all",
		Short: "Purge URLs, tags, prefixes, hosts or everything, and show where it is in effect",
		Long: "Purge what is stored: by URL (//host/path for both schemes), tag, prefix (http://host/path, //host/path, or\n" +
			"/path on every host), host, or everything. Every flag can be given more than once. Exit 0 only when what\n" +
			"was asked for is done: on this node, and with --wait on every node.\n\n" +
			"The running weir is found through --address, else through admin.listen of the configuration file (-c).\n" +
			"A token, where one is needed, comes from --token-file or from WEIR_TOKEN in the environment.",
		SuggestFor: []string{"ban", "invalidate", "delete", "clear", "flush"},
		Args:       purgeArguments,
		RunE:       func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	r := &f.request
	c.Flags().StringArrayVar(&r.URLs, "url", nil, "a URL; //host/path is both schemes")
	c.Flags().StringArrayVar(&r.Tags, "tag", nil, "a surrogate key")
	c.Flags().StringArrayVar(&r.Prefixes, "prefix", nil, "the beginning of URLs, or of paths on every host")
	c.Flags().StringArrayVar(&r.Hosts, "host", nil, "all of a host")
	c.Flags().BoolVar(&r.All, "all", false, "everything")
	c.Flags().BoolVar(&r.Soft, "soft", false, "make it stale instead: served while it is revalidated, or when the origin fails")
	c.Flags().BoolVar(&f.wait, "wait", false, "wait until every node has applied it")
	c.Flags().DurationVar(&f.timeout, "timeout", 2*time.Second, "how long --wait waits, at most 1m")
	c.Flags().StringVar(&f.address, "address", "", "host:port of the admin plane")
	c.Flags().StringVar(&f.tokenFile, "token-file", "", "a file that holds the token")
	f.config.flag(c)
	return c
}

// purgeArguments refuses arguments: what is purged is always said by a flag, so
// that a tag is never taken for a host.
func purgeArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 && strings.Contains(args[0], "//") {
		return usage(c, "purge takes no argument; did you mean --url %s?", args[0])
	}
	return noArguments(c, args)
}

func (f *purgeFlags) run(c *cobra.Command) error {
	if f.request.Entries() == 0 {
		return usage(c, "nothing to purge: name --url, --tag, --prefix or --host, or --all")
	}
	address, err := f.adminAddress(c)
	if err != nil {
		return err
	}
	token, err := f.token()
	if err != nil {
		return err
	}
	if !httpguts.ValidHeaderFieldValue(token) {
		return errors.New("the token holds a line end or another control character (valid: the token on one line)")
	}
	f.request.Timeout = f.timeout.String()
	f.request.Wait = "local"
	if f.wait {
		f.request.Wait = "all"
	}
	body, err := json.Marshal(&f.request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), f.timeout+30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/purge", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "weir-purge")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach the admin plane of weir: %w (is it running, and is this its address?)", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("cannot read the answer of %s: %w", address, err)
	}
	return showPurge(c, address, resp.StatusCode, answer)
}

// adminAddress is where the admin plane of the running weir is.
func (f *purgeFlags) adminAddress(c *cobra.Command) (string, error) {
	if f.address != "" {
		_, port, err := net.SplitHostPort(f.address)
		if err != nil || port == "" || strings.Contains(port, "/") {
			return "", usage(c, "--address: %q is not an address (valid: host:port of the admin plane, such as 127.0.0.1:8081)", f.address)
		}
		return f.address, nil
	}
	cfg, err := load(f.config.path, io.Discard)
	if err != nil {
		if c.Flags().Changed("config") {
			return "", fmt.Errorf("cannot find the admin plane, since %s cannot be used (weir check %s says why); or name it with --address", f.config.path, f.config.path)
		}
		return "", errors.New("where is the admin plane? Name it with --address HOST:PORT, or the configuration file with -c")
	}
	host, port, err := net.SplitHostPort(cfg.Admin.Listen)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

func (f *purgeFlags) token() (string, error) {
	if f.tokenFile == "" {
		return strings.TrimSpace(os.Getenv("WEIR_TOKEN")), nil
	}
	b, err := os.ReadFile(f.tokenFile)
	if err != nil {
		return "", fmt.Errorf("cannot read the token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// showPurge prints the answer for a person.
func showPurge(c *cobra.Command, address string, status int, answer []byte) error {
	if status != http.StatusOK && status != http.StatusAccepted {
		var no struct {
			Error, Want string
			Faults      []string
		}
		if json.Unmarshal(answer, &no) != nil || no.Error == "" {
			return fmt.Errorf("%s answered %d, and not as an admin plane does: is this the address of admin.listen?", address, status)
		}
		for _, f := range no.Faults {
			fmt.Fprintln(c.ErrOrStderr(), f)
		}
		if no.Want != "" {
			no.Error += "; needed: " + no.Want
		}
		return errors.New(no.Error)
	}
	var r admin.PurgeResult
	if err := json.Unmarshal(answer, &r); err != nil || r.ID == "" {
		return fmt.Errorf("%s answered, and not as an admin plane does: is this the address of admin.listen?", address)
	}
	out := c.OutOrStdout()
	fmt.Fprintf(out, "purge %s\n", r.ID)
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, a := range r.Applied {
		fmt.Fprintf(t, "  %s\tapplied\t%v\n", a.Node, (time.Duration(a.Micros) * time.Microsecond).String())
	}
	for _, p := range r.Pending {
		fmt.Fprintf(t, "  %s\tPENDING\tnot heard from in time\n", p)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Pending) > 0 {
		return fmt.Errorf("%s not said that it has applied the purge; ask again with: curl http://%s/v1/purges/%s", hasNot(len(r.Pending)), address, r.ID)
	}
	return nil
}

func hasNot(nodes int) string {
	if nodes == 1 {
		return "1 node has"
	}
	return fmt.Sprintf("%d nodes have", nodes)
}
