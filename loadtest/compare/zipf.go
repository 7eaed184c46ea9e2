package compare

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"weir/loadtest/compare/bare"
)

// zipf draws ranks 0 to n-1 with a probability that falls with rank^-exponent.
// The standard library's needs an exponent above 1.
type zipf struct {
	cumulated []float64
	random    *rand.Rand
}

// newZipf makes a source of draws; the same arguments draw the same ranks.
func newZipf(n int, exponent float64, seed uint64) *zipf {
	z := &zipf{cumulated: make([]float64, n), random: rand.New(rand.NewPCG(seed, 0))}
	var sum float64
	for i := range z.cumulated {
		sum += math.Pow(float64(i+1), -exponent)
		z.cumulated[i] = sum
	}
	return z
}

func (z *zipf) draw() int {
	u := z.random.Float64() * z.cumulated[len(z.cumulated)-1]
	i, _ := slices.BinarySearch(z.cumulated, u)
	return min(i, len(z.cumulated)-1)
}

// writePaths writes count paths, one a line, to a file of the run.
func (r *Run) writePaths(name string, count int, path func() string) (string, error) {
	file := filepath.Join(r.dir, name)
	f, err := os.Create(file)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(f)
	for range count {
		_, _ = w.WriteString(path()) // kept for Flush
		_ = w.WriteByte('\n')
	}
	if err := w.Flush(); err != nil {
		_ = f.Close()
		return "", fmt.Errorf("cannot write %s: %w", file, err)
	}
	return file, f.Close()
}

// mixedPath turns a rank into a path of the mixed workload: sizes log-normal,
// one in fifty private.
func mixedPath(rank int) string {
	if rank%50 == 49 {
		return bare.Path(bare.KindPrivate, 0, rank)
	}
	return bare.Path(bare.KindLong, 0, rank)
}
