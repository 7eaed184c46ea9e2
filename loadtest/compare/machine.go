package compare

import (
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where the figures were measured.
type Machine struct {
	CPU       string `json:"cpu"`
	Cores     int    `json:"cores"`
	MemoryGiB int    `json:"memory_gib"`
	Kernel    string `json:"kernel"`
	System    string `json:"system"`
	Virtual   bool   `json:"virtual"`
}

// thisMachine asks the kernel; what it does not tell is "unknown".
func thisMachine(cores int) Machine {
	m := Machine{CPU: "unknown", Cores: cores, Kernel: "unknown", System: "unknown"}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU, m.Virtual = parseCPU(string(b))
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		if kib, err := field(string(b), "MemTotal:"); err == nil {
			m.MemoryGiB = int((kib + 1<<19) >> 20)
		}
	}
	if b, err := os.ReadFile("/etc/os-release"); err == nil {
		m.System = parseRelease(string(b))
	}
	return m
}

// parseCPU finds the model in /proc/cpuinfo, and whether a hypervisor is below.
func parseCPU(text string) (model string, virtual bool) {
	model = "unknown"
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "model name":
			model = strings.TrimSpace(value)
		case "flags":
			virtual = slices.Contains(strings.Fields(value), "hypervisor")
		}
	}
	return model, virtual
}

func parseRelease(text string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			if s, err := strconv.Unquote(value); err == nil {
				return s
			}
			return value
		}
	}
	return "unknown"
}

// moduleVersion is the version of a library in this program.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}

func goVersion() string { return strings.TrimPrefix(runtime.Version(), "go") }
