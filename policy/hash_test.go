package policy

import (
	"strings"
	"testing"
)

func TestHashKey(t *testing.T) {
	// From FIPS 180-4's example of SHA-256("abc").
	const want = "ba7816bf8f01cfea414140de5dae2223"
	h := HashKey([]byte("abc"))
	if h.String() != want {
		t.Fatalf("hash of abc is %s", h)
	}
	for _, s := range []string{want, strings.ToUpper(want)} {
		if back, err := ParseHash(s); err != nil || back != h {
			t.Errorf("ParseHash(%q) = %v, %v", s, back, err)
		}
	}
}

func TestParseHashRefuses(t *testing.T) {
	for _, s := range []string{"", "00", strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("0", 31) + "g"} {
		if h, err := ParseHash(s); err == nil || h != (Hash{}) {
			t.Errorf("ParseHash(%q) = %v, %v", s, h, err)
		}
	}
}

func TestHashKeyAllocatesNothing(t *testing.T) {
	text := []byte("w1 http://www.example.com/a/b?c=d")
	var sink Hash
	if n := testing.AllocsPerRun(100, func() { sink = HashKey(text) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
	_ = sink
}

func BenchmarkHashKey(b *testing.B) {
	text := []byte("w1 http://www.example.com/products/4711/images/front.jpg?w=640")
	b.ReportAllocs()
	for b.Loop() {
		HashKey(text)
	}
}
