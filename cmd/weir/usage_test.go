package main

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func runCaptured(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

// TestUsage holds the exit code and the whole message of wrong command lines.
func TestUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct{ args, want string }{
		{"chek", "there is no command \"weir chek\"; did you mean `weir check`? See `weir --help`"},
		{"start", "there is no command \"weir start\"; did you mean `weir serve`? See `weir --help`"},
		{"reload", "there is no command \"weir reload\"; send SIGHUP to the running weir: `systemctl reload weir`, or kill -HUP and its process id; see `weir --help`"},
		{"Status", "there is no command \"weir Status\"; the admin plane has it: curl http://127.0.0.1:8081/v1/status; see `weir --help`"},
		{"help stop", "there is no command \"weir stop\"; send SIGTERM to the running weir: `systemctl stop weir`, or kill and its process id; see `weir --help`"},
		{"disk list", "there is no command \"weir disk list\"; did you mean `weir disk ls`? See `weir disk --help`"},
		{"disk status", "there is no command \"weir disk status\"; did you mean `weir disk stat`? See `weir disk --help`"},
		{"check --conf x", "check has no flag --conf; did you mean --config? See `weir check --help`"},
		{"check --config=", "the name of the configuration file is empty; see `weir check --help`"},
		{"key http://a/ http://b/", "key takes one URL, and got \"http://a/\" and \"http://b/\"; see `weir key --help`"},
		{"purge --all --address localhost", "--address: \"localhost\" is not an address (valid: host:port of the admin plane, such as 127.0.0.1:8081); see `weir purge --help`"},
		{"purge --all --address http://a:1", "--address: \"http://a:1\" is not an address (valid: host:port of the admin plane, such as 127.0.0.1:8081); see `weir purge --help`"},
		{"demo --delay -1s", "--delay: -1s is negative (valid: 0s and more); see `weir demo --help`"},
		{"nonsense", "there is no command \"weir nonsense\"; see `weir --help`"},
		{"weir.yaml", "there is no command \"weir.yaml\"; did you mean `weir serve weir.yaml`? See `weir --help`"},
		{"help chek", "there is no command \"weir chek\"; did you mean `weir check`? See `weir --help`"},
		{"help disk lst", "there is no command \"weir disk lst\"; did you mean `weir disk ls`? See `weir disk --help`"},
		{"help check x", "check has no subcommands, and got \"x\"; see `weir check --help`"},
		{"disk sta", "there is no command \"weir disk sta\"; did you mean `weir disk stat`? See `weir disk --help`"},
		{"disk ls", "disk ls needs one directory, that of tiers.disk.path, and got 0 arguments; see `weir disk ls --help`"},
		{"disk ls --fresh --stale d", "--fresh together with --stale or --purged leaves nothing; leave one away; see `weir disk ls --help`"},
		{"version x", "version takes no argument, and got \"x\"; see `weir version --help`"},
		{"check a b", "check takes one configuration file, and got 2: a b; see `weir check --help`"},
		{"check -c a b", "there are two configuration files, \"a\" and \"b\"; see `weir check --help`"},
		{"key", "key needs a URL, such as http://example.com/path; see `weir key --help`"},
		{"key a b http://c/", "key takes one configuration file, and got 2: a b; see `weir key --help`"},
		{"serve --confg x", "serve has no flag --confg; did you mean --config? See `weir serve --help`"},
		{"serve -config x", "-config begins with one dash; did you mean --config? See `weir serve --help`"},
		{"demo -listen=x", "-listen begins with one dash; did you mean --listen? See `weir demo --help`"},
		{"serve -c", "--config needs a value: --config FILE; see `weir serve --help`"},
		{"check -x", "check has no flag -x; see `weir check --help`"},
		{"-c x", "weir by itself has no flag -c; it belongs behind weir check or weir key or weir purge or weir serve; see `weir --help`"},
		{"purge", "nothing to purge: name --url, --tag, --prefix or --host, or --all; see `weir purge --help`"},
		{"purge http://x/", "purge takes no argument; did you mean --url http://x/? See `weir purge --help`"},
		{"purge --all --wiat", "purge has no flag --wiat; did you mean --wait? See `weir purge --help`"},
		{"demo --delay 5", "--delay: \"5\" is no duration (valid: 250ms, 2s, 1m30s and the like); see `weir demo --help`"},
		{"--help=maybe", "--help: \"maybe\" is neither true nor false; see `weir --help`"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := runCaptured(strings.Fields(tt.args)...)
			if code != exitUsage || stdout != "" || stderr != "weir: "+tt.want+"\n" {
				t.Errorf("exit code %d, output %q, error\n%swant\nweir: %s", code, stdout, stderr, tt.want)
			}
		})
	}
}

// TestConfigFileArgument: a configuration file is an argument or the value of
// -c, and the exit code tells a file with faults from wrong usage.
func TestConfigFileArgument(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"good.yaml": keyConfig, "weir.yaml": keyConfig, "bad.yaml": "listen: x\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args string
		code int
		want string // in either output
	}{
		{"check good.yaml", 0, "good.yaml: valid: 1 listener"},
		{"check -c good.yaml", 0, "good.yaml: valid: 1 listener"},
		{"check good.yaml -c good.yaml", 0, "good.yaml: valid: 1 listener"},
		{"check", 0, "weir.yaml: valid: 1 listener"},
		{"check bad.yaml", exitFailed, `bad.yaml:1:9: listen: "x" has no port`},
		{"check none.yaml", exitFailed, "there is no configuration file none.yaml"},
		{"serve bad.yaml", exitFailed, `bad.yaml:1:9: listen: "x" has no port`},
		{"key good.yaml http://shop.example/", 0, "policy: shop"},
		{"key http://shop.example/", 0, "policy: shop"},
		{"key good.yaml", exitFailed, "a whole URL is needed"},
		{"--version", 0, "weir dev "},
		{"-v", 0, "weir dev "},
		{"version", 0, "weir dev "},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := runCaptured(strings.Fields(tt.args)...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("exit code %d, output\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// TestHelp holds the help of every command word for word, and that it is the
// same behind help, --help and -h.
func TestHelp(t *testing.T) {
	for _, command := range []string{"", "serve", "check", "key", "demo", "purge", "disk", "disk stat", "disk verify", "disk ls", "version", "help"} {
		t.Run("weir "+command, func(t *testing.T) {
			words := strings.Fields(command)
			code, text, stderr := runCaptured(append([]string{"help"}, words...)...)
			if code != 0 || stderr != "" {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			for _, flag := range []string{"-h", "--help"} {
				if code, other, _ := runCaptured(append(words, flag)...); code != 0 || other != text {
					t.Errorf("%s prints\n%s\nand help\n%s", flag, other, text)
				}
			}
			golden := filepath.Join("testdata", "help", strings.Join(append([]string{"weir"}, words...), "-")+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("got\n%swant\n%s", text, want)
			}
		})
	}
}

// TestPurgeElsewhere: an address that is not the admin plane's is named, and what
// it should be.
func TestPurgeElsewhere(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	code, _, stderr := runCaptured("purge", "--all", "--address", address)
	want := "weir: " + address + " answered 404, and not as an admin plane does: is this the address of admin.listen?\n"
	if code != exitFailed || stderr != want {
		t.Errorf("exit code %d, error %q, want %q", code, stderr, want)
	}
	t.Setenv("WEIR_TOKEN", "a\nb")
	code, _, stderr = runCaptured("purge", "--all", "--address", address)
	if code != exitFailed || !strings.Contains(stderr, "the token on one line") {
		t.Errorf("exit code %d, error %q", code, stderr)
	}
}
