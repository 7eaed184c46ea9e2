package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	tailPeak = "tail-peak" // closed loop: what the mix can reach
	tailSame = "tail"      // the same rate for all
	tailOwn  = "tail-own"  // each at half of its own peak
)

// tailGroup measures the slowest of the hits while the cache is also busy with
// other things: a catalogue larger than the cache (misses and evictions), a
// hundredth uncacheable, fifty purges a second. Requests are due at a constant
// rate, and latency counts from when they are due.
//
// The rate is half of what the slower of the systems reaches with the same mix
// in a closed loop; in a second scenario half of what each reaches itself.
var tailGroup = group{
	name: "tail", scenarios: []string{tailPeak, tailSame, tailOwn}, systems: []string{Weir, Nginx},
	run: func(ctx context.Context, t turn) error {
		if _, err := exec.LookPath(t.cfg.Weirload); err != nil {
			t.fault(tailSame, Weir, t.round, fmt.Errorf("cannot find weirload: %w", err))
			return nil
		}
		origin, err := t.startTailOrigin(ctx)
		if err != nil {
			return err
		}
		defer origin.stop()
		t.address = origin.address
		all := t.begin(ctx, options{memoryMiB: 256, connections: 256, purge: true, foreign: true})
		defer func() { stopAll(all) }()
		peaks := t.tailPeaks(ctx, all)
		if len(peaks) < len(all) || len(all) == 0 {
			return nil // each has its fault recorded
		}
		slowest := peaks[all[0].system.name]
		for _, p := range peaks {
			slowest = min(slowest, p)
		}
		for _, i := range all {
			t.tailAt(ctx, i, tailSame, slowest/2)
			t.tailAt(ctx, i, tailOwn, peaks[i.system.name]/2)
		}
		return nil
	},
}

// tailOrigin is weirload's origin, which makes new versions of what is purged.
type tailOrigin struct {
	*process
	address string
}

func (t turn) startTailOrigin(ctx context.Context) (*tailOrigin, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	o := &tailOrigin{address: "127.0.0.1:" + strconv.Itoa(ports[0])}
	argv := pinned(t.Run.cores.load, t.cfg.Weirload, "origin", "--listen", o.address)
	if o.process, err = startProcess(argv, nil, filepath.Join(t.dir, "weirload-origin.log")); err != nil {
		return nil, err
	}
	if err := waitFor(ctx, o.process, answers(o.address)); err != nil {
		o.stop()
		return nil, fmt.Errorf("cannot start weirload's origin: %w", err)
	}
	return o, nil
}

// tailPeaks measures what each system reaches in a closed loop, after its cache
// was filled.
func (t turn) tailPeaks(ctx context.Context, all []*instance) map[string]float64 {
	peaks := make(map[string]float64)
	for _, i := range all {
		res, err := t.weirload(ctx, i, t.cfg.Seconds, "--prefill")
		if err != nil {
			for _, s := range t.scenarios {
				t.fault(s, i.system.name, t.round, err)
			}
			continue
		}
		peaks[i.system.name] = res.Rate
		t.record(tailPeak, i.system.name, t.round, map[string]float64{valueRate: round(res.Rate), valueHits: round3(res.HitRatio)})
		t.say("  %-14s %-14s %8.0f/s", tailPeak, i.system.name, res.Rate)
	}
	return peaks
}

func (t turn) tailAt(ctx context.Context, i *instance, scenario string, rate float64) {
	if !t.wants(scenario) {
		return
	}
	const longer = 3 // a tail needs more requests than a rate
	seconds := longer * t.cfg.Seconds
	res, err := t.weirload(ctx, i, seconds, "--rate", strconv.Itoa(int(rate)),
		"--purge", fmt.Sprintf("at=0s,for=%ds,rate=50,kind=url", seconds), "--purge-method", "--origin", "http://"+t.address)
	if err == nil && res.hits().Answers == 0 {
		err = errors.New("no answer said that it was a hit")
	}
	if err != nil {
		t.fault(scenario, i.system.name, t.round, err)
		return
	}
	hits := res.hits()
	t.record(scenario, i.system.name, t.round, map[string]float64{
		valueOffered: round(rate), valueRate: round(res.Rate), valueHits: round3(res.HitRatio),
		valueP50: round(hits.Latency.P50), valueP99: round(hits.Latency.P99), valueP999: round(hits.Latency.P999),
		valueWrong: float64(res.Faults.Total),
	})
	t.say("  %-14s %-14s at %.0f/s: p50 %.2f ms, p99 %.2f ms, p999 %.2f ms", scenario, i.system.name, rate,
		hits.Latency.P50/1e3, hits.Latency.P99/1e3, hits.Latency.P999/1e3)
}

// weirloadResult is what is used of weirload's JSON.
type weirloadResult struct {
	Complete bool    `json:"complete"`
	Ended    string  `json:"ended"`
	Rate     float64 `json:"rate"`
	HitRatio float64 `json:"hit_ratio"`
	Faults   struct {
		Total int64 `json:"total"`
	} `json:"faults"`
	Tiers []tierResult `json:"tiers"`
}

type tierResult struct {
	Tier    string `json:"tier"`
	Answers int64  `json:"answers"`
	Latency struct {
		P50  float64 `json:"p50_us"`
		P99  float64 `json:"p99_us"`
		P999 float64 `json:"p999_us"`
	} `json:"latency"`
}

// hits is the tier of hits from RAM.
func (w weirloadResult) hits() tierResult {
	for _, tier := range w.Tiers {
		if tier.Tier == "ram" {
			return tier
		}
	}
	return tierResult{}
}

func parseWeirload(b []byte) (weirloadResult, error) {
	var file struct {
		Result weirloadResult `json:"result"`
	}
	err := json.Unmarshal(b, &file)
	w := file.Result
	if err != nil {
		return w, fmt.Errorf("cannot read the result of weirload: %w: %q", err, clip(b))
	}
	if !w.Complete {
		return w, fmt.Errorf("weirload ended early: %s", w.Ended)
	}
	return w, nil
}

// weirload resumes i and sends it the mix. Wrong answers are counted, not
// fatal: whether a system is right is for other tests to say.
func (t turn) weirload(ctx context.Context, i *instance, seconds int, more ...string) (weirloadResult, error) {
	if err := i.resume(); err != nil {
		return weirloadResult{}, err
	}
	defer func() { _ = i.pause() }()
	out := filepath.Join(t.dir, "weirload.json")
	_ = os.Remove(out)
	argv := append(pinned(t.Run.cores.load, t.cfg.Weirload, "run", "http://"+i.address(),
		"--objects", "40000", "--zipf", "0.9", "--size", "10KiB", "--uncacheable", "0.01", "-c", "64",
		"--duration", fmt.Sprintf("%ds", seconds), "--tolerate", "all", "--quiet", "--json", out), more...)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	printed, failed := cmd.CombinedOutput()
	b, err := os.ReadFile(out)
	if err != nil {
		return weirloadResult{}, fmt.Errorf("weirload wrote no result (%w): %q", errors.Join(failed, err), clip(printed))
	}
	return parseWeirload(b)
}
