package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// watch looks at weir's memory and disk until ctx ends.
func (b *bench) watch(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n, err := b.weir.memory(); err == nil && b.weir.runs() {
			plan := b.plan()
			if n > b.mostMemory {
				b.mostMemory, b.mostPlan = n, plan
			}
			if n > plan {
				b.found.add(kindMemory, "%d MiB resident, the plan is %d MiB", n>>20, plan>>20)
			}
		}
		if n := b.place.diskUsed(); n > 0 {
			b.mostDisk = max(b.mostDisk, n)
			if n > b.place.diskBudget() {
				b.found.add(kindDisk, "%d MiB in the directory of the disk tier, the budget is %d MiB", n>>20, b.place.diskBudget()>>20)
			}
		}
		for i, g := range b.origin.gates {
			if most := g.most.Swap(g.busy.Load()); most > maxConnections*5/4+8 {
				b.found.add(kindPermits, "%d requests at once at server %d of the shop, max_connections is %d", most, i, maxConnections)
			}
		}
	}
}

// plan is what operators are told to plan with for as many transfers as there have been in this round; some may have
// come and gone between two looks.
func (b *bench) plan() int64 { return sizing(ramSize, max(300, b.mostClients.Load())) }

// state is what the admin plane says of what is under way.
type state struct {
	inFlight   int // requests of clients
	clients    int // their connections
	flights    int
	atOrigin   int
	waiting    int
	goroutines int
	inMemory   int64 // bytes of bodies in flight
	inSpool    int64
	diskUp     bool
	ready      bool
	diskSays   string
}

// readState asks /metrics and /v1/status.
func (b *bench) readState() (state, error) {
	status, text, err := b.admin("/metrics", b.within(hitWithin))
	if err != nil || status != 200 {
		return state{}, fmt.Errorf("GET /metrics: status %d, %w", status, err)
	}
	s := readMetrics(text)
	status, text, err = b.admin("/v1/status", b.within(hitWithin))
	if err == nil && status != 200 {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil {
		err = s.readStatus(text)
	}
	if err != nil {
		return s, fmt.Errorf("GET /v1/status: %w", err)
	}
	return s, nil
}

func readMetrics(text []byte) (s state) {
	for line := range bytes.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(string(line)), " ")
		n, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			continue
		}
		switch name {
		case "weir_requests_in_flight":
			s.inFlight = int(n)
		case "weir_flights":
			s.flights = int(n)
		case "weir_client_connections":
			s.clients = int(n)
		case "go_goroutines":
			s.goroutines = int(n)
		case "weir_memory_in_flight_bytes":
			s.inMemory = int64(n)
		case "weir_spool_bytes":
			s.inSpool = int64(n)
		case "weir_ready":
			s.ready = n == 1
		}
	}
	return s
}

func (s *state) readStatus(text []byte) error {
	var said struct {
		Tiers []struct {
			Name  string
			Up    bool
			State string
		}
		Origins []struct {
			Waiting int
			Servers []struct {
				InFlight int `json:"in_flight"`
			}
		}
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return err
	}
	for _, t := range said.Tiers {
		if t.Name == "disk" {
			s.diskUp, s.diskSays = t.Up, t.State
		}
	}
	for _, o := range said.Origins {
		s.waiting += o.Waiting
		for _, srv := range o.Servers {
			s.atOrigin += srv.InFlight
		}
	}
	return nil
}

// baseline is what a quiet weir holds.
type baseline struct {
	goroutines int
	sockets    int // without those to the origin
}

// slack is what may be more than at first: a reload's leftovers, the disk tier's own comings and goings.
const (
	slackRoutines = 25
	slackSockets  = 4
	slackFiles    = 250 // segments, the index, the log
	slackDeleted  = 6   // a segment or an index file that was evicted a moment ago
)

// trouble returns what is not as it should be in a weir that has been left alone; none is empty. So many goroutines may
// be more than at first: a server keeps those of its connections for some seconds.
func (b *bench) trouble(spare int) (k kind, text string) {
	s, err := b.readState()
	if err != nil {
		return kindAdmin, err.Error()
	}
	f, err := b.weir.files()
	if err != nil {
		return kindDied, err.Error()
	}
	f.sockets -= b.origin.connections()
	if k, text = b.compare(&s, &f, spare); text != "" {
		return k, text
	}
	if n, err := b.weir.memory(); err == nil && n > b.plan() {
		return kindMemory, fmt.Sprintf("%d MiB resident in quiet, the plan is %d MiB", n>>20, b.plan()>>20)
	}
	return 0, ""
}

// compare returns what of a state, and of the files without the connections to the origin, is not as at first.
func (b *bench) compare(s *state, f *files, spare int) (k kind, text string) {
	switch {
	case s.inFlight > 0 || s.flights > 0:
		return kindHang, fmt.Sprintf("%d requests and %d flights under way", s.inFlight, s.flights)
	case s.atOrigin > 0 || s.waiting > 0:
		return kindPermits, fmt.Sprintf("%d in flight and %d waiting at origins", s.atOrigin, s.waiting)
	case b.base.goroutines > 0 && s.goroutines > b.base.goroutines+slackRoutines+spare:
		return kindRoutines, fmt.Sprintf("%d goroutines, %d at first", s.goroutines, b.base.goroutines)
	case b.base.sockets > 0 && f.sockets > b.base.sockets+slackSockets:
		return kindFiles, fmt.Sprintf("%d sockets besides those to the origin, %d at first", f.sockets, b.base.sockets)
	case f.deleted > slackDeleted && !b.weir.vanished.Load():
		return kindFiles, fmt.Sprintf("%d files are open that have been removed", f.deleted)
	case f.other > slackFiles:
		return kindFiles, fmt.Sprintf("%d files are open", f.other)
	case !s.diskUp:
		return kindRecovered, "the disk tier is not up" + said(s.diskSays)
	case !s.ready:
		return kindRecovered, "not ready"
	case s.inMemory > 0:
		return kindMemory, fmt.Sprintf("%d bytes of bodies are said to be in flight", s.inMemory)
	case s.inSpool > 0:
		return kindDisk, fmt.Sprintf("%d bytes are said to be in the spool", s.inSpool)
	}
	return 0, ""
}

func said(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// quiet waits until weir, which nobody asks for anything, is back where it was; what is not by then is a finding.
func (b *bench) quiet(ctx context.Context, within time.Duration, spare int) {
	begin, last := time.Now(), ""
	limit := begin.Add(b.pulse.within(within, quietStretch))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	defer func() {
		if d := time.Since(begin); d > within/3 {
			_, _ = fmt.Fprintf(b.Out, "  quiet after %v, at last: %s\n", d.Round(100*time.Millisecond), last)
		}
	}()
	for {
		k, text := b.trouble(spare)
		switch {
		case text == "":
			b.checks++
			return
		case ctx.Err() != nil:
			return
		case time.Now().After(limit):
			b.found.add(k, "after %v of quiet: %s", within, text)
			if k == kindHang || k == kindRoutines || k == kindPermits {
				b.lookAgain = true
			}
			return
		}
		last = text
		<-tick.C
	}
}

// settle takes the baseline of a process that has been asked for this and that and is quiet now.
func (b *bench) settle(ctx context.Context) error {
	b.base = baseline{}
	b.quiet(ctx, quietWithin, 0)
	s, err := b.readState()
	if err != nil {
		return err
	}
	f, err := b.weir.files()
	if err != nil {
		return err
	}
	b.base = baseline{goroutines: s.goroutines, sockets: f.sockets - b.origin.connections()}
	if b.base.goroutines == 0 {
		return errors.New("GET /metrics has no go_goroutines")
	}
	return nil
}

// recovered asks for things that are not stored until each is answered with 200. What takes longer than the bound is a
// finding: the faults are over, and nothing but weir's memory of them could be in the way.
func (b *bench) recovered(ctx context.Context, round int) {
	t := newTransport(b.place.data, true)
	defer t.CloseIdleConnections()
	limit := time.Now().Add(b.pulse.within(quietWithin, quietStretch))
	for i := range 12 {
		o := object{group: i % groups, host: groupHost(i % groups)}
		for try := 0; ; try++ {
			o.target = fmt.Sprintf("/g%d/back%d-%d-%d;size=2000;tag=%s;max-age=60", o.group, round, i, try, groupTag(o.group))
			o.size = 2000
			hard, soft := b.floors.of(&o)
			q := &ask{method: "GET", host: o.host, target: o.target}
			a := b.send(ctx, t, q)
			if a.err == nil {
				b.judge(q, a, &o, 0, o.size, hard, soft, make([]byte, 4<<10))
				if a.StatusCode == 200 {
					break
				}
			}
			if ctx.Err() != nil {
				return
			}
			if time.Now().After(limit) {
				b.found.add(kindRecovered, "%v after the faults: %s", quietWithin, outcome(a))
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	b.checks++
}
