package compare

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

//go:embed configs
var configFiles embed.FS

// Names of the systems, as flags and results have them.
const (
	Weir          = "weir"
	HAProxy       = "haproxy"
	Nginx         = "nginx"
	TrafficServer = "trafficserver"
	Varnish       = "varnish"
	Fasthttp      = "fasthttp"
)

// setup is what the templates of a configuration are rendered with.
type setup struct {
	Port, AdminPort int
	Origin          string // host:port
	Dir             string // of this instance: configuration, sockets, pid files
	Fast            string // a directory on tmpfs, for what others would hold in RAM
	Slow            string // a directory on the disk
	MemoryMiB       int64  // of the cache in RAM
	DiskMiB         int64  // of the cache on disk; without Disk it is written behind the RAM
	Disk            bool   // hits are to come from disk
	Cores           int    // that the server may use
	Connections     int    // that will be opened at most
	Tags, Purge     bool   // whether purges by tag and by URL are wanted
	Root            bool   // whether this runs as root
}

// MaxObject bounds a body in bytes: half of the cache, at most 4 MiB.
func (s setup) MaxObject() int64 { return min(4<<20, s.MemoryMiB<<20/2) }

// StorageMiB is the storage under a RAM cache that cannot be without. It is as
// large as the RAM, and everything in RAM lies in it too: more would let such a
// system keep more objects than the others may.
func (s setup) StorageMiB() int64 { return s.MemoryMiB }

// Threads is how many of them a server needs that holds one for each request.
func (s setup) Threads() int { return max(s.Connections+100, 200) }

// OriginHost is the host of Origin.
func (s setup) OriginHost() string { host, _, _ := strings.Cut(s.Origin, ":"); return host }

// OriginPort is the port of Origin.
func (s setup) OriginPort() string { _, port, _ := strings.Cut(s.Origin, ":"); return port }

// system is one of those compared: how it is found, configured and started.
type system struct {
	name   string
	title  string
	binary string
	// files are the names below configs/<name> that are rendered into the
	// directory of the instance.
	files []string
	// argv returns the command line, without the binary.
	argv func(s setup) ([]string, error)
	env  func(s setup) []string
	// dirs are made in the directory of the instance before it starts.
	dirs []string
	// version is the command that tells it; the first number with a dot counts.
	version []string
}

var systems = []system{
	{
		name: Weir, title: "weir", binary: "weir", files: []string{"weir.yaml"},
		argv: func(s setup) ([]string, error) {
			return []string{"serve", "-c", filepath.Join(s.Dir, "weir.yaml")}, nil
		},
		version: []string{"version"},
	},
	{
		name: HAProxy, title: "HAProxy", binary: "haproxy", files: []string{"haproxy.cfg"},
		argv: func(s setup) ([]string, error) {
			return []string{"-db", "-f", filepath.Join(s.Dir, "haproxy.cfg")}, nil
		},
		version: []string{"-v"},
	},
	{
		name: Nginx, title: "nginx", binary: "nginx", files: []string{"nginx.conf"},
		argv: func(s setup) ([]string, error) {
			return []string{"-p", s.Dir, "-e", "/dev/null", "-c", filepath.Join(s.Dir, "nginx.conf")}, nil
		},
		version: []string{"-v"},
	},
	{
		name: TrafficServer, title: "Traffic Server", binary: "traffic_server",
		files:   []string{"records.config", "remap.config", "storage.config", "ip_allow.yaml", "runroot.yaml"},
		argv:    func(setup) ([]string, error) { return nil, nil },
		env:     func(s setup) []string { return []string{"TS_RUNROOT=" + s.Dir} },
		dirs:    []string{"data", "state", "log", "run", "cachedir"},
		version: []string{"--version"},
	},
	{
		name: Varnish, title: "Varnish", binary: "varnishd", files: []string{"default.vcl", "parameters.txt"},
		argv: varnishArgv, version: []string{"-V"},
	},
	{
		name: Fasthttp, title: "bare fasthttp", // the binary is this program itself
		argv: func(s setup) ([]string, error) {
			return []string{"yardstick", "--listen", "127.0.0.1:" + strconv.Itoa(s.Port)}, nil
		},
	},
}

func varnishArgv(s setup) ([]string, error) {
	storage := fmt.Sprintf("malloc,%dM", s.MemoryMiB)
	if s.Disk {
		storage = fmt.Sprintf("file,%s,%dM", filepath.Join(s.Slow, "varnish.storage"), s.DiskMiB)
	}
	argv := []string{
		// In the foreground; no jail, since it would need root and a user.
		"-F", "-j", "none", "-n", filepath.Join(s.Dir, "work"), "-f", filepath.Join(s.Dir, "default.vcl"),
		"-a", "127.0.0.1:" + strconv.Itoa(s.Port), "-s", storage,
		// No command line port: it would be one more listener.
		"-T", "none",
	}
	b, err := os.ReadFile(filepath.Join(s.Dir, "parameters.txt"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the parameters of varnishd: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			argv = append(argv, "-p", line)
		}
	}
	return argv, nil
}

func systemNamed(name string) (system, bool) {
	for _, s := range systems {
		if s.name == name {
			return s, true
		}
	}
	return system{}, false
}

// title is the name of a system as the page has it.
func title(name string) string {
	if s, ok := systemNamed(name); ok {
		return s.title
	}
	return name
}

// render writes the configuration of sys into s.Dir.
func (sys system) render(s setup) error {
	for _, file := range sys.files {
		text, err := sys.renderFile(file, s)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.Dir, file), text, 0o600); err != nil {
			return fmt.Errorf("cannot configure %s: %w", sys.name, err)
		}
	}
	return nil
}

func (sys system) renderFile(file string, s setup) ([]byte, error) {
	name := "configs/" + sys.name + "/" + file
	t, err := template.New(file).Option("missingkey=error").ParseFS(configFiles, name)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, s); err != nil {
		return nil, fmt.Errorf("cannot render %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// find returns the path of the binary of sys. Debian puts most of them in
// /usr/sbin, which is not on everybody's PATH.
func (sys system) find(weir string) (string, error) {
	switch sys.name {
	case Fasthttp:
		return os.Executable()
	case Weir:
		return exec.LookPath(weir)
	}
	return lookPath(sys.binary)
}

func lookPath(binary string) (string, error) {
	if path, err := exec.LookPath(binary); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", binary))
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)*(-\d[\w+.~-]*)?`)

// versionOf asks a binary for its version; "unknown" when it does not say.
func (sys system) versionOf(ctx context.Context, binary string) string {
	if sys.name == Fasthttp {
		return moduleVersion("github.com/valyala/fasthttp")
	}
	out, _ := exec.CommandContext(ctx, binary, sys.version...).CombinedOutput()
	if sys.name == Weir {
		if fields := strings.Fields(string(out)); len(fields) > 1 {
			return fields[1]
		}
	}
	if v := versionNumber.FindString(string(out)); v != "" {
		return v
	}
	return "unknown"
}
