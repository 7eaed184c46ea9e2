package main

import (
	"testing"
	"testing/fstest"

	"weir/configs"
)

func TestCgroupLimit(t *testing.T) {
	const (
		v2      = "sys/fs/cgroup/"
		v1      = "sys/fs/cgroup/memory/"
		huge    = "9223372036854771712\n" // what version 1 says for none
		service = "system.slice/weir.service/"
	)
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing there", nil, 0},
		{"no limit anywhere", map[string]string{"proc/self/cgroup": "0::/" + service + "\n", v2 + service + "memory.max": "max\n"}, 0},
		{"a service manager's, not at the root", map[string]string{
			"proc/self/cgroup": "0::/system.slice/weir.service\n", v2 + service + "memory.max": "1073741824\n",
		}, 1 << 30},
		{"a slice above is narrower", map[string]string{
			"proc/self/cgroup": "0::/system.slice/weir.service\n", v2 + service + "memory.max": "1073741824\n", v2 + "system.slice/memory.max": "536870912\n",
		}, 512 << 20},
		{"a slice above is wider", map[string]string{
			"proc/self/cgroup": "0::/system.slice/weir.service\n", v2 + service + "memory.max": "536870912\n", v2 + "system.slice/memory.max": "1073741824\n",
		}, 512 << 20},
		{"where the kernel begins to throttle", map[string]string{
			"proc/self/cgroup": "0::/system.slice/weir.service\n", v2 + service + "memory.max": "1073741824\n", v2 + service + "memory.high": "805306368\n",
		}, 768 << 20},
		{"another service's does not count", map[string]string{
			"proc/self/cgroup": "0::/system.slice/weir.service\n", v2 + "system.slice/other.service/memory.max": "1048576\n",
		}, 0},
		{"a container with a namespace of its own", map[string]string{"proc/self/cgroup": "0::/\n", v2 + "memory.max": "268435456\n"}, 256 << 20},
		{"a container that sees the host's path", map[string]string{
			"proc/self/cgroup": "0::/docker/0123abcd\n", v2 + "memory.max": "268435456\n",
		}, 256 << 20},
		{"a group outside of the namespace", map[string]string{"proc/self/cgroup": "0::/../../other\n", v2 + "memory.max": "268435456\n"}, 256 << 20},
		{"a path with a colon", map[string]string{"proc/self/cgroup": "0::/a:b\n", v2 + "a:b/memory.max": "268435456\n"}, 256 << 20},
		{"version 1", map[string]string{
			"proc/self/cgroup":                     "12:cpu,cpuacct:/x\n4:memory:/docker/ab\n1:name=systemd:/y\n",
			v1 + "docker/ab/memory.limit_in_bytes": "134217728\n", v1 + "x/memory.limit_in_bytes": "1024\n", v1 + "memory.limit_in_bytes": huge,
		}, 128 << 20},
		{"version 1, controllers together", map[string]string{
			"proc/self/cgroup": "4:cpu,memory:/ab\n", v1 + "ab/memory.limit_in_bytes": "134217728\n",
		}, 128 << 20},
		{"version 1 without a limit", map[string]string{"proc/self/cgroup": "4:memory:/\n", v1 + "memory.limit_in_bytes": huge}, 0},
		{"both versions mounted", map[string]string{
			"proc/self/cgroup": "4:memory:/ab\n0::/ab\n", v1 + "ab/memory.limit_in_bytes": "134217728\n",
		}, 128 << 20},
		{"no /proc", map[string]string{v2 + "memory.max": "268435456\n"}, 256 << 20},
		{"nonsense", map[string]string{"proc/self/cgroup": "nonsense\n\n0::/\n", v2 + "memory.max": "-5\n", v2 + "memory.high": "x"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := cgroupLimit(root); got != tt.want {
				t.Errorf("the limit is %d, want %d", got, tt.want)
			}
		})
	}
}

// TestMemoryLimitFollowsTheIndex: what the disk tier's index may take grows with
// its size, and then no more.
func TestMemoryLimitFollowsTheIndex(t *testing.T) {
	limit := func(diskSize int64) int64 {
		cfg := &configs.Config{}
		cfg.Tiers.RAM.Size = 1 << 30
		if diskSize > 0 {
			cfg.Tiers.Disk = &configs.Disk{Size: diskSize}
		}
		return memoryLimit(cfg) - 1<<30 - 1<<28 - 64<<20
	}
	for size, want := range map[int64]int64{
		0: 0, 8 << 20: 34 << 20, 1 << 30: 64 << 20, 64 << 30: 112 << 20, 128 << 30: 176 << 20, 8 << 40: 176 << 20,
	} {
		if got := limit(size); got != want {
			t.Errorf("a disk tier of %d bytes adds %d MiB, want %d", size, got>>20, want>>20)
		}
	}
}
