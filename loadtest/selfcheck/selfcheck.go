// Package selfcheck makes bodies that prove themselves: every byte follows from a name, a version and its
// offset, so that a reader who knows these three needs no second copy to compare with.
//
// Guarantees: the same (name, version) gives the same bytes on every machine and in every release (test
// vectors hold that); any offset costs O(1), so a range is checked without its prefix; two names or two
// versions differ within the first eight bytes, except with probability 2^-64, so mixed-up bodies show at once.
//
// Refuses: it is no cryptography. Whoever knows the scheme can forge a body; it finds accidents.
package selfcheck

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

// Seed names one version of one body. It is a value; make it with SeedOf.
type Seed uint64

const (
	// The odd constant of a Weyl sequence: 2^64 divided by the golden ratio.
	weyl = 0x9e3779b97f4a7c15

	fnvOffset = 0xcbf29ce484222325
	fnvPrime  = 0x100000001b3
)

// SeedOf derives the seed from a name (a request target, usually) and a version.
func SeedOf(name string, version uint64) Seed { return seedOf(name, version) }

// SeedOfBytes is SeedOf for a name in a buffer, which it does not keep.
func SeedOfBytes(name []byte, version uint64) Seed { return seedOf(name, version) }

func seedOf[T string | []byte](name T, version uint64) Seed {
	h := uint64(fnvOffset)
	for i := 0; i < len(name); i++ {
		h = (h ^ uint64(name[i])) * fnvPrime
	}
	return Seed(mix(mix(h) + weyl*(version+1)))
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// word returns the i-th group of eight bytes, to be read as little endian.
func (s Seed) word(i uint64) uint64 { return mix(uint64(s) + weyl*(i+1)) }

// Fill writes the bytes of s from off on into p. off must not be negative.
func Fill(p []byte, s Seed, off int64) {
	i := uint64(off) / 8
	if skip := int(off % 8); skip != 0 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], s.word(i))
		p = p[copy(p, w[skip:]):]
		i++
	}
	state := uint64(s) + weyl*(i+1)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, mix(state))
		state += weyl
		p = p[8:]
	}
	if len(p) > 0 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], mix(state))
		copy(p, w[:])
	}
}

// Mismatch returns the index in p of the first byte that is not what s has from off on, or -1.
func Mismatch(p []byte, s Seed, off int64) int {
	at := 0
	i := uint64(off) / 8
	if skip := int(off % 8); skip != 0 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], s.word(i))
		for at < len(p) && skip+at < 8 {
			if p[at] != w[skip+at] {
				return at
			}
			at++
		}
		i++
	}
	state := uint64(s) + weyl*(i+1)
	for len(p)-at >= 8 {
		if diff := binary.LittleEndian.Uint64(p[at:]) ^ mix(state); diff != 0 {
			return at + bits.TrailingZeros64(diff)/8
		}
		state += weyl
		at += 8
	}
	if at < len(p) {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], mix(state))
		for j := 0; at < len(p); at, j = at+1, j+1 {
			if p[at] != w[j] {
				return at
			}
		}
	}
	return -1
}

// Bytes returns a new slice with the bytes [off, off+n) of s; the caller owns it.
func Bytes(s Seed, off int64, n int) []byte {
	p := make([]byte, n)
	Fill(p, s, off)
	return p
}

// VersionOf tells which version of name a body belongs to, from its first bytes (at least eight, which must be
// offset 0 of the body). It tries the versions 0 to limit.
func VersionOf(start []byte, name string, limit uint64) (version uint64, ok bool) {
	if len(start) < 8 {
		return 0, false
	}
	for v := uint64(0); ; v++ {
		if Mismatch(start, SeedOf(name, v), 0) < 0 {
			return v, true
		}
		if v == limit {
			return 0, false
		}
	}
}

// NewReader returns the body of size bytes as a reader that can seek, so that http.ServeContent cuts ranges out of it.
// It must not be used by two goroutines at once.
func NewReader(s Seed, size int64) *io.SectionReader {
	return io.NewSectionReader(readerAt{seed: s, size: size}, 0, size)
}

type readerAt struct {
	seed Seed
	size int64
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("cannot read at offset %d: it is negative", off)
	}
	if off >= r.size {
		return 0, io.EOF
	}
	var err error
	if rest := r.size - off; int64(len(p)) > rest {
		p = p[:rest]
		err = io.EOF
	}
	Fill(p, r.seed, off)
	return len(p), err
}
