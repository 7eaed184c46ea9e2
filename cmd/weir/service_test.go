package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestServiceUnit holds the systemd unit: what an operator relies on is in it,
// its command lines are ones that weir takes, and systemd, where it is
// installed, finds nothing wrong with it.
func TestServiceUnit(t *testing.T) {
	unit, err := os.ReadFile(filepath.Join(moduleRoot, "configs", "weir.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n[Install]\nWantedBy=multi-user.target\n", "\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n", "\nLimitNOFILE=65536\n",
		"\nExecReload=/bin/kill -HUP $MAINPID\n", "\nStateDirectory=weir\n", "\nNoNewPrivileges=yes\n", "\nType=notify\n", "\nWatchdogSec=60\n", "\nProtectSystem=strict\n",
	} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("configs/weir.service does not hold %q", want)
		}
	}
	const program = "/usr/local/bin/weir"
	commands := 0
	for line := range strings.Lines(string(unit)) {
		_, args, found := strings.Cut(strings.TrimSpace(line), "="+program+" ")
		if !found {
			continue
		}
		commands++
		c, rest, err := rootCommand().Find(strings.Fields(args))
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err == nil {
			err = c.ValidateArgs(c.Flags().Args())
		}
		if err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(line), err)
		}
	}
	if commands != 2 {
		t.Errorf("%d command lines of weir, want those of ExecStart and ExecReload", commands)
	}

	sockets, err := os.ReadFile(filepath.Join(moduleRoot, "configs", "weir.socket"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nListenStream=0.0.0.0:80\n", "\nListenStream=127.0.0.1:8081\n", "\n[Install]\nWantedBy=sockets.target\n"} {
		if !strings.Contains(string(sockets), want) {
			t.Errorf("configs/weir.socket does not hold %q", want)
		}
	}

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // what could be held without it was
	}
	// The program must exist for systemd: this test is one.
	file := filepath.Join(t.TempDir(), "weir.service")
	if err := os.WriteFile(file, bytes.ReplaceAll(unit, []byte(program), []byte(os.Args[0])), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(file), "weir.socket")
	if err := os.WriteFile(other, sockets, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file, other).CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
