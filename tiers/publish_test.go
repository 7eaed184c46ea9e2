package tiers

import (
	"bytes"
	"fmt"
	"testing"

	"weir/policy"
)

// TestPublish: for sizes around what each tier takes, Lookup finds the object when visible is called, and what is stored
// is what was published.
func TestPublish(t *testing.T) {
	for _, c := range []struct {
		size         int
		disk         bool
		inRAM, there bool
	}{
		{0, false, true, true},
		{10 * kib, false, true, true},
		{10 * kib, true, true, true},
		{64 * kib, true, true, true},
		{64*kib + 1, false, false, false},
		{64*kib + 1, true, false, true},
		{2*mib + 1, true, false, false},
	} {
		t.Run(fmt.Sprintf("size=%d,disk=%v", c.size, c.disk), func(t *testing.T) {
			dir := ""
			if c.disk {
				dir = t.TempDir()
			}
			s := openTest(t, testOptions(dir))
			s.Put(objectOf(1, 1, 100))
			o := objectOf(1, 2, c.size)
			want := bytes.Clone(o.Body)
			shown := 0
			reason := s.Publish(o, func() {
				shown++
				got := s.Lookup(&o.Hash, []byte(o.Text))
				if got == nil || got.Stored != o.Stored {
					t.Errorf("visible, and Lookup finds %v", got)
				}
				if got != nil {
					got.Close()
				}
			})
			if (shown == 1) != c.there || (reason == policy.ReasonNone) != c.there {
				t.Fatalf("shown %d times, reason %v, want stored %v", shown, reason, c.there)
			}
			if got := s.lookup(1); (got == o) != c.inRAM {
				t.Errorf("in RAM: %v, want %v", got, c.inRAM)
			}
			got := s.lookupDisk(1)
			if (got != nil) != (c.there && c.disk) {
				t.Fatalf("on disk: %v, want %v", got != nil, c.there && c.disk)
			}
			if got != nil {
				defer got.Close()
				body, err := wholeOf(got)
				if err != nil || !bytes.Equal(body, want) {
					t.Errorf("the disk has another body (%v)", err)
				}
			}
		})
	}
}

// TestPublishAllocates: a body of 10 KiB with ten fields costs its caller's own memory, and a handful of allocations.
func TestPublishAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := openTest(t, testOptions(""))
	objects := make([]*Object, 2001)
	for i := range objects {
		objects[i] = objectOf(i, 1, 10*kib)
		for len(objects[i].Fields) < 10 {
			objects[i].Fields = append(objects[i].Fields, policy.Field{Name: "X-More", Value: "more"})
		}
	}
	i := 0
	n := testing.AllocsPerRun(len(objects)-1, func() {
		if reason := s.Publish(objects[i], nothing); reason != policy.ReasonNone {
			t.Fatal(reason)
		}
		i++
	})
	if n > 6 {
		t.Errorf("%v allocations for a published object", n)
	}
	t.Logf("%v allocations", n)
}
