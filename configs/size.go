package configs

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// Bytes in the binary units.
const (
	KiB int64 = 1 << 10
	MiB int64 = 1 << 20
	GiB int64 = 1 << 30
	TiB int64 = 1 << 40
)

// sizeUnits are in the order in which a size is written out.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", TiB},
	{"GiB", GiB},
	{"MiB", MiB},
	{"KiB", KiB},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

const validSize = "a number and one of B, KiB, MiB, GiB, TiB or kB, MB, GB, TB, such as 512MiB or 1.5GB"

// ParseSize reads a size such as 512MiB, 1.5GB or 100B and returns bytes,
// rounded down. The unit is required and case counts.
func ParseSize(s string) (int64, error) {
	number, unit, err := splitNumber(s)
	if err != nil {
		return 0, err
	}
	unit = strings.TrimLeft(unit, " ")
	if unit == "" {
		return 0, errors.New("has no unit")
	}
	for _, u := range sizeUnits {
		if u.name != unit {
			continue
		}
		bytes := new(big.Rat).Mul(number, new(big.Rat).SetInt64(u.bytes))
		whole := new(big.Int).Quo(bytes.Num(), bytes.Denom())
		if !whole.IsInt64() {
			return 0, errors.New("is too large")
		}
		return whole.Int64(), nil
	}
	return 0, fmt.Errorf("has the unknown unit %s%s", quote(unit), likelyUnit(unit))
}

// likelyUnit names both readings of a unit that others write loosely: mb, M, Ki.
func likelyUnit(unit string) string {
	letter := strings.ToUpper(unit[:1])
	if strings.Contains("KMGT", letter) && len(unit) <= 3 {
		decimal := letter + "B"
		if letter == "K" {
			decimal = "kB"
		}
		return fmt.Sprintf("; did you mean %siB (powers of 1024) or %s (powers of 1000)?", letter, decimal)
	}
	return ""
}

// splitNumber splits an unsigned decimal number from what follows it. Its
// length is bounded, so that the exact arithmetic is.
func splitNumber(s string) (*big.Rat, string, error) {
	if strings.HasPrefix(s, "-") {
		return nil, "", errors.New("is negative")
	}
	end, dots := 0, 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == '.') {
		if s[end] == '.' {
			dots++
		}
		end++
	}
	digits := s[:end]
	if digits == "" || digits[0] == '.' || digits[end-1] == '.' || dots > 1 {
		return nil, "", errors.New("does not begin with a number")
	}
	if len(digits) > 40 {
		return nil, "", errors.New("has too many digits")
	}
	number, ok := new(big.Rat).SetString(digits)
	if !ok {
		return nil, "", errors.New("does not begin with a number")
	}
	return number, s[end:], nil
}

// formatRoughly writes a size for a person, with one decimal at most.
func formatRoughly(n int64) string {
	for _, u := range sizeUnits[:4] {
		if n >= u.bytes {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/float64(u.bytes)), ".0") + u.name
		}
	}
	return fmt.Sprintf("%dB", n)
}

// formatSize writes a size exactly, in the largest unit that divides it.
func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}
