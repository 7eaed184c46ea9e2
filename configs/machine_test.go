package configs

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckMachine(t *testing.T) {
	const rest = "\nlisten: 127.0.0.1:8080\norigins: {o: {servers: [\"http://127.0.0.1:9000\"]}}\npolicies: [{name: a, origin: o}]\n"
	for _, tt := range []struct {
		name, tiers string
		memory      int64
		space       Space
		want        []string
	}{
		{"room for all", "tiers: {ram: {size: 700MiB}, disk: {path: d, size: 1GiB}}", GiB, Space{10 * GiB, 2 * GiB, 0}, nil},
		{
			"more than the memory", "tiers: {ram: {size: 2GiB}}", GiB,
			Space{},
			[]string{"weir.yaml:1:21: tiers.ram.size: 2GiB is more than the memory of this machine, 1GiB (valid: at most 70 % of it, 716MiB)"},
		},
		{
			"most of the memory", "tiers: {ram: {size: 900MiB}}", GiB,
			Space{},
			[]string{"weir.yaml:1:21: tiers.ram.size: 900MiB is more than 70 % of the memory of this machine, 1GiB (valid: at most 70 % of it, 716MiB)"},
		},
		{
			"the default", "# no tiers", 256 * MiB,
			Space{},
			[]string{"weir.yaml:1:1: tiers.ram.size: 256MiB is more than 70 % of the memory of this machine, 256MiB (valid: at most 70 % of it, 179MiB)"},
		},
		{"unknown memory", "tiers: {ram: {size: 2TiB}}", 0, Space{}, nil},
		{
			"more than the file system", "tiers: {disk: {path: d, size: 11GiB}}", 8 * GiB,
			Space{10 * GiB, 10 * GiB, 0},
			[]string{`weir.yaml:1:31: tiers.disk.size: 11GiB is more than the whole file system of "d", 10GiB (valid: less than that)`},
		},
		{
			"more than is free", "tiers: {disk: {path: d, size: 5GiB}}", 8 * GiB,
			Space{10 * GiB, 3 * GiB, 3 * GiB / 2},
			[]string{`weir.yaml:1:31: tiers.disk.size: 5GiB is more than the file system of "d" has: 3GiB free, and 1.5GiB in the tier already (valid: at most 4.5GiB)`},
		},
		{"what the tier has counts", "tiers: {disk: {path: d, size: 5GiB}}", 8 * GiB, Space{10 * GiB, GiB, 4 * GiB}, nil},
		{
			"both", "tiers: {ram: {size: 9GiB}, disk: {path: d, size: 11GiB}}", 8 * GiB,
			Space{10 * GiB, 10 * GiB, 0},
			[]string{"tiers.ram.size: 9GiB is more than the memory of this machine, 8GiB", "tiers.disk.size: 11GiB is more than the whole"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustParse(t, tt.tiers+rest)
			got := CheckMachine(cfg, Machine{Memory: tt.memory, MemoryOf: "this machine", Space: func(string) (Space, error) {
				return tt.space, nil
			}})
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %q", got, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i].String(), want) {
					t.Errorf("got %s, want %s", got[i], want)
				}
			}
		})
	}
	cfg := mustParse(t, "tiers: {disk: {path: d, size: 5GiB}}"+rest)
	unknown := Machine{Space: func(string) (Space, error) { return Space{}, errors.New("unknown") }}
	if got := CheckMachine(cfg, unknown); len(got) > 0 {
		t.Errorf("a file system that cannot be looked at: %v", got)
	}
}
