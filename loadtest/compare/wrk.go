package compare

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed load.lua
var loadScript []byte

// load is what wrk is to do: a mode of load.lua with its arguments.
type load struct {
	mode        []string
	connections int
	seconds     int
	cores       []int // nil: those of the load
}

// wrkResult is the line that load.lua prints. Latencies are microseconds.
type wrkResult struct {
	Requests int64 `json:"requests"`
	Duration int64 `json:"duration_us"`
	Bytes    int64 `json:"bytes"` // header and body
	Connect  int64 `json:"connect"`
	Read     int64 `json:"read"`
	Write    int64 `json:"write"`
	Status   int64 `json:"status"` // answers of 400 and above
	Timeout  int64 `json:"timeout"`
	P50      int64 `json:"p50_us"`
	P99      int64 `json:"p99_us"`
	P999     int64 `json:"p999_us"`
	Max      int64 `json:"max_us"`
}

// perSecond is the throughput in requests.
func (w wrkResult) perSecond() float64 { return float64(w.Requests) / (float64(w.Duration) / 1e6) }

// faults names what went wrong; "" when nothing did.
func (w wrkResult) faults() string {
	var parts []string
	for _, f := range []struct {
		name string
		n    int64
	}{
		{"connects failed", w.Connect},
		{"reads failed", w.Read},
		{"writes failed", w.Write},
		{"answers of 400 and above", w.Status},
		{"answers too late", w.Timeout},
	} {
		if f.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", f.n, f.name))
		}
	}
	return strings.Join(parts, ", ")
}

// parseWrk finds the result in what wrk printed: the last line that is JSON.
func parseWrk(out []byte) (wrkResult, error) {
	var w wrkResult
	at := bytes.LastIndex(out, []byte("\n{"))
	if at < 0 {
		return w, fmt.Errorf("wrk printed no result: %q", clip(out))
	}
	if err := json.Unmarshal(bytes.TrimSpace(out[at:]), &w); err != nil {
		return w, fmt.Errorf("cannot read the result of wrk: %w: %q", err, clip(out[at:]))
	}
	if w.Requests <= 0 || w.Duration <= 0 {
		return w, errors.New("wrk got no answer at all")
	}
	return w, nil
}

func clip(b []byte) []byte { return b[max(0, len(b)-500):] }

// wrk runs the load against address on the cores of the load.
func (r *Run) wrk(ctx context.Context, address string, l load) (wrkResult, error) {
	script := filepath.Join(r.dir, "load.lua")
	if err := os.WriteFile(script, loadScript, 0o600); err != nil {
		return wrkResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(l.seconds)*time.Second+30*time.Second)
	defer cancel()
	on := l.cores
	if on == nil {
		on = r.cores.load
	}
	argv := append(pinned(on,
		r.wrkPath, "-t", strconv.Itoa(len(on)), "-c", strconv.Itoa(l.connections), "-d", strconv.Itoa(l.seconds)+"s", "--timeout", "10s",
		"-s", script, "http://"+address, "--"), l.mode...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return wrkResult{}, fmt.Errorf("wrk failed: %w: %q", err, clip(out))
	}
	return parseWrk(out)
}

// measurement is what one load did to one system.
type measurement struct {
	wrkResult
	cpu     time.Duration // of the server
	foreign float64       // share of the server's cores that others used
}

// measure runs a load against i and reads what it cost.
func (r *Run) measure(ctx context.Context, i *instance, l load) (measurement, error) {
	var m measurement
	busy0, err := coreBusy(i.cores)
	if err != nil {
		return m, err
	}
	cpu0, err := cpuOf(i.process.pid())
	if err != nil {
		return m, err
	}
	began := time.Now()
	m.wrkResult, err = r.wrk(ctx, i.address(), l)
	if err != nil {
		return m, fmt.Errorf("%w\n%s", err, i.process.tail())
	}
	took := time.Since(began)
	cpu1, err := cpuOf(i.process.pid())
	if err != nil {
		return m, err
	}
	busy1, err := coreBusy(i.cores)
	if err != nil {
		return m, err
	}
	m.cpu = cpu1 - cpu0
	m.foreign = max(0, float64(busy1-busy0-m.cpu)/float64(took)/float64(len(i.cores)))
	return m, nil
}
