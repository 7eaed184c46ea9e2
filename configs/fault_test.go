package configs

import "testing"

// TestPolicyFault holds where a fault stands that the compiler of the policies
// finds: at the field, else at the nearest thing around it.
func TestPolicyFault(t *testing.T) {
	const file = `listen: 127.0.0.1:8080
origins: {o: {servers: ["http://127.0.0.1:9000"]}}
policies:
  - {name: a, origin: o, match: {path: /a}}
  - name: b
    origin: o
    request:
      underscores: [api_key, x_real_ip]
`
	cfg, faults := Parse("weir.yaml", []byte(file))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, tt := range []struct {
		index       int
		field, want string
	}{
		{1, "request.underscores[1]", "weir.yaml:8:30: policies[1].request.underscores[1]: no"},
		{1, "request.underscores[7]", "weir.yaml:8:20: policies[1].request.underscores[7]: no"},
		{1, "request.other", "weir.yaml:8:7: policies[1].request.other: no"},
		{0, "match.path[0]", "weir.yaml:4:40: policies[0].match.path[0]: no"},
		{0, "ttl.min", "weir.yaml:4:5: policies[0].ttl.min: no"},
		{1, "name", "weir.yaml:5:11: policies[1].name: no"},
		{9, "name", "weir.yaml:1:1: policies[9].name: no"},
	} {
		if got := cfg.PolicyFault(tt.index, tt.field, "no").String(); got != tt.want {
			t.Errorf("%d %s: got %s, want %s", tt.index, tt.field, got, tt.want)
		}
	}
}
