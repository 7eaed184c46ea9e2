package http1

import (
	"strings"
	"testing"
	"time"
)

func TestParseKeepAlive(t *testing.T) {
	for in, want := range map[string]Promise{
		"":                             {},
		"timeout=5":                    {true, 5 * time.Second},
		" timeout=72\t":                {true, 72 * time.Second},
		"max=100, TimeOut = \"15\" ":   {true, 15 * time.Second},
		"timeout=0":                    {true, 0},
		"timeout":                      {},
		"timeout=":                     {},
		"timeout=-1":                   {},
		"timeout=1.5":                  {},
		"timeout=5, timeout=9":         {true, 5 * time.Second},
		"xtimeout=5":                   {},
		"timeout=99999999999999999999": {true, 24 * time.Hour},
	} {
		if got := ParseKeepAlive(in); got != want {
			t.Errorf("%q is %+v, want %+v", in, got, want)
		}
	}
}

func FuzzKeepAlive(f *testing.F) {
	f.Add("timeout=5, max=100")
	f.Add("max=1,timeout=00000000000000000000000000000000000001")
	f.Fuzz(func(t *testing.T, value string) {
		p := ParseKeepAlive(value)
		if p.Timeout < 0 || p.Timeout > 24*time.Hour || !p.Given && p != (Promise{}) {
			t.Fatalf("%q is %+v", value, p)
		}
		if p.Given && !strings.Contains(strings.ToLower(value), "timeout") {
			t.Fatalf("%q promises %v", value, p.Timeout)
		}
	})
}
