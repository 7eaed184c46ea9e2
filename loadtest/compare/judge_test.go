package compare

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"weir/loadtest/compare/bare"
)

// What a judge lets pass must be what the scenario says.
func TestJudges(t *testing.T) {
	const n = 10_000
	answers := func(size int64) measurement {
		return measurement{wrkResult: wrkResult{Requests: n, Bytes: n * (size + 200)}}
	}
	for name, c := range map[string]struct {
		judge  judge
		system string
		m      measurement
		asked  bare.Stats
		want   string // in the error; "": none
	}{
		"misses":                      {onlyMisses, Weir, answers(missSize), bare.Stats{Requests: n + 64}, ""},
		"some were hits":              {onlyMisses, Weir, answers(missSize), bare.Stats{Requests: n * 98 / 100}, "not misses"},
		"some were revalidated":       {onlyMisses, Weir, answers(missSize), bare.Stats{Requests: n, NotModified: n / 50}, "not misses"},
		"misses without bodies":       {onlyMisses, Weir, answers(100), bare.Stats{Requests: n}, "not all bodies came"},
		"revalidations":               {onlyRenewals, Nginx, answers(1 << 10), bare.Stats{Requests: n + 64, NotModified: n + 64}, ""},
		"few were under way":          {onlyRenewals, Nginx, answers(1 << 10), bare.Stats{Requests: n - 20, NotModified: n - 20}, ""},
		"some were still fresh":       {onlyRenewals, Nginx, answers(1 << 10), bare.Stats{Requests: n / 2, NotModified: n / 2}, "not all were stale"},
		"fetched whole":               {onlyRenewals, Varnish, answers(1 << 10), bare.Stats{Requests: n}, "not all were stale"},
		"asked twice":                 {onlyRenewals, Varnish, answers(1 << 10), bare.Stats{Requests: 2 * n, NotModified: n}, "not one request each"},
		"304 was sent to the clients": {onlyRenewals, Weir, answers(0), bare.Stats{Requests: n, NotModified: n}, "not all bodies came"},
		"HAProxy fetches whole":       {onlyRenewals, HAProxy, answers(1 << 10), bare.Stats{Requests: n + 64}, ""},
		"HAProxy hits":                {onlyRenewals, HAProxy, answers(1 << 10), bare.Stats{Requests: n / 2}, "not all were stale"},
		"HAProxy revalidates":         {onlyRenewals, HAProxy, answers(1 << 10), bare.Stats{Requests: n, NotModified: n}, "not all were stale"},
		"the mix":                     {partlyHits, Weir, answers(20 << 10), bare.Stats{Requests: n / 4}, ""},
		"the mix without a cache":     {partlyHits, Weir, answers(20 << 10), bare.Stats{Requests: n}, "not the mix"},
		"the mix stored whole":        {partlyHits, Weir, answers(20 << 10), bare.Stats{}, "not the mix"},
	} {
		_, err := c.judge(&instance{system: system{name: c.system}}, c.m, c.asked)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// The load that follows a fill must find the cache full, and none of what it
// asks for.
func TestMissFillIsMoreThanTheCache(t *testing.T) {
	if bytes := missFill.Count * missFill.Size; bytes < missMiB<<20 || bytes > missMiB<<20*5/4 {
		t.Errorf("the fill has %d bytes for a cache of %d MiB", bytes, missMiB)
	}
	if asked := (turn{Run: &Run{}}).missLoad().mode[1]; strings.HasPrefix(missFill.Paths()[0], asked) {
		t.Errorf("the load asks for %s, which the fill has brought", asked)
	}
}

func TestDiskMustBeWritten(t *testing.T) {
	written := 5000
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`weir_disk_written_bytes_total{kind="object"} ` + strconv.Itoa(written) + "\n"))
		written += 1000 // while it is waited for
	}))
	defer admin.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(admin.URL, "http://"), ":")
	i := &instance{}
	i.setup.AdminPort, _ = strconv.Atoi(port)
	passes := func(*instance, measurement, bare.Stats) (map[string]float64, error) {
		return map[string]float64{valueRenewed: 1}, nil
	}
	m := measurement{wrkResult: wrkResult{Requests: 100}}
	values, err := alsoWritten(t.Context(), passes, "object", 5000, 20)(i, m, bare.Stats{})
	if err != nil || values[valueDisk] != 20 || values[valueRenewed] != 1 {
		t.Errorf("got %v, %v", values, err)
	}
	if _, err := alsoWritten(t.Context(), passes, "meta", 0, 20)(i, m, bare.Stats{}); err == nil {
		t.Error("a kind that is not there was written")
	}
	if _, err := i.written(t.Context(), "object", 1e12, 1); err == nil {
		t.Error("what was never written was not missed")
	}
}
