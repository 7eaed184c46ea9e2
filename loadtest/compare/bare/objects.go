package bare

import (
	"hash/fnv"
	"math"
	"strconv"
	"strings"

	"weir/loadtest/selfcheck"
)

// MaxSize is the largest body in bytes; see Object.Body.
const MaxSize = 2 << 20

// Kind is what the origin says about an object: the first letter of its path.
type Kind byte

// The kinds of objects.
const (
	// KindLong stays fresh for a day.
	KindLong Kind = 'o'
	// KindShort stays fresh for a second and has a validator.
	KindShort Kind = 'r'
	// KindPrivate must not be stored.
	KindPrivate Kind = 'p'
	// KindTagged is KindLong with the surrogate key Tag.
	KindTagged Kind = 't'
)

// Tag is the surrogate key of every KindTagged object.
const Tag = "everything-on-sale"

// Object is what a path stands for.
type Object struct {
	Kind Kind
	Size int // bytes of the body
	path string
}

// Path returns the path of an object: /kind/size/number, or /kind/n/number
// for one whose size follows from its number (size 0).
func Path(kind Kind, size, number int) string {
	middle := strconv.Itoa(size)
	if size == 0 {
		middle = "n"
	}
	return "/" + string(rune(kind)) + "/" + middle + "/" + strconv.Itoa(number)
}

// Parse reads a path; ok is false for what Path does not return.
func Parse(path string) (o Object, ok bool) {
	if len(path) < 3 || path[0] != '/' || path[2] != '/' {
		return o, false
	}
	o.Kind, o.path = Kind(path[1]), path
	switch o.Kind {
	case KindLong, KindShort, KindPrivate, KindTagged:
	default:
		return o, false
	}
	size, number, ok := strings.Cut(path[3:], "/")
	if !ok {
		return o, false
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return o, false
	}
	if size == "n" {
		o.Size = mixedSize(o.hash())
		return o, true
	}
	o.Size, err = strconv.Atoi(size)
	return o, err == nil && o.Size > 0 && o.Size <= MaxSize
}

// mixedSize draws a size from a log-normal distribution with a median of
// 10 KiB and a sigma of 1.2: the mean is about 20 KiB, one in a hundred is above
// 160 KiB. Bounded by 256 bytes and 1 MiB.
func mixedSize(h uint64) int {
	// Box and Muller: two uniform numbers from the two halves of the hash.
	u1 := (float64(h>>32) + 1) / (1 << 32)
	u2 := float64(h&math.MaxUint32) / (1 << 32)
	normal := math.Sqrt(-2*math.Log(u1)) * math.Cos(2*math.Pi*u2)
	return int(min(max(10240*math.Exp(1.2*normal), 256), 1<<20))
}

func (o Object) hash() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(o.path))
	// FNV leaves the high bits of short strings nearly alike.
	z := h.Sum64()
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// block is what every body is a part of: to make a body is to cut it out, so
// that an origin that shares a core with the load costs as little as it can.
var block = selfcheck.Bytes(selfcheck.SeedOf("compare", 0), 0, 2*MaxSize)

// Body returns the bytes of o, which start at a place of the block that
// follows from the path: two objects of one size differ, except with a
// probability of one in two million. The caller must not change them.
func (o Object) Body() []byte {
	off := int(o.hash() % MaxSize)
	return block[off : off+o.Size : off+o.Size]
}

// ETag returns the validator of o, quotes included.
func (o Object) ETag() string { return `"` + strconv.FormatUint(o.hash(), 16) + `"` }

// CacheControl returns what the origin says about o.
func (o Object) CacheControl() string {
	switch o.Kind {
	case KindShort:
		return "public, max-age=1"
	case KindPrivate:
		return "private, no-store"
	default:
		return "public, max-age=86400"
	}
}
