package bare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Send asks address for every path, each once, over a number of connections,
// and compares every body with what it must be; host is the Host header. It
// ends at the first fault of each connection, or when ctx does.
//
// The order is that of paths, but for what the connections overtake.
func Send(ctx context.Context, address, host string, connections int, paths iter.Seq[string]) error {
	client := &fasthttp.HostClient{
		Addr: address, MaxConns: connections, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		MaxIdemponentCallAttempts: 1, NoDefaultUserAgentHeader: true,
	}
	defer client.CloseIdleConnections()
	next, stop := iter.Pull(paths)
	defer stop()
	var mu sync.Mutex // protects next
	var group sync.WaitGroup
	faults := make([]error, connections)
	for n := range connections {
		group.Go(func() {
			req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(req)
			defer fasthttp.ReleaseResponse(res)
			for ctx.Err() == nil && faults[n] == nil {
				mu.Lock()
				path, ok := next()
				mu.Unlock()
				if !ok {
					return
				}
				faults[n] = ask(client, req, res, address, host, path)
			}
		})
	}
	group.Wait()
	return errors.Join(append(faults, ctx.Err())...)
}

func ask(client *fasthttp.HostClient, req *fasthttp.Request, res *fasthttp.Response, address, host, path string) error {
	object, ok := Parse(path)
	if !ok {
		return fmt.Errorf("cannot check %s: no such object", path)
	}
	req.SetRequestURI("http://" + address + path)
	req.UseHostHeader = true
	req.Header.SetHost(host)
	if err := client.Do(req, res); err != nil {
		return fmt.Errorf("cannot get %s: %w", path, err)
	}
	if res.StatusCode() != fasthttp.StatusOK {
		return fmt.Errorf("%s was answered %d", path, res.StatusCode())
	}
	if body := res.Body(); !bytes.Equal(body, object.Body()) {
		return fmt.Errorf("wrong body of %s: %d bytes, %d were expected or their content differs", path, len(body), object.Size)
	}
	return nil
}
