package compare

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// setups are the shapes in which configurations are rendered.
func setups(dir string) map[string]setup {
	ram := setup{
		Port: 4001, AdminPort: 4002, Origin: "127.0.0.1:4003", Dir: dir, Fast: "/fast", Slow: "/slow", MemoryMiB: 1024,
		Cores: 1, Connections: 1000, Root: true,
	}
	disk, behind, purge := ram, ram, ram
	disk.Disk, disk.DiskMiB, disk.MemoryMiB = true, 2048, 64
	behind.DiskMiB = 4096
	purge.Tags, purge.Purge, purge.Root = true, true, false
	return map[string]setup{"ram": ram, "disk": disk, "behind": behind, "purge": purge}
}

func TestConfigurationsRender(t *testing.T) {
	for shape, s := range setups(t.TempDir()) {
		for _, sys := range systems {
			for _, file := range sys.files {
				b, err := sys.renderFile(file, s)
				if err != nil {
					t.Error(err)
					continue
				}
				text := string(b)
				if strings.Contains(text, "<no value>") || strings.Contains(text, "{{") {
					t.Errorf("%s, %s, %s: a value is missing:\n%s", sys.name, file, shape, text)
				}
			}
		}
	}
}

// What makes the comparison fair must be in every configuration.
func TestConfigurationsAgree(t *testing.T) {
	all := setups(t.TempDir())
	for _, c := range []struct{ system, file, shape, want string }{
		{Weir, "weir.yaml", "ram", "ram: {size: 1024MiB"},
		{Weir, "weir.yaml", "disk", "disk: {path: /slow/cache, size: 2048MiB"},
		{Weir, "weir.yaml", "behind", "ram: {size: 1024MiB, max_object: 4MiB}"},
		{Weir, "weir.yaml", "behind", "disk: {path: /slow/cache, size: 4096MiB"},
		{HAProxy, "haproxy.cfg", "ram", "total-max-size 1024\n"},
		{HAProxy, "haproxy.cfg", "ram", "nbthread 1\n"},
		{HAProxy, "haproxy.cfg", "ram", "max-object-size 4194304\n"},
		{Nginx, "nginx.conf", "ram", "proxy_cache_path /fast/cache"},
		{Nginx, "nginx.conf", "ram", "max_size=1024m"},
		{Nginx, "nginx.conf", "disk", "proxy_cache_path /slow/cache"},
		{Nginx, "nginx.conf", "disk", "max_size=2048m"},
		{Nginx, "nginx.conf", "ram", "worker_processes 1;"},
		{Nginx, "nginx.conf", "ram", "user root;"},
		{TrafficServer, "records.config", "ram", "ram_cache.size INT 1024M\n"},
		{TrafficServer, "records.config", "ram", "exec_thread.limit INT 1\n"},
		{TrafficServer, "records.config", "disk", "ram_cache.size INT 1M\n"},
		{TrafficServer, "storage.config", "ram", "/fast/cache 1024M\n"},
		{TrafficServer, "storage.config", "disk", "/slow/cache 2048M\n"},
		{Varnish, "parameters.txt", "ram", "thread_pools=1\n"},
		{Varnish, "default.vcl", "purge", "import xkey;"},
	} {
		sys, ok := systemNamed(c.system)
		if !ok {
			t.Fatalf("no system %s", c.system)
		}
		b, err := sys.renderFile(c.file, all[c.shape])
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(b), c.want) {
			t.Errorf("%s of %s (%s) lacks %q:\n%s", c.file, c.system, c.shape, c.want, b)
		}
	}
}

func TestVarnishArgv(t *testing.T) {
	dir := t.TempDir()
	sys, _ := systemNamed(Varnish)
	for shape, storage := range map[string]string{"ram": "malloc,1024M", "disk": "file,/slow/varnish.storage,2048M"} {
		s := setups(dir)[shape]
		if err := sys.render(s); err != nil {
			t.Fatal(err)
		}
		argv, err := sys.argv(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{storage, "thread_pool_min=1100", filepath.Join(dir, "default.vcl"), "127.0.0.1:4001"} {
			if !slices.Contains(argv, want) {
				t.Errorf("%s: %q is not in %q", shape, want, argv)
			}
		}
		if slices.ContainsFunc(argv, func(a string) bool { return strings.HasPrefix(a, "#") }) {
			t.Errorf("a comment became an argument: %q", argv)
		}
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	err := Config{Rounds: 0, Seconds: 601, Systems: []string{"squid"}, Scenarios: []string{"ram", "nothing"}}.validate()
	for _, want := range []string{"rounds 0", "seconds 601", `system "squid": weir, haproxy`, `scenario "nothing": ram, disk`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if err := (Config{Rounds: 5, Seconds: 3, Systems: []string{Weir}, Scenarios: []string{"ram-1k", "miss"}}).validate(); err != nil {
		t.Error(err)
	}
}

// A second comparison is refused while the first runs, and possible after it.
func TestOneComparisonAtATime(t *testing.T) {
	cfg := Config{Scratch: t.TempDir(), Rounds: 1, Seconds: 1, Results: filepath.Join(t.TempDir(), "results.json")}
	release, err := alone(cfg.Scratch)
	if err != nil {
		t.Fatal(err)
	}
	if err := Compare(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "another comparison is under way") {
		t.Errorf("the second one: %v", err)
	}
	release()
	release, err = alone(cfg.Scratch)
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	release()
}

func TestSelected(t *testing.T) {
	for want, wanted := range map[string][]string{
		strings.Join(diskGroup.scenarios, " "): {"disk"},
		"disk-10k-64":                          {"disk-10k"},
		"":                                     {"ram", ""},
	} {
		if got := strings.Join(diskGroup.selected(wanted), " "); got != want {
			t.Errorf("%q selects %q, want %q", wanted, got, want)
		}
	}
	if got := diskGroup.selected(nil); len(got) != len(diskGroup.scenarios) {
		t.Errorf("nothing wanted selects %q", got)
	}
}

func TestMissingSystemIsAFault(t *testing.T) {
	var out strings.Builder
	r := &Run{cfg: Config{Weir: filepath.Join(t.TempDir(), "no-weir"), Out: &out}, results: &Results{Versions: map[string]string{}}}
	if got := r.installed(context.Background(), []string{Weir}); len(got) != 0 || r.faults != 1 {
		t.Errorf("found %v, %d faults", got, r.faults)
	}
	if !strings.Contains(out.String(), "weir is not installed") {
		t.Errorf("said %q", out.String())
	}
	if _, err := os.Stat(r.cfg.Weir); err == nil {
		t.Error("it was made")
	}
}
