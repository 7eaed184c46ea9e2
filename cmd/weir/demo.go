package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/configs"
	"weir/loadtest/storefront"
)

// demoFlags are what the demo lets one choose. An address of "" means the usual
// port, or any free one when that is taken.
type demoFlags struct {
	delay                 time.Duration
	listen, admin, origin string
}

func demoCommand() *cobra.Command {
	var f demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Start a small shop with weir in front of it, and show what to try",
		Long: "Start a small shop on loopback as the origin, weir in front of it, and print what\n" +
			"to try. Nothing needs to be set up; Ctrl-C stops both and leaves nothing behind.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.delay < 0 {
				return usage(c, "--delay: %v is negative (valid: 0s and more)", f.delay)
			}
			return demo(f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().DurationVar(&f.delay, "delay", storefront.DefaultDelay, "how long the shop takes for each page, such as 250ms")
	c.Flags().StringVar(&f.listen, "listen", "", "weir's `ADDRESS` (default 127.0.0.1:8080, or a free port)")
	c.Flags().StringVar(&f.admin, "admin", "", "the admin plane's `ADDRESS` (default 127.0.0.1:8081, or a free port)")
	c.Flags().StringVar(&f.origin, "origin", "", "the shop's `ADDRESS` (default 127.0.0.1:9000, or a free port)")
	return c
}

func demo(f demoFlags, stdout, stderr io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if f.delay == 0 {
		f.delay = -1 // the shop takes 0 for its default
	}
	shop, shopURL, err := startShop(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Close()) }()
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return fmt.Errorf("cannot make a directory for the disk tier: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	n, err := startDemoNode(ctx, f, shopURL, dir, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.drain(0)) }()
	data, admin := n.addresses()
	if err := introduce(ctx, stdout, data[0], admin, shopURL); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-n.failed:
	}
	stop() // a second Ctrl-C ends at once
	fmt.Fprintln(stdout, "\nstopping")
	return err
}

// freeAddress is the address asked for, else the usual one, else a free one.
func freeAddress(ctx context.Context, asked, usual string) (string, error) {
	if asked != "" {
		return asked, nil
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", usual)
	if err != nil {
		return "127.0.0.1:0", nil
	}
	return usual, ln.Close()
}

func startShop(ctx context.Context, f demoFlags) (*http.Server, string, error) {
	addr, err := freeAddress(ctx, f.origin, "127.0.0.1:9000")
	if err != nil {
		return nil, "", err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, "", fmt.Errorf("cannot start the shop: %w", err)
	}
	s := &http.Server{Handler: storefront.New(storefront.Options{Delay: f.delay}), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(ln) }() // ends with Close
	return s, "http://" + ln.Addr().String(), nil
}

// demoConfig is an ordinary configuration: what the demo runs, one can run.
const demoConfig = `listen: %s
admin: {listen: %s}
tiers:
  ram:  {size: 64MiB, max_object: 1MiB}
  disk: {path: %q, size: 1GiB, max_object: 256MiB}
origins:
  shop: {servers: [%q], timeout: 10s}
policies:
  - name: shop
    origin: shop
    key: {query: {ignore: [utm_*, gclid]}}
timeouts: {lame_duck: 0s}
`

func startDemoNode(ctx context.Context, f demoFlags, shopURL, dir string, stderr io.Writer) (*node, error) {
	listen, err := freeAddress(ctx, f.listen, "127.0.0.1:8080")
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress(ctx, f.admin, "127.0.0.1:8081")
	if err != nil {
		return nil, err
	}
	cfg, faults := configs.Parse("demo", fmt.Appendf(nil, demoConfig, listen, admin, dir, shopURL))
	if len(faults) > 0 {
		return nil, fmt.Errorf("cannot run with these addresses: %w", faults)
	}
	return start(ctx, "demo", cfg, stderr)
}

// introduce measures one answer from each place and says what to try.
func introduce(ctx context.Context, w io.Writer, data, admin, shop string) error {
	page, file := "/", "/downloads/catalog.bin"
	var product string
	for _, e := range storefront.Paths() {
		if strings.HasPrefix(e.Path, "/product") {
			product = e.Path
		}
	}
	fmt.Fprintf(w, "weir demo\n\n  the shop itself   %s\n  through weir      %s     <- open this in a browser\n  admin plane       %s/v1/status and %s/metrics\n\n",
		shop, data, admin, admin)
	fmt.Fprint(w, "measured just now:\n\n")
	for _, m := range []struct{ what, path string }{
		{"miss: from the shop", page},
		{"hit: from RAM", page},
		{"miss: from the shop", file},
		{"hit: from disk", file},
	} {
		took, size, status, err := measure(ctx, data+m.path)
		if err != nil {
			return fmt.Errorf("cannot show the demo: %w", err)
		}
		fmt.Fprintf(w, "  %-20s %9.3f ms  %9d bytes  %s\n", m.what, float64(took.Microseconds())/1000, size, status)
	}
	const show = `-s -o /dev/null -w '%{time_total}s  %header{cache-status}\n'`
	fmt.Fprint(w, "\ntry it (the first two are the same command: a miss becomes a hit):\n\n")
	for _, t := range []struct{ what, path string }{{"miss", product}, {"RAM hit", product}, {"disk hit", file}} {
		fmt.Fprintf(w, "  curl %s %s   # %s\n", show, data+t.path, t.what)
	}
	fmt.Fprint(w, "\nCtrl-C stops everything.\n")
	return nil
}

// measure fetches a URL and returns how long it took, its size and what weir
// says about it.
func measure(ctx context.Context, url string) (time.Duration, int64, string, error) {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, "", err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return time.Since(began), n, resp.Header.Get("Cache-Status"), err
}
