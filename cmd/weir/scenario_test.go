package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/goleak"
)

// The scenarios in testdata/scenarios run the real program: the command weir in
// them is this test binary running main as a process of its own, so that it can
// be killed, and so that the race detector watches it too.
//
// Beside testscript's own commands they have these. W names a running weir: w1
// is its first listener, w1:2 the second, w1:admin the admin plane. Whatever
// has to happen first is waited for, at most patience; nothing sleeps.
//
//	origin O FILE            starts the scripted origin (loadtest/script) of FILE and sets $O to host:port; with CERT and
//	                         KEY behind it, it speaks TLS
//	twin O FILE OF ADDRESS   starts a scripted origin on the port of OF, at another address of this machine; sets $O_port too
//	dns NAME ADDRESS         says which address a name stands for; each "serve" behind the first one asks for it
//	blackhole O              sets $O to an address that answers no attempt to connect
//	originctl O VERB ...     release B | hold B | down | up | flap EVERY | stalled B [N] (waits for N exchanges at barrier B) |
//	                         requests [METHOD] TARGET N (exactly N by now; waits while fewer) | total N | done N |
//	                         connections N
//	saw O N WHAT ...         about the N-th request ("last" too): method M | target T | host RE | header NAME RE |
//	                         head RE | body SIZE [of NAME] | outcome RE; "! saw" expects the opposite
//	serve W CONFIG [FLAG...] starts weir serve on CONFIG, in which $VARIABLES are replaced; sets $W, $W_2, $W_admin
//	shutdown W | kill9 W     ends it: SIGTERM, with exit status 0, or SIGKILL ("stop" is testscript's, and ends the scenario)
//	signal W TERM|...        sends a signal: TERM, INT, HUP, STOP or CONT; exited W [STATUS] waits for the end
//	keep V RE                sets $V to what the group of RE is in the standard output of the last exec
//	route R...               sets $R to host:port, where a node can listen for its peers
//	reload W CONFIG          replaces its configuration and sends SIGHUP
//	log W RE                 waits until its standard error holds RE; "! log" looks once
//	metric W NAME OP VALUE   waits until the sample compares so; OP is one of == != < <= > >=
//	settle W                 waits until no request and no fetch is under way
//	start C W TARGET [opts]  begins a request on a new connection; get C ... waits for the response's end too
//	raw C W BYTES            sends BYTES, a Go string without its quotes, on a new connection; send C BYTES sends more
//	crowd W N BYTES          opens N connections, sends BYTES on each, as raw does, and leaves them as they are
//	misses W PREFIX N EVERY [SKIP]
//	                         sends N GETs of PREFIX1, PREFIX2 ..., one EVERY (20ms); of those behind the first SKIP at most
//	                         one in a hundred may fail, or take longer than 250ms and twice the p99 of the first
//	                         "misses", which may take any time
//	turns W TARGET NAME VALUE WITHIN
//	                         asks for TARGET over and over until the answer has the field NAME: VALUE, at most WITHIN;
//	                         each answer must be 200
//	next C                   goes on to the connection's next response
//	resume C | leave C       lets a client that stopped reading go on; closes its connection
//	blocked C                waits until a transfer stands still while there is more to send or to read
//	expect C WHAT ...        see expect; "! expect" for the opposite where that makes sense
//	cert CERT KEY NAME...    makes a self-signed certificate for the names
//	flip GLOB EVERY          inverts one byte in every EVERY of the files
//
// Requests go to host shop.example unless -host says otherwise, so that a key
// does not depend on the port.
func TestScenarios(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "scenarios"),
		Setup:               setupScenario,
		Cmds:                scenarioCommands,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// TestScenariosAreWhole: testscript's stop and skip end a scenario as if it had
// passed, so none may have them; and each says first what it shows.
func TestScenariosAreWhole(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, name := range files {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		script := string(archive.Comment)
		if !strings.HasPrefix(script, "# ") {
			t.Errorf("%s does not begin with what it shows", name)
		}
		for i, line := range strings.Split(script, "\n") {
			if word, _, _ := strings.Cut(line, " "); word == "stop" || word == "skip" {
				t.Errorf("%s:%d: %s ends the scenario as if it had passed", name, i+1, word)
			}
		}
	}
}

// TestMain lets the test binary be weir for the scenarios, and looks for
// goroutines that the tests left behind. Two defaults save most of the time:
// tests that run side by side wait more than they compute, so there are two of
// them for each processor; and a program under the race detector sleeps a second
// before it exits, which the hundreds of programs started here need not.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=20")
	}
	testscript.Main(leakChecked{m}, map[string]func(){"weir": weirWithNames})
}

type leakChecked struct{ m *testing.M }

// Run implements testscript.TestingM.
func (l leakChecked) Run() int {
	code := l.m.Run()
	if err := os.RemoveAll(builtDir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code != 0 {
		return code
	}
	if err := goleak.Find(
		// Both end by themselves: the first sleeps up to ten seconds after a
		// server has stopped, the second is one ticker for the whole process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	); err != nil {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		return 1
	}
	return 0
}

// patience bounds every wait. It is long, since only what fails waits for it.
const patience = 20 * time.Second

var scenarioCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"origin":    cmdOrigin,
	"twin":      cmdTwin,
	"dns":       cmdDNS,
	"turns":     cmdTurns,
	"originctl": cmdOriginCtl,
	"saw":       cmdSaw,
	"serve":     cmdServe,
	"shutdown":  cmdShutdown,
	"kill9":     cmdKill9,
	"signal":    cmdSignal,
	"route":     cmdRoute,
	"keep":      cmdKeep,
	"exited":    cmdExited,
	"reload":    cmdReload,
	"log":       cmdLog,
	"metric":    cmdMetric,
	"settle":    cmdSettle,
	"start":     cmdStart,
	"get":       cmdGet,
	"raw":       cmdRaw,
	"send":      cmdSend,
	"crowd":     cmdCrowd,
	"misses":    cmdMisses,
	"next":      cmdNext,
	"resume":    cmdResume,
	"leave":     cmdLeave,
	"blackhole": cmdBlackhole,
	"blocked":   cmdBlocked,
	"expect":    cmdExpect,
	"cert":      cmdCert,
	"flip":      cmdFlip,
}

// world is what one scenario has running. Only the scenario's goroutine uses
// the maps.
type world struct {
	origins map[string]*scriptedOrigin
	weirs   map[string]*process
	clients map[string]*client
	crowd   []net.Conn
	names   []string      // of clients, in the order in which they began
	healthy time.Duration // the p99 of the first "misses"
	dns     *nameServer   // nil without one
}

type worldKey struct{}

func setupScenario(env *testscript.Env) error {
	w := &world{
		origins: make(map[string]*scriptedOrigin),
		weirs:   make(map[string]*process),
		clients: make(map[string]*client),
	}
	env.Values[worldKey{}] = w
	env.Defer(func() {
		faults := w.tearDown()
		// Shown when the scenario failed, or with -v.
		env.T().Log(w.state())
		if len(faults) > 0 {
			env.T().Fatal(strings.Join(faults, "\n"))
		}
	})
	return nil
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// tearDown ends everything, weir first and in good order: a weir that cannot
// drain, that raced or that panicked is a fault of every scenario.
func (w *world) tearDown() (faults []string) {
	for _, c := range w.clients {
		c.close()
	}
	for _, c := range w.crowd {
		_ = c.Close()
	}
	for _, o := range w.origins {
		// Before weir, so that no fetch waits at a barrier while it drains.
		if err := o.Close(); err != nil {
			faults = append(faults, err.Error())
		}
	}
	if w.dns != nil {
		w.dns.close()
	}
	for name, p := range w.weirs {
		if err := p.end(); err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", name, err))
		}
		for _, bad := range []string{"DATA RACE", "panic", "BUG:"} {
			if strings.Contains(p.log.String(), bad) {
				faults = append(faults, fmt.Sprintf("%s: its log holds %q", name, bad))
			}
		}
	}
	return faults
}

// state describes everything, for whoever has to find out what went wrong.
func (w *world) state() string {
	var b strings.Builder
	for name, p := range w.weirs {
		fmt.Fprintf(&b, "--- log of %s\n%s\n", name, tail(p.log.String(), 6000))
	}
	for name, o := range w.origins {
		fmt.Fprintf(&b, "--- %s got\n", name)
		for _, r := range o.Requests() {
			fmt.Fprintf(&b, "%d: %s %s host=%s sent=%d upload=%d %s %s\n",
				r.N, r.Method, r.Target, r.Host, r.Sent, r.BodyLen, r.Outcome, r.Err)
		}
	}
	for _, name := range w.names {
		fmt.Fprintf(&b, "--- %s\n%s\n", name, w.clients[name])
	}
	return b.String()
}

func tail(s string, n int) string {
	if len(s) > n {
		return "[...]" + s[len(s)-n:]
	}
	return s
}

// gate guards something that others wait for.
type gate struct {
	// mu protects moved and whatever its owner says.
	mu    sync.Mutex
	moved chan struct{}
}

// change runs f under the lock and wakes whoever waits.
func (g *gate) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	if g.moved != nil {
		close(g.moved)
		g.moved = nil
	}
}

// await returns whether done became true before patience ended.
func (g *gate) await(done func() bool) bool {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		g.mu.Lock()
		if done() {
			g.mu.Unlock()
			return true
		}
		if g.moved == nil {
			g.moved = make(chan struct{})
		}
		moved := g.moved
		g.mu.Unlock()
		select {
		case <-moved:
		case <-limit.C:
			return false
		}
	}
}

// poll asks until done is true or patience ends; for what tells nobody when it
// changes.
func poll(done func() bool) bool {
	for deadline := time.Now().Add(patience); ; {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// arguments checks the number of arguments and that a command is not negated.
func arguments(ts *testscript.TestScript, neg bool, args []string, least, most int, usage string) {
	if neg {
		ts.Fatalf("! makes no sense here; usage: %s", usage)
	}
	if len(args) < least || most >= 0 && len(args) > most {
		ts.Fatalf("usage: %s", usage)
	}
}
