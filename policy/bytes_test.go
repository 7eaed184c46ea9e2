package policy

import (
	"bytes"
	"testing"
)

// TestBytes puts every byte at every place of values of many lengths.
func TestBytes(t *testing.T) {
	for n := range 20 {
		plain := bytes.Repeat([]byte{'a'}, n)
		if !CleanValue(plain) || !Visible(plain) {
			t.Errorf("%d letters are refused", n)
		}
		for at := range n {
			for c := range 256 {
				b := bytes.Clone(plain)
				b[at] = byte(c)
				control := c < ' ' || c == 0x7f
				if got, want := CleanValue(b), !control || c == '\t'; got != want {
					t.Errorf("CleanValue(%q) is %v", b, got)
				}
				if got, want := Visible(b), !control && c != ' '; got != want {
					t.Errorf("Visible(%q) is %v", b, got)
				}
			}
		}
	}
}
