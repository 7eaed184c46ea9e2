package policy

// maxPattern bounds the length of a pattern, and with it what one comparison
// can cost: length of the pattern times length of the text.
const maxPattern = 1024

// glob tells whether the whole of s fits pattern: "*" stands for any run of
// bytes, the empty one too, everything else for itself. Only the last "*" is
// ever tried again, so that the cost is at most len(pattern)*len(s).
func glob[T text](pattern string, s T) bool {
	p, i := 0, 0
	star, retry := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			if p+1 == len(pattern) {
				return true
			}
			star, retry = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			retry++
			p, i = star+1, retry
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// globAny tells whether s fits one of the patterns.
func globAny[T text](patterns []string, s T) bool {
	for _, p := range patterns {
		if glob(p, s) {
			return true
		}
	}
	return false
}
