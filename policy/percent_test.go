package policy

import (
	"bytes"
	"testing"
)

func TestAppendURI(t *testing.T) {
	for _, c := range []struct{ raw, path, query string }{
		{"", "", ""},
		{"/a/b", "/a/b", "/a/b"},
		{"/%7euser/%41%62%30", "/~user/Ab0", "/~user/Ab0"},
		{"/a%2fb", "/a%2Fb", "/a%2Fb"},
		{"/a%2Fb%3a%3F%25%20%00", "/a%2Fb%3A%3F%25%20%00", "/a%2Fb%3A%3F%25%20%00"},
		{"/caf\xc3\xa9", "/caf%C3%A9", "/caf%C3%A9"},
		{"/caf%c3%a9", "/caf%C3%A9", "/caf%C3%A9"},
		{"/\xff", "/%FF", "/%FF"},
		{"/a b\n\x00\x7f", "/a%20b%0A%00%7F", "/a%20b%0A%00%7F"},
		{"/a?b", "/a%3Fb", "/a?b"},
		{"/../a/./b//c", "/../a/./b//c", "/../a/./b//c"},
		{"/%2e%2e/a", "/../a", "/../a"},
		{"/a+b&c;d=e!$'()*,:@", "/a+b&c;d=e!$'()*,:@", "/a+b&c;d=e!$'()*,:@"},
		{"/\"<>\\^`{|}", "/\"<>\\^`{|}", "/\"<>\\^`{|}"},
		{"%", "%", "%"},
		{"%4", "%4", "%4"},
		{"50%off", "50%off", "50%off"},
		{"%zz%41", "%zzA", "%zzA"},
		{"%z%41%41", "%z%41A", "%z%41A"},
		{"%zzz%41", "%zzzA", "%zzzA"},
		{"%2541", "%2541", "%2541"},
		{"%%341", "%%341", "%%341"},
		{"%4%31", "%4%31", "%4%31"},
		{"%%61%62", "%%61b", "%%61b"},
		{"%%%41%41", "%%%41A", "%%%41A"},
		{"%\xff%41", "%%FFA", "%%FFA"},
	} {
		if got := appendURI([]byte("dst"), []byte(c.raw), &pathClasses); string(got) != "dst"+c.path {
			t.Errorf("path %q gives %q, want %q", c.raw, got[3:], c.path)
		}
		if got := appendURI([]byte("dst"), []byte(c.raw), &queryClasses); string(got) != "dst"+c.query {
			t.Errorf("query %q gives %q, want %q", c.raw, got[3:], c.query)
		}
	}
}

func FuzzAppendURI(f *testing.F) {
	for _, s := range []string{"/a%2fb", "%%341", "%4%31", "\xff%", "/%7e?%3f", "% 41", "%\x0141"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, classes := range []*[256]uriClass{&pathClasses, &queryClasses} {
			got := appendURI(nil, raw, classes)
			if again := appendURI(nil, got, classes); !bytes.Equal(again, got) {
				t.Fatalf("%q gives %q and that %q", raw, got, again)
			}
			if uriNormal(raw, classes) && !bytes.Equal(raw, got) {
				t.Fatalf("%q, said to be normal, gives %q", raw, got)
			}
			if !printable(got) {
				t.Fatalf("%q gives %q", raw, got)
			}
			// Nothing but spelling has changed.
			if !bytes.Equal(percentDecoded(raw), percentDecoded(got)) {
				t.Fatalf("%q gives %q, which means something else", raw, got)
			}
		}
	})
}

// percentDecoded decodes every triplet once.
func percentDecoded(s []byte) (out []byte) {
	for len(s) > 0 {
		if v, ok := triplet(s); ok {
			out, s = append(out, v), s[3:]
		} else {
			out, s = append(out, s[0]), s[1:]
		}
	}
	return out
}

// printable tells whether s is printable ASCII without a space.
func printable(s []byte) bool {
	for _, c := range s {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
