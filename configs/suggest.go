package configs

import (
	"fmt"
	"strings"
)

// Bounds on the work of suggestions: a file made for it could ask for millions.
const (
	maxSuggestions = 200
	maxKnown       = 256
)

// didYouMean returns `; did you mean "x"?` for the known word nearest to word,
// or "" when none is near enough to be a likely slip.
func (d *decoder) didYouMean(word string, known []string) string {
	if d.suggestions++; d.suggestions > maxSuggestions {
		return ""
	}
	best := Nearest(word, known)
	if best == "" {
		return ""
	}
	return "; did you mean " + quote(best) + "?"
}

// Nearest returns the one of the known words that word is most likely a slip
// for, or "" when none is near enough. It looks at the first 256 of them.
func Nearest(word string, known []string) string {
	known = known[:min(len(known), maxKnown)]
	best, bestDistance := "", min(len(word), 1+max(1, len(word)/3))
	for _, k := range known {
		if d := editDistance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best != "" || len(word) < 3 {
		return best
	}
	// What was cut short, or has something more behind it: warning for warn.
	for _, k := range known {
		if len(k) >= 3 && (strings.HasPrefix(k, word) || strings.HasPrefix(word, k)) {
			if best != "" {
				return ""
			}
			best = k
		}
	}
	return best
}

// maxWord bounds the words compared: no key or name is longer, and the cost is
// the product of the lengths.
const maxWord = 64

// editDistance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b (optimal string alignment).
func editDistance(a, b string) int {
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}

// some joins names for a message, which stays short however many there are.
func some(names []string) string {
	const most = 20
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
