package configs

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

func tokenConfig(token string) []byte {
	return fmt.Appendf(nil, `listen: 127.0.0.1:8080
admin: {tokens: [{name: ci, sha256: %x, scopes: [read]}]}
origins: {o: {servers: ["http://127.0.0.1:9000"]}}
policies: [{name: all, origin: o}]
`, sha256.Sum256([]byte(token)))
}

// A token that is found by trying is told by its digest, and never repeated.
func TestWeakTokens(t *testing.T) {
	for _, c := range []struct{ token, want string }{
		{"", "fault: an empty token"},
		{"\n", "fault: an empty token"},
		{"x", "fault: one or two bytes"},
		{"\x00", "fault: one or two bytes"},
		{"ab", "fault: one or two bytes"},
		{"password", "warning: everybody tries first"},
		{"changeme\n", "warning: everybody tries first"},
		{"0e7a3c1f9b5d", ""},
	} {
		cfg, err := Parse("weir.yaml", tokenConfig(c.token))
		kind, part, _ := strings.Cut(c.want, ": ")
		var got string
		switch kind {
		case "fault":
			got = fmt.Sprint(err)
		case "warning":
			got = fmt.Sprint(cfg.Warnings)
		default:
			if err != nil || len(cfg.Warnings) > 0 {
				t.Errorf("token %q: %v, %v", c.token, err, cfg.Warnings)
			}
			continue
		}
		if !strings.Contains(got, part) || !strings.Contains(got, "weir.yaml:2:") {
			t.Errorf("token %q: %s, want a %s", c.token, got, c.want)
		}
	}
}

func TestWeakSecretFile(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg, err := Parse("weir.yaml", []byte(`listen: 127.0.0.1:8080
origins: {o: {servers: ["http://127.0.0.1:9000"]}}
policies: [{name: all, origin: o}]
cluster: {node: n, listen: "127.0.0.1:4248", peers: ["127.0.0.1:4249"], secret_file: secret}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ secret, want string }{
		{"x", "has a length of 1 "},
		{"fifteen bytes!!\n\n", "has a length of 15"},
		{" \n", "is empty"},
		{strings.Repeat("a", 40), "one character again and again"},
		{"sixteen bytes !!", ""},
		{strings.Repeat("5f3a", 16) + "\n", ""},
	} {
		if err := os.WriteFile("secret", []byte(c.secret), 0o600); err != nil {
			t.Fatal(err)
		}
		faults := CheckFiles(cfg)
		if got := fmt.Sprint(faults); (c.want == "") != (len(faults) == 0) || !strings.Contains(got, c.want) {
			t.Errorf("secret of %d bytes: %q, want %q", len(c.secret), faults, c.want)
		}
	}
}
