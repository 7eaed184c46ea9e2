package policy

import (
	"slices"
	"strings"
	"testing"
)

func TestParseRange(t *testing.T) {
	huge := "99999999999999999999999"
	many := "bytes=" + strings.Repeat("1-2,", MaxRanges) + "1-2"
	rows := []struct {
		name, value string
		size        int64
		outcome     RangeOutcome
		want        []ByteRange
	}{
		{"9110 14.1.2 first and last", "bytes=0-1", 10, RangeOK, []ByteRange{{0, 1}}},
		{"9110 14.1.2 open", "bytes=3-", 10, RangeOK, []ByteRange{{3, 9}}},
		{"9110 14.1.2 suffix", "bytes=-3", 10, RangeOK, []ByteRange{{7, 9}}},
		{"9110 14.1.2 suffix longer than all", "bytes=-30", 10, RangeOK, []ByteRange{{0, 9}}},
		{"9110 14.1.2 last beyond the end", "bytes=8-30", 10, RangeOK, []ByteRange{{8, 9}}},
		{"9110 14.1.2 last byte", "bytes=9-9", 10, RangeOK, []ByteRange{{9, 9}}},
		{"9110 14.1.2 first beyond the end", "bytes=10-", 10, RangeUnsatisfiable, nil},
		{"9110 14.1.2 suffix of nothing", "bytes=-0", 10, RangeUnsatisfiable, nil},
		{"9110 14.1.2 open in nothing", "bytes=0-", 0, RangeUnsatisfiable, nil},
		{"9110 14.1.2 suffix in nothing", "bytes=-5", 0, RangeNone, nil},
		{"9110 14.1.2 last before first", "bytes=5-4", 10, RangeNone, nil},
		{"9110 14.1.2 one bad spoils all", "bytes=0-1, 5-4", 10, RangeNone, nil},
		{"9110 14.1 unit in any case", "ByTeS=0-1", 10, RangeOK, []ByteRange{{0, 1}}},
		{"9110 14.2 unknown unit", "lines=0-1", 10, RangeNone, nil},
		{"9110 14.2 no unit", "0-1", 10, RangeNone, nil},
		{"9110 14.1 empty set", "bytes=", 10, RangeNone, nil},
		{"9110 14.1 only commas", "bytes=,,", 10, RangeNone, nil},
		{"9110 14.1 letters", "bytes=a-b", 10, RangeNone, nil},
		{"9110 14.1 no dash", "bytes=5", 10, RangeNone, nil},
		{"9110 14.1 just a dash", "bytes=-", 10, RangeNone, nil},
		{"9110 14.1 sign", "bytes=+1-2", 10, RangeNone, nil},
		{"9110 14.1 space within", "bytes=1 -2", 10, RangeNone, nil},
		{"9110 17.3 numbers too large", "bytes=1-" + huge, 10, RangeOK, []ByteRange{{1, 9}}},
		{"9110 17.3 start too large", "bytes=" + huge + "-" + huge, 10, RangeUnsatisfiable, nil},
		{"9110 17.3 suffix too large", "bytes=-" + huge, 10, RangeOK, []ByteRange{{0, 9}}},
		{"9110 14.2 in the client's order", "bytes=8-9, 0-1 ,4-4", 10, RangeOK, []ByteRange{{8, 9}, {0, 1}, {4, 4}}},
		{"9110 14.2 some unsatisfiable", "bytes=0-1, 20-30", 10, RangeOK, []ByteRange{{0, 1}}},
		{"9110 14.2 all unsatisfiable", "bytes=10-11, 20-30", 10, RangeUnsatisfiable, nil},
		{"9110 14.2 overlapping", "bytes=5-9, 0-6", 10, RangeOK, []ByteRange{{0, 9}}},
		{"9110 14.2 touching", "bytes=0-1, 2-3, 6-7", 10, RangeOK, []ByteRange{{0, 3}, {6, 7}}},
		{"9110 14.2 one within another", "bytes=0-8, 2-3, 9-9", 10, RangeOK, []ByteRange{{0, 9}}},
		{"9110 17.15 the same again and again", "bytes=0-,0-,0-,0-,0-", 10, RangeOK, []ByteRange{{0, 9}}},
		{"9110 17.15 too many", many, 10, RangeNone, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			kept := ByteRange{77, 78}
			got, outcome := ParseRange([]ByteRange{kept}, []byte(row.value), row.size)
			if outcome != row.outcome || got[0] != kept || !slices.Equal(got[1:], row.want) {
				t.Errorf("%v %v, want %v %v", outcome, got[1:], row.outcome, row.want)
			}
		})
	}
}

func TestParseContentRange(t *testing.T) {
	rows := []struct {
		value            string
		start, end, size int64
		ok               bool
	}{
		{"bytes 4-9/10", 4, 9, 10, true},
		{"bytes 0-0/*", 0, 0, -1, true},
		{"BYTES 0-4/10", 0, 4, 10, true},
		{"bytes */10", 0, 0, 0, false},
		{"bytes 4-10/10", 0, 0, 0, false},
		{"bytes 5-4/10", 0, 0, 0, false},
		{"bytes 4-9", 0, 0, 0, false},
		{"bytes 4/10", 0, 0, 0, false},
		{"bytes -4/10", 0, 0, 0, false},
		{"bytes 4-/10", 0, 0, 0, false},
		{"bytes 4-9/", 0, 0, 0, false},
		{"bytes 4-9/1x", 0, 0, 0, false},
		{"bytes 4/9-10", 0, 0, 0, false},
		{"bytes=4-9/10", 0, 0, 0, false},
		{"lines 4-9/10", 0, 0, 0, false},
		{"bytes 0-99999999999999999999/*", 0, 0, 0, false},
		{"", 0, 0, 0, false},
	}
	for _, row := range rows {
		t.Run(row.value, func(t *testing.T) {
			start, end, size, ok := ParseContentRange(row.value)
			if start != row.start || end != row.end || size != row.size || ok != row.ok {
				t.Errorf("%d-%d/%d %v", start, end, size, ok)
			}
		})
	}
}

func TestPartialExtent(t *testing.T) {
	rows := []struct {
		name  string
		value string
		body  int64
		want  ByteRange
		size  int64
		ok    bool
	}{
		{"9110 15.3.7 agrees", "bytes 4-9/10", 6, ByteRange{4, 9}, 10, true},
		{"9110 15.3.7 size unknown", "bytes 4-9/*", 6, ByteRange{4, 9}, -1, true},
		{"9110 15.3.7 short at the end", "bytes 4-9/10", 5, ByteRange{4, 8}, 9, true},
		{"9110 15.3.7 short from the first byte on", "bytes 0-9/10", 5, ByteRange{}, 0, false},
		{"9110 15.3.7 short in the middle", "bytes 4-8/10", 4, ByteRange{}, 0, false},
		{"9110 15.3.7 short, size unknown", "bytes 4-9/*", 5, ByteRange{}, 0, false},
		{"9110 15.3.7 too long", "bytes 4-9/10", 7, ByteRange{}, 0, false},
		{"9110 15.3.7 no body", "bytes 4-9/10", 0, ByteRange{}, 0, false},
		{"9110 14.4 malformed", "bytes x", 5, ByteRange{}, 0, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r, size, ok := PartialExtent(row.value, row.body)
			if r != row.want || size != row.size || ok != row.ok {
				t.Errorf("%v/%d %v", r, size, ok)
			}
		})
	}
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{
		"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=0-1,3-4,1-2", "bytes=-0", "bytes=", "lines=1-2", "bytes=0-,0-,-1",
		"bytes=18446744073709551616-1",
	} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, s string, size int64) {
		size &= maxOffset - 1
		ranges, outcome := ParseRange(nil, []byte(s), size)
		if (outcome == RangeOK) != (len(ranges) > 0) || len(ranges) > MaxRanges {
			t.Fatalf("%v %v", outcome, ranges)
		}
		total := int64(0)
		for i, r := range ranges {
			if r.Start < 0 || r.End < r.Start || r.End >= size {
				t.Fatalf("%v of %d", r, size)
			}
			for _, other := range ranges[:i] {
				if r.Start <= other.End && other.Start <= r.End {
					t.Fatalf("%v and %v overlap", r, other)
				}
			}
			total += r.Len()
		}
		if total > size {
			t.Fatalf("%d bytes of %d", total, size)
		}
	})
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-4/10", "bytes */10", "bytes 4-9/*", "bytes 4-9/10/11", "bytes 4-9-10/11", "bytes  1-2/3"} {
		f.Add(s, int64(5))
	}
	f.Fuzz(func(t *testing.T, s string, body int64) {
		start, end, size, ok := ParseContentRange(s)
		if ok && (start < 0 || end < start || size >= 0 && end >= size) {
			t.Fatalf("%q: %d-%d/%d", s, start, end, size)
		}
		if r, size, ok := PartialExtent(s, body); ok && (r.Len() != body || size >= 0 && r.End >= size) {
			t.Fatalf("%q with %d: %v/%d", s, body, r, size)
		}
	})
}

func BenchmarkParseRange(b *testing.B) {
	dst, value := make([]ByteRange, 0, MaxRanges), []byte("bytes=0-1023, 4096-8191, -500")
	b.ReportAllocs()
	for b.Loop() {
		if _, o := ParseRange(dst, value, 1<<30); o != RangeOK {
			b.Fatal(o)
		}
	}
}
