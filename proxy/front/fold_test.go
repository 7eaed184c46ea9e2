package front

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"

	"weir/policy"
)

// headerLines are the status line and the field lines as they leave: those of one name in order, the names sorted. The
// length is left out: each answer sets it.
func headerLines(t testing.TB, h *fasthttp.ResponseHeader) (status string, lines []string) {
	t.Helper()
	raw := string(h.Header())
	head, ok := strings.CutSuffix(raw, "\r\n\r\n")
	if !ok {
		t.Fatalf("no end of the header in %q", raw)
	}
	lines = strings.Split(head, "\r\n")
	status, lines = lines[0], lines[1:]
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Content-Length:") })
	slices.SortStableFunc(lines, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, ":")
		nameB, _, _ := strings.Cut(b, ":")
		return strings.Compare(nameA, nameB)
	})
	return status, lines
}

// foldedAndNot makes both headers of the fields, with a copy of each, which is what leaves.
func foldedAndNot(t testing.TB, base *fasthttp.ResponseHeader, code int, fields policy.Fields) (folded, plain *fasthttp.ResponseHeader, did bool) {
	t.Helper()
	made := func(set func(h *fasthttp.ResponseHeader)) *fasthttp.ResponseHeader {
		var h, sent fasthttp.ResponseHeader
		base.CopyTo(&h)
		set(&h)
		h.CopyTo(&sent)
		return &sent
	}
	var probe fasthttp.ResponseHeader
	base.CopyTo(&probe)
	f, ok := fold(fields)
	did = ok && statusMessage(code) != "" && f.set(&probe, code)
	folded = made(func(h *fasthttp.ResponseHeader) { setFolded(h, code, fields) })
	plain = made(func(h *fasthttp.ResponseHeader) { setHeader(h, code, fields) })
	return folded, plain, did
}

// written is an answer with the header as it goes out, with a body where there may be one, its lines sorted.
func written(t testing.TB, h *fasthttp.ResponseHeader) []string {
	t.Helper()
	var resp fasthttp.Response
	h.CopyTo(&resp.Header)
	if resp.SkipBody = Bodiless(h.StatusCode()); !resp.SkipBody {
		resp.SetBodyRaw([]byte("hello"))
	}
	var raw bytes.Buffer
	w := bufio.NewWriter(&raw)
	if err := resp.Write(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(raw.String(), "\r\n")
	slices.Sort(lines)
	return lines
}

// sameLines holds the folded header against the other.
func sameLines(t testing.TB, folded, plain *fasthttp.ResponseHeader) {
	t.Helper()
	gotStatus, got := headerLines(t, folded)
	wantStatus, want := headerLines(t, plain)
	if gotStatus != wantStatus || !slices.Equal(got, want) {
		t.Errorf("folded:\n%s\n%s\nnot folded:\n%s\n%s", gotStatus, strings.Join(got, "\n"), wantStatus, strings.Join(want, "\n"))
	}
	if got, want := written(t, folded), written(t, plain); !slices.Equal(got, want) {
		t.Errorf("folded it goes out as\n%q\nnot folded as\n%q", got, want)
	}
}

// TestFolded: a folded header has the lines of one that is not, whatever is in it.
func TestFolded(t *testing.T) {
	base := firstHeader()
	some := policy.Fields{{Name: "Cache-Control", Value: "max-age=60"}, {Name: "Vary", Value: "Accept"}}
	with := func(more ...policy.Field) policy.Fields { return append(slices.Clone(some), more...) }
	for _, c := range []struct {
		name   string
		code   int
		fields policy.Fields
		folded bool
	}{
		{"some", 200, some, true},
		{"one", 200, some[:1], true},
		{"none", 200, nil, false},
		{"Date first", 200, append(policy.Fields{{Name: "Date", Value: "Sun, 15 Jun 2025 15:06:40 GMT"}}, some...), true},
		{"Date only", 200, policy.Fields{{Name: "Date", Value: "Sun, 15 Jun 2025 15:06:40 GMT"}}, false},
		{"Set-Cookie", 200, with(policy.Field{Name: "Set-Cookie", Value: "a=1; Path=/"}, policy.Field{Name: "Set-Cookie", Value: "b=2"}), false},
		{"one Set-Cookie", 200, with(policy.Field{Name: "Set-Cookie", Value: "a=1; Path=/"}), false},
		{"repeated", 200, with(policy.Field{Name: "Vary", Value: "Cookie"}, policy.Field{Name: "Link", Value: "</a>"}, policy.Field{Name: "Link", Value: "</b>"}), true},
		{"repeated and fasthttp's own", 200, with(policy.Field{Name: "Content-Encoding", Value: "gzip"}, policy.Field{Name: "Content-Encoding", Value: "br"}), false},
		{"repeated and set by an answer", 200, with(policy.Field{Name: "Age", Value: "1"}, policy.Field{Name: "Age", Value: "2"}), false},
		{"Content-Range", 206, with(policy.Field{Name: "Content-Range", Value: "bytes 0-1/2"}), true},
		{"fasthttp's own", 200, with(
			policy.Field{Name: "Content-Encoding", Value: "gzip"}, policy.Field{Name: "Content-Type", Value: "text/html"},
			policy.Field{Name: "Server", Value: "origin"}), true},
		{"fasthttp's own only", 200, policy.Fields{{Name: "Content-Type", Value: "text/html"}, {Name: "Server", Value: "origin"}}, false},
		{"the connection's", 200, with(
			policy.Field{Name: "Content-Length", Value: "7"}, policy.Field{Name: "Connection", Value: "close"},
			policy.Field{Name: "Transfer-Encoding", Value: "chunked"}, policy.Field{Name: "Trailer", Value: "X"}), true},
		{"empty values", 200, policy.Fields{{Name: "Accept-Ranges"}, {Name: "Content-Type"}, {Name: "Server"}, {Name: "X-Empty"}}, true},
		{"bytes above ASCII", 200, with(policy.Field{Name: "X-Latin", Value: "caf\xe9 \xc3\xa9"}), true},
		{"304", 304, with(policy.Field{Name: "Etag", Value: `"1"`}), true},
		{"204", 204, some, true},
		{"404", 404, some, true},
		{"without a reason phrase", 299, some, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			folded, plain, did := foldedAndNot(t, base, c.code, c.fields)
			if did != c.folded {
				t.Errorf("folded: %v, want %v", did, c.folded)
			}
			sameLines(t, folded, plain)
			if did && folded.Len() >= plain.Len() && len(c.fields) > 2 {
				t.Errorf("%d fields are left of %d: nothing was folded", folded.Len(), plain.Len())
			}
			// What an answer sets has one line then, and takes none away.
			for _, h := range []*fasthttp.ResponseHeader{folded, plain} {
				h.SetCanonical(nameAge, []byte("17"))
				h.SetCanonical(nameCacheStatus, []byte("weir; hit"))
				h.SetCanonical(nameContentRange, []byte("bytes 0-9/100"))
			}
			sameLines(t, folded, plain)
		})
	}
}

// TestFoldInjectsNothing: whatever was checked before, a name or a value with a line end in it becomes no second line.
func TestFoldInjectsNothing(t *testing.T) {
	base := firstHeader()
	for _, bad := range []string{"a\r\nInjected: yes", "a\nInjected: yes", "a\rInjected: yes", "\r\n\r\nInjected: yes", "a\x00\r\nInjected: yes"} {
		for _, fields := range []policy.Fields{
			{{Name: "X-First", Value: bad}, {Name: "X-Second", Value: "b"}},
			{{Name: "X-First", Value: "b"}, {Name: "X-Second", Value: bad}},
			{{Name: "X-First", Value: "b"}, {Name: "Content-Type", Value: bad}},
			{{Name: "X-First", Value: "b"}, {Name: bad, Value: "c"}},
			{{Name: bad, Value: "b"}, {Name: "X-Second", Value: "c"}},
			{{Name: "X-First", Value: bad}},
			{{Name: "X-First", Value: "b"}, {Name: "X-First", Value: bad}},
			{{Name: "X-First", Value: bad}, {Name: "Set-Cookie", Value: "a=1"}},
			{{Name: "X-First", Value: "b"}, {Name: "Set-Cookie", Value: bad}},
		} {
			var h fasthttp.ResponseHeader
			base.CopyTo(&h)
			setFolded(&h, 200, fields)
			raw := string(h.Header())
			for line := range strings.SplitSeq(raw, "\n") {
				if strings.HasPrefix(line, "Injected") {
					t.Errorf("%q became a line of its own in %q", bad, raw)
				}
			}
			if head := strings.TrimSuffix(raw, "\r\n\r\n"); strings.Contains(head, "\r\n\r\n") || strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\r") {
				t.Errorf("the header of %q ends early or has a bare CR: %q", bad, raw)
			}
		}
	}
}

// TestFoldedAny compares the two ways to a header on whatever an origin may send.
func TestFoldedAny(t *testing.T) {
	base := firstHeader()
	folded := 0
	name := rapid.OneOf(
		rapid.SampledFrom([]string{
			"Accept-Ranges", "Age", "Cache-Control", "Cache-Status", "Connection", "Content-Encoding", "Content-Length", "Content-Range",
			"Content-Type", "Cookie", "Date", "Etag", "Expires", "Host", "Link", "Location", "Server", "Set-Cookie", "Trailer", "Vary", "Via",
		}),
		rapid.StringMatching("[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}"),
	)
	value := rapid.OneOf(
		rapid.StringMatching("[!-~]([ -~\t]{0,30}[!-~])?"),
		rapid.Just(""),
		rapid.Map(rapid.SliceOfN(rapid.ByteRange(0x80, 0xff), 1, 8), func(b []byte) string { return string(b) }),
	)
	rapid.Check(t, func(rt *rapid.T) {
		var received policy.Fields
		for range rapid.IntRange(0, 8).Draw(rt, "fields") {
			received = append(received, policy.Field{Name: name.Draw(rt, "name"), Value: value.Draw(rt, "value")})
		}
		fields, err := policy.EndToEnd(received)
		if err != nil {
			rt.Fatalf("%v: %v", received, err)
		}
		code := rapid.SampledFrom([]int{200, 203, 204, 206, 299, 301, 304, 404, 410, 500}).Draw(rt, "code")
		a, b, did := foldedAndNot(t, base, code, fields)
		if did {
			folded++
		}
		gotStatus, got := headerLines(t, a)
		wantStatus, want := headerLines(t, b)
		if gotStatus != wantStatus || !slices.Equal(got, want) {
			rt.Fatalf("folded %v:\n%s\n%q\nnot folded:\n%s\n%q", did, gotStatus, got, wantStatus, want)
		}
	})
	if folded == 0 {
		t.Error("nothing was folded")
	}
}
