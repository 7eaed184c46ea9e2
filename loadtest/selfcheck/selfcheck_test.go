package selfcheck

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// The vectors hold the promise that bodies stay the same from release to release.
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		name    string
		version uint64
		off     int64
		want    string
	}{
		{"", 0, 0, "d1655494b1359370f19b2897"},
		{"/", 0, 0, "7c00efdf64a74e6ae1be1a21"},
		{"/", 1, 0, "f57c983b642d7d7b3b0f7cc9"},
		{"/a?b=c", 7, 1<<40 + 3, "6861b55242b75a856d294eb5"},
	} {
		got := hex.EncodeToString(Bytes(SeedOf(c.name, c.version), c.off, 12))
		if got != c.want {
			t.Errorf("bytes of %q version %d at %d: got %s, want %s", c.name, c.version, c.off, got, c.want)
		}
	}
}

func TestAnyCutIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := Seed(rapid.Uint64().Draw(t, "seed"))
		whole := Bytes(seed, 0, 200)
		from := rapid.IntRange(0, 199).Draw(t, "from")
		to := rapid.IntRange(from, 200).Draw(t, "to")
		part := Bytes(seed, int64(from), to-from)
		if !bytes.Equal(part, whole[from:to]) {
			t.Fatalf("bytes [%d,%d) differ from the same bytes of the whole", from, to)
		}
		if i := Mismatch(part, seed, int64(from)); i >= 0 {
			t.Fatalf("right bytes called wrong at %d", i)
		}
		if len(part) == 0 {
			return
		}
		at := rapid.IntRange(0, len(part)-1).Draw(t, "flip")
		part[at] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
		if i := Mismatch(part, seed, int64(from)); i != at {
			t.Fatalf("flipped byte %d, found %d", at, i)
		}
	})
}

func TestSeedsDiffer(t *testing.T) {
	seen := map[Seed]string{}
	for _, name := range []string{"/", "/a", "/b", "/a/", "//a", "/a?x=1", "/a?x=2"} {
		for v := range uint64(50) {
			s := SeedOf(name, v)
			if other, dup := seen[s]; dup {
				t.Fatalf("%s version %d has the seed of %s", name, v, other)
			}
			seen[s] = name
		}
	}
}

func TestVerifyNamesTheFirstFault(t *testing.T) {
	seed := SeedOf("/x", 3)
	const size = 100_000
	good := Bytes(seed, 0, size)
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 0x80
		return b
	}
	for _, c := range []struct {
		name string
		body []byte
		want *Error
	}{
		{"right", good, nil},
		{"first byte", flip(0), &Error{Fault: FaultByte, Offset: 0}},
		{"inside", flip(70_001), &Error{Fault: FaultByte, Offset: 70_001}},
		{"last byte", flip(size - 1), &Error{Fault: FaultByte, Offset: size - 1}},
		{"short", good[:size-1], &Error{Fault: FaultShort, Offset: size - 1}},
		{"empty", nil, &Error{Fault: FaultShort, Offset: 0}},
		{"long", append(bytes.Clone(good), 'x'), &Error{Fault: FaultLong, Offset: size}},
	} {
		t.Run(c.name, func(t *testing.T) {
			readers := map[string]io.Reader{
				"plain": bytes.NewReader(c.body),
				"odd":   iotest.HalfReader(iotest.DataErrReader(bytes.NewReader(c.body))),
			}
			for kind, r := range readers {
				_, err := Verify(r, seed, 0, size, nil)
				if c.want == nil {
					if err != nil {
						t.Fatalf("%s: %v", kind, err)
					}
					continue
				}
				var got *Error
				if !errors.As(err, &got) {
					t.Fatalf("%s: got %v, want an *Error", kind, err)
				}
				if got.Fault != c.want.Fault || got.Offset != c.want.Offset {
					t.Errorf("%s: got %s at %d, want %s at %d", kind, got.Fault, got.Offset, c.want.Fault, c.want.Offset)
				}
			}
		})
	}
}

func TestVerifyPassesReaderErrorsOn(t *testing.T) {
	seed := SeedOf("/x", 0)
	r := io.MultiReader(bytes.NewReader(Bytes(seed, 0, 10)), iotest.ErrReader(io.ErrUnexpectedEOF))
	n, err := Verify(r, seed, 0, 20, make([]byte, 4))
	if !errors.Is(err, io.ErrUnexpectedEOF) || n != 10 {
		t.Fatalf("got %d bytes and %v, want 10 and an unexpected EOF", n, err)
	}
	if !strings.Contains(err.Error(), "offset 10") {
		t.Errorf("error %q does not name offset 10", err)
	}
}

func TestReaderSeeks(t *testing.T) {
	seed := SeedOf("/r", 0)
	r := NewReader(seed, 1000)
	if _, err := r.Seek(990, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	tail, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(tail, Bytes(seed, 990, 10)) {
		t.Fatalf("tail: %d bytes, error %v", len(tail), err)
	}
}

func TestVersionOf(t *testing.T) {
	body := Bytes(SeedOf("/v", 41), 0, 64)
	if v, ok := VersionOf(body, "/v", 100); !ok || v != 41 {
		t.Errorf("got version %d (%t), want 41", v, ok)
	}
	if v, ok := VersionOf(body, "/v", 40); ok {
		t.Errorf("got version %d, want none up to 40", v)
	}
	if v, ok := VersionOf(body, "/w", 100); ok {
		t.Errorf("got version %d of another name", v)
	}
	if _, ok := VersionOf(body[:7], "/v", 100); ok {
		t.Error("seven bytes were called enough")
	}
}

func BenchmarkFill(b *testing.B) {
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		Fill(p, 1, 0)
	}
}

func BenchmarkMismatch(b *testing.B) {
	p := Bytes(1, 0, 64<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if Mismatch(p, 1, 0) >= 0 {
			b.Fatal("right bytes called wrong")
		}
	}
}
