package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Sample is one measurement of one system in one round.
type Sample struct {
	Scenario string             `json:"scenario"`
	System   string             `json:"system"`
	Round    int                `json:"round"`
	Values   map[string]float64 `json:"values,omitempty"`
	Fault    string             `json:"fault,omitempty"` // why there are no values, or why they are doubtful
}

// Names of values in samples.
const (
	valueRate    = "per_second"
	valueCPURate = "per_cpu_second" // requests a CPU second of the server
	valueP50     = "p50_us"
	valueP99     = "p99_us"
	valueP999    = "p999_us"
	valueBytes   = "bytes_per_answer"
	valueForeign = "foreign"                // share of the server's core that others used
	valueOrigin  = "origin_share"           // requests to the origin for each of the clients'
	valueRenewed = "renewed_share"          // answers 304 of the origin for each of the clients' requests
	valueDisk    = "disk_bytes_per_request" // written to the disk tier
	valueStart   = "start_ms"
	valueRSS     = "rss_bytes"
	valuePeak    = "peak_bytes"
	valueFiles   = "tmpfs_bytes" // of the cache's files in memory
	valueHits    = "hit_ratio"
	valuePurge   = "purge_us"
	valueOffered = "offered_per_second"
	valueWrong   = "wrong" // answers
)

// Results is the file in which runs accumulate. All samples of one scenario
// come from one run.
type Results struct {
	Machine   Machine           `json:"machine"`
	Versions  map[string]string `json:"versions"` // by system; wrk and go too
	Scenarios map[string]Origin `json:"scenarios"`
	Samples   []Sample          `json:"samples"`
}

// Origin says where the samples of a scenario come from.
type Origin struct {
	Date    string `json:"date"` // YYYY-MM-DD, UTC
	Rounds  int    `json:"rounds"`
	Seconds int    `json:"seconds"` // of one measurement
}

// LoadResults reads a file that Save wrote; one that is not there is empty.
func LoadResults(path string) (*Results, error) {
	r := &Results{}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("cannot read the results: %w", err)
	default:
		if err := json.Unmarshal(b, r); err != nil {
			return nil, fmt.Errorf("cannot read the results in %s: %w (delete the file to start anew)", path, err)
		}
	}
	if r.Versions == nil {
		r.Versions = make(map[string]string)
	}
	if r.Scenarios == nil {
		r.Scenarios = make(map[string]Origin)
	}
	return r, nil
}

// Save replaces the file in one step: a run that is killed leaves the old one.
func (r *Results) Save(path string) error {
	b, err := r.marshal()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	return nil
}

// marshal writes a sample a line, so that a change of one is a change of a line.
func (r *Results) marshal() ([]byte, error) {
	head := *r
	head.Samples = nil
	b, err := json.MarshalIndent(head, "", " ")
	if err != nil {
		return nil, err
	}
	b, ok := bytes.CutSuffix(b, []byte("\n \"samples\": null\n}"))
	if !ok {
		return nil, errors.New("BUG: samples are not the last field of the results")
	}
	b = append(b, "\n \"samples\": ["...)
	for i, s := range r.Samples {
		line, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, "\n  "...), line...)
	}
	return append(b, "\n ]\n}\n"...), nil
}

// begin drops what an earlier run has measured of the scenario.
func (r *Results) begin(scenario string, now time.Time, rounds, seconds int) {
	r.Samples = slices.DeleteFunc(r.Samples, func(s Sample) bool { return s.Scenario == scenario })
	r.Scenarios[scenario] = Origin{Date: now.UTC().Format(time.DateOnly), Rounds: rounds, Seconds: seconds}
}

// values returns one value of all rounds in which it was measured, by round.
func (r *Results) values(scenario, system, value string) map[int]float64 {
	out := make(map[int]float64)
	for _, s := range r.Samples {
		if s.Scenario == scenario && s.System == system {
			if v, ok := s.Values[value]; ok {
				out[s.Round] = v
			}
		}
	}
	return out
}

// median returns the median of a value over the rounds.
func (r *Results) median(scenario, system, value string) (float64, bool) {
	var all []float64
	for _, v := range r.values(scenario, system, value) {
		all = append(all, v)
	}
	return median(all)
}

func median(all []float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	all = slices.Clone(all)
	slices.Sort(all)
	middle := len(all) / 2
	if len(all)%2 == 1 {
		return all[middle], true
	}
	return (all[middle-1] + all[middle]) / 2, true
}

// ratio compares two systems in one value: the ratio of the medians, and the
// least and the greatest ratio of any round.
type ratio struct {
	value, low, high float64
	rounds           int
}

func (r *Results) ratio(scenario, system, against, value string) (ratio, bool) {
	return r.quotient(measured{scenario, system}, measured{scenario, against}, value)
}

// measured is a system in a scenario.
type measured struct{ scenario, system string }

// quotient is ratio for systems that were measured in different scenarios. The
// ratio of a round is then between measurements that are minutes apart.
func (r *Results) quotient(of, by measured, value string) (ratio, bool) {
	a, okA := r.median(of.scenario, of.system, value)
	b, okB := r.median(by.scenario, by.system, value)
	if !okA || !okB || b == 0 {
		return ratio{}, false
	}
	out := ratio{value: a / b}
	others := r.values(by.scenario, by.system, value)
	for round, v := range r.values(of.scenario, of.system, value) {
		other, ok := others[round]
		if !ok || other == 0 {
			continue
		}
		out.add(v / other)
	}
	return out, out.rounds > 0
}

// add takes the ratio of one more round.
func (q *ratio) add(v float64) {
	if q.rounds == 0 {
		q.low, q.high = v, v
	}
	q.low, q.high = min(q.low, v), max(q.high, v)
	q.rounds++
}

// faultsOf returns what went wrong in a scenario with a system, each once.
func (r *Results) faultsOf(scenario, system string) []string {
	var out []string
	for _, s := range r.Samples {
		if s.Scenario == scenario && s.System == system && s.Fault != "" && !slices.Contains(out, s.Fault) {
			out = append(out, s.Fault)
		}
	}
	return out
}
