package trial

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// soon bounds what has to happen without anybody's doing: a first event, an answer that was posted.
const soon = 10 * time.Second

// videoSize is the size of the file that ranges are taken from.
const videoSize = 4 << 20

func videoBytes() []byte {
	b := make([]byte, videoSize)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func writeVideo(dir string) (string, error) {
	path := filepath.Join(dir, "video.mp4")
	if err := os.WriteFile(path, videoBytes(), 0o600); err != nil {
		return "", fmt.Errorf("cannot write the video: %w", err)
	}
	return path, nil
}

// streams checks what is no page: event streams, long polls, uploads and ranges.
func streams(ctx context.Context, r *run) error {
	vs := []*visitor{r.members[members-1], r.joiners[0]}
	for _, f := range []func(context.Context, *run, []*visitor) error{events, polls, uploads, ranges} {
		if err := f(ctx, r, vs); err != nil {
			return err
		}
	}
	return nil
}

// events opens one stream twice. Each must get its first event at once, and the one that the application writes to
// last must get the next when it is written.
func events(ctx context.Context, r *run, vs []*visitor) error {
	path := "/api/events/" + vs[0].name
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var last *bufio.Scanner
	for i := range 2 {
		lines, err := openEvents(ctx, vs[0], path)
		if err != nil {
			r.check(false, "an event stream begins while another of its URL is open", fmt.Sprintf("stream %d: %v", i+1, err))
			return nil
		}
		last = lines
	}
	r.check(true, "an event stream begins while another of its URL is open", "")
	if _, err := vs[1].post(ctx, path, nil); err != nil {
		return err
	}
	line, err := nextEvent(ctx, last)
	r.check(err == nil && line == "data: "+vs[0].name+" 1", "an event arrives when it is written", fmt.Sprintf("%q, %v", line, err))
	return nil
}

// openEvents opens a stream and waits for its first event.
func openEvents(ctx context.Context, v *visitor, path string) (*bufio.Scanner, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base.String()+path, nil)
	if err != nil {
		return nil, err
	}
	type opened struct {
		resp *http.Response
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		resp, err := v.client.Do(req) //nolint:bodyclose // the stream ends with ctx
		done <- opened{resp, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, o.err
		}
		lines := bufio.NewScanner(o.resp.Body)
		_, err := nextEvent(ctx, lines)
		return lines, err
	case <-time.After(soon):
		return nil, fmt.Errorf("no header within %v", soon)
	}
}

// nextEvent returns the next line that is not empty.
func nextEvent(ctx context.Context, lines *bufio.Scanner) (string, error) {
	got := make(chan string, 1)
	go func() {
		for lines.Scan() {
			if lines.Text() != "" {
				got <- lines.Text()
				return
			}
		}
		close(got)
	}()
	select {
	case line, ok := <-got:
		if !ok {
			return "", fmt.Errorf("the stream has ended: %w", io.ErrUnexpectedEOF)
		}
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(soon):
		return "", fmt.Errorf("no event within %v", soon)
	}
}

// polls has two visitors wait at one URL. The second's answer is posted first.
func polls(ctx context.Context, r *run, vs []*visitor) error {
	type polled struct {
		a   *answer
		err error
	}
	answers := make([]chan polled, len(vs))
	for i, v := range vs {
		answers[i] = make(chan polled, 1)
		go func() {
			a, err := v.do(ctx, http.MethodGet, "/api/poll", "", nil, nil)
			answers[i] <- polled{a, err}
		}()
	}
	const what = "long polls of one URL do not wait for each other"
	for i := len(vs) - 1; i >= 0; i-- {
		if err := postUntilTaken(ctx, vs[i], "/api/poll/"+vs[i].name); err != nil {
			// Behind the README's configuration the second may wait until the first proves uncacheable.
			r.advise(what, err.Error())
			// Let the ones go that have arrived.
			for _, v := range vs {
				_ = postUntilTaken(ctx, v, "/api/poll/"+v.name)
			}
			break
		}
		if i == 0 {
			r.check(true, what, "")
		}
	}
	for i, v := range vs {
		p := <-answers[i]
		if p.err != nil {
			return p.err
		}
		var said struct{ Who string }
		if err := json.Unmarshal(p.a.body, &said); err != nil {
			return fmt.Errorf("cannot read the answer of a poll: %w", err)
		}
		r.judge(v, http.MethodGet, "/api/poll", p.a)
		r.check(said.Who == v.name, "a long poll is answered for who asked", said.Who)
	}
	return nil
}

// postUntilTaken posts until the application knows whom it is for.
func postUntilTaken(ctx context.Context, v *visitor, path string) error {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := v.post(ctx, path, nil)
		if err != nil {
			return err
		}
		if a.status == http.StatusNoContent {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the application has not seen %s's poll within %v", v.name, soon)
		case <-tick.C:
		}
	}
}

// uploads sends files as forms do, several at once.
func uploads(ctx context.Context, r *run, vs []*visitor) error {
	return together(vs, func(v *visitor) error {
		file := make([]byte, 3<<20)
		_, _ = rand.Read(file)
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, err := w.CreateFormFile("file", "photo.jpg")
		if err != nil {
			return err
		}
		_, _ = part.Write(file)
		if err := w.Close(); err != nil {
			return err
		}
		a, err := v.do(ctx, http.MethodPost, "/api/upload", w.FormDataContentType(), &form, nil)
		if err != nil {
			return err
		}
		var said struct {
			Who, SHA256 string
			Size        int
		}
		if err := json.Unmarshal(a.body, &said); err != nil {
			return fmt.Errorf("cannot read the answer of an upload: %w: %s", err, tail(a.body))
		}
		sum := sha256.Sum256(file)
		r.judge(v, http.MethodPost, "/api/upload", a)
		r.check(said.Who == v.name && said.SHA256 == hex.EncodeToString(sum[:]), "an upload arrives as it was sent", fmt.Sprintf("%d bytes", said.Size))
		return nil
	})
}

// ranges seeks in a video as players do, many at once, and compares every byte.
func ranges(ctx context.Context, r *run, vs []*visitor) error {
	video := videoBytes()
	cases := []struct {
		header   string
		from, to int
	}{
		{"bytes=0-", 0, videoSize},
		{"bytes=0-1023", 0, 1024},
		{"bytes=1048576-2097151", 1 << 20, 2 << 20},
		{"bytes=-500", videoSize - 500, videoSize},
		{fmt.Sprintf("bytes=%d-", videoSize-1), videoSize - 1, videoSize},
	}
	for range 2 {
		for _, c := range cases {
			err := together(append(vs, r.guests...), func(v *visitor) error {
				a, err := v.do(ctx, http.MethodGet, "/video.mp4", "", nil, http.Header{"Range": {c.header}})
				if err != nil {
					return err
				}
				want := fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, videoSize)
				ok := a.status == http.StatusPartialContent && a.header.Get("Content-Range") == want && bytes.Equal(a.body, video[c.from:c.to])
				if !ok {
					r.check(false, "a range is what was asked for", fmt.Sprintf("%s: status %d, Content-Range %q, %d bytes", c.header, a.status, a.header.Get("Content-Range"), len(a.body)))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	a, err := vs[0].do(ctx, http.MethodGet, "/video.mp4", "", nil, http.Header{"Range": {fmt.Sprintf("bytes=%d-", videoSize)}})
	if err != nil {
		return err
	}
	r.check(a.status == http.StatusRequestedRangeNotSatisfiable, "a range behind the end is refused", fmt.Sprintf("status %d", a.status))
	whole, err := vs[0].do(ctx, http.MethodGet, "/video.mp4", "", nil, nil)
	if err != nil {
		return err
	}
	r.check(whole.status == http.StatusOK && bytes.Equal(whole.body, video), "the video is whole after its parts", fmt.Sprintf("status %d, %d bytes", whole.status, len(whole.body)))
	return nil
}
