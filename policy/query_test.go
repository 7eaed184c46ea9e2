package policy

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAppendQuery(t *testing.T) {
	ignore := KeySpec{QueryIgnore: []string{"utm_*", "gclid"}}
	only := KeySpec{QueryOnly: []string{"id", "p*"}}
	both := KeySpec{QueryOnly: []string{"p*"}, QueryIgnore: []string{"page"}}
	sorted := KeySpec{SortQuery: true}
	sortedIgnore := KeySpec{SortQuery: true, QueryIgnore: []string{"utm_*"}}
	for _, c := range []struct {
		name        string
		spec        KeySpec
		query, want string
	}{
		{"as sent", KeySpec{}, "b=2&a=1&&c&utm_x=1", "?b=2&a=1&&c&utm_x=1"},
		{"as sent, empty", KeySpec{}, "", "?"},
		{"as sent, normalised", KeySpec{}, "%61=%2f&b=\xff", "?a=%2F&b=%FF"},
		{"as sent, spaces", KeySpec{}, "a+b&a%20b", "?a+b&a%20b"},
		{"left out", KeySpec{NoQuery: true}, "a=1", ""},
		{"left out, empty", KeySpec{NoQuery: true}, "", ""},

		{"ignore", ignore, "utm_source=x&id=1&gclid=2&b", "?id=1&b"},
		{"ignore all", ignore, "utm_source=x&gclid", ""},
		{"ignore, none there", ignore, "", ""},
		{"ignore, pieces without a character", ignore, "&a=1&&b=2&", "?a=1&b=2"},
		{"ignore, encoded name", ignore, "%75tm%5Fsource=x&%67clid=1&a=1", "?a=1"},
		{"ignore, letter case counts", ignore, "UTM_source=x", "?UTM_source=x"},
		{"ignore, name only", ignore, "a=utm_x", "?a=utm_x"},
		{"ignore, whole name", ignore, "gclid2=1&xgclid=1", "?gclid2=1&xgclid=1"},
		{"ignore, cloaked by ;", ignore, "utm_x=1;id=2&gclid=1", "?utm_x=1;id=2"},
		{"ignore, encoded ; hides nothing", ignore, "utm_x=1%3Bid=2", ""},
		{"ignore, second ? is no start", ignore, "a=1?utm_x=2", "?a=1?utm_x=2"},
		{"ignore keeps order", ignore, "z&a&z=1", "?z&a&z=1"},
		{"ignore, long encoded name", ignore, "%75tm_" + strings.Repeat("a", 500) + "=1", ""},
		{"ignore, space", KeySpec{QueryIgnore: []string{"a b"}}, "a+b&a%20b&a%2Bb", "?a%2Bb"},

		{"only", only, "x=1&id=2&q=3&page=4", "?id=2&page=4"},
		{"only, none left", only, "x=1", ""},
		{"only, encoded", only, "%69d=2", "?id=2"},
		{"only, cloaked by ;", only, "x=1;id=2", "?x=1;id=2"},
		{"only less ignore", both, "page=1&price=2&q=3", "?price=2"},

		{"sort", sorted, "b=2&a=1", "?a=1&b=2"},
		{"sort is stable", sorted, "b=2&a=2&b=1&a=1", "?a=2&a=1&b=2&b=1"},
		{"sort by decoded name", sorted, "b=1&%61=2&a=1", "?a=2&a=1&b=1"},
		{"sort, one name in two spellings", sorted, "a+b=2&a%20b=1", "?a+b=2&a%20b=1"},
		{"sort, prefix first", sorted, "ab=1&a=1&a", "?a=1&a&ab=1"},
		{"sort, name is not the piece", sorted, "a-=1&a=1", "?a=1&a-=1"},
		{"sort, nothing", sorted, "", ""},
		{"sort, only separators", sorted, "&&", ""},
		{"sort, empty name", sorted, "b&=1", "?=1&b"},
		{"sort and ignore", sortedIgnore, "c&utm_x&a", "?a&c"},
	} {
		if got := c.spec.appendQuery([]byte("dst"), []byte(c.query)); string(got) != "dst"+c.want {
			t.Errorf("%s: %q gives %q, want %q", c.name, c.query, got[3:], c.want)
		}
		if got := c.spec.appendQuery(nil, nil); got != nil {
			t.Errorf("%s: no query gives %q", c.name, got)
		}
	}
}

// Whatever the order in which parameters of different names come, a sorted key
// is the same; below and above what fits on the stack.
func TestSortQueryIgnoresOrder(t *testing.T) {
	sorted := KeySpec{SortQuery: true}
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab%+._-]{1,8}|%61{1,6}|\x80?a`), 0, 3*stackParams, func(s string) string {
			return string(appendDecoded(nil, []byte(s)))
		}).Draw(t, "names")
		for i := range names {
			names[i] += rapid.SampledFrom([]string{"", "=", "=1", "=%2f", "=a=b"}).Draw(t, "value")
		}
		want := sorted.appendQuery(nil, []byte(strings.Join(names, "&")))
		shuffled := rapid.Permutation(names).Draw(t, "shuffled")
		if got := sorted.appendQuery(nil, []byte(strings.Join(shuffled, "&"))); string(got) != string(want) {
			t.Fatalf("%q gives %q, %q gives %q", names, want, shuffled, got)
		}
		if len(want) > 0 {
			if again := sorted.appendQuery(nil, want[1:]); string(again) != string(want) {
				t.Fatalf("%q, sorted again, gives %q", want, again)
			}
		}
	})
}

func TestCompareDecodedIsAnOrder(t *testing.T) {
	name := rapid.StringOfN(rapid.RuneFrom([]rune("ab+%260")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := []byte(name.Draw(t, "a")), []byte(name.Draw(t, "b"))
		want := slices.Compare(appendDecoded(nil, a), appendDecoded(nil, b))
		if got := compareDecoded(a, b); got < 0 != (want < 0) || got > 0 != (want > 0) {
			t.Fatalf("compareDecoded(%q, %q) = %d, want %d", a, b, got, want)
		}
	})
}
