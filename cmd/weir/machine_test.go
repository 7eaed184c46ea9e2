package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"weir/configs"
)

func TestThisMachine(t *testing.T) {
	const meminfo = "MemTotal:       24608748 kB\nMemFree:        19000000 kB\n"
	for _, tt := range []struct {
		name   string
		files  map[string]string
		memory int64
		of     string
	}{
		{"the machine", map[string]string{"proc/meminfo": meminfo}, 24608748 << 10, "this machine"},
		{"a narrower group", map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30, "this process's control group"},
		{"a wider group", map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "1099511627776\n"}, 24608748 << 10, "this machine"},
		{"nothing known", nil, 0, "this machine"},
		{"nonsense", map[string]string{"proc/meminfo": "MemTotal: much\n"}, 0, "this machine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if m := thisMachine(root); m.Memory != tt.memory || m.MemoryOf != tt.of {
				t.Errorf("%d of %s", m.Memory, m.MemoryOf)
			}
		})
	}
}

// TestSpaceOf looks at a directory with a file in it, and at one that is not
// there yet.
func TestSpaceOf(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := spaceOf(dir)
	if err != nil || s.Used < 1<<20 || s.Used > 2<<20 || s.Total < s.Free || s.Free <= 0 {
		t.Errorf("%+v, error %v", s, err)
	}
	none, err := spaceOf(filepath.Join(dir, "not", "yet"))
	if err != nil || none.Used != 0 || none.Total != s.Total {
		t.Errorf("a directory that is not there: %+v, error %v; want the file system of %+v", none, err, s)
	}
}

// TestMachineWarnings: check and the start say with figures what the machine
// has no room for, and go on.
func TestMachineWarnings(t *testing.T) {
	t.Chdir(t.TempDir())
	const config = "listen: 127.0.0.1:0\norigins: {o: {servers: [\"http://127.0.0.1:9000\"]}}\npolicies: [{name: a, origin: o}]\n" +
		"tiers: {ram: {size: 900TiB}, disk: {path: cache, size: 1000TiB}}\n"
	if err := os.WriteFile("weir.yaml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runCaptured("check")
	if code != 0 || !strings.Contains(stdout, "valid") {
		t.Errorf("exit code %d, output %s", code, stdout)
	}
	for _, want := range []string{
		"warning: weir.yaml:4:21: tiers.ram.size: 900TiB is more than the memory of this ",
		`warning: weir.yaml:4:56: tiers.disk.size: 1000TiB is more than the whole file system of "cache"`,
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is missing in\n%s", want, stderr)
		}
	}
}

// TestFewFiles: a limit of open files below what the connections need is told, with
// the figures and what to do.
func TestFewFiles(t *testing.T) {
	cfg := &configs.Config{Limits: configs.Limits{Connections: 10_000}}
	for limit, want := range map[uint64]string{
		1024:   "need 10256 descriptors, and this process may have 1024 (raise LimitNOFILE= of the service, or ulimit -n, to 20256 or more",
		10_255: "may have 10255", 10_256: "", 1 << 20: "",
	} {
		if got := fewFiles(cfg, limit); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%d: %q", limit, got)
		}
	}
	cfg.Tiers.Disk = &configs.Disk{}
	if fewFiles(cfg, 11_000) == "" || fewFiles(cfg, 12_000) != "" {
		t.Error("the disk tier's files are not counted")
	}
}
