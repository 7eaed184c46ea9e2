package trial

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

const moduleRoot = "../.."

// TestJudge has the judge look at answers to a visitor that hold, one after the other, each thing that is somebody
// else's, and at some that hold none.
func TestJudge(t *testing.T) {
	page := func(who, private string) []byte {
		return []byte(`<p id="who">` + who + `</p><p id="private">` + private + `</p>`)
	}
	for _, c := range []struct {
		name string
		want string // part of the fault; none: no fault
		make func(a, b *visitor) *answer
	}{
		{"own page", "", func(a, _ *visitor) *answer {
			return &answer{status: 200, body: page(a.name, "token-of-one"), header: http.Header{"Set-Cookie": {"sid=of-one-and-no-other"}}}
		}},
		{"another's name", "the page is for", func(_, b *visitor) *answer { return &answer{status: 200, body: page(b.name, "")} }},
		{"a guest's page", "the page is for guest", func(_, _ *visitor) *answer { return &answer{status: 200, body: page(guestName, "")} }},
		{"another's token", "the token", func(a, _ *visitor) *answer { return &answer{status: 200, body: page(a.name, "token-of-the-other")} }},
		{"another's token elsewhere", "the body holds", func(a, _ *visitor) *answer {
			return &answer{status: 500, body: []byte("<b>token-of-the-other</b>")}
		}},
		{"another's cookie again", "the cookie sid", func(_, _ *visitor) *answer {
			return &answer{status: 304, header: http.Header{"Set-Cookie": {"sid=s%3Athe-cookie-of-another.x"}}}
		}},
		{"another's cookie in a field", "the field Location", func(_, _ *visitor) *answer {
			return &answer{status: 302, header: http.Header{"Location": {"/?sid=the-cookie-of-another"}}}
		}},
		{"a cookie is removed", "", func(_, _ *visitor) *answer {
			return &answer{status: 302, header: http.Header{"Set-Cookie": {"sid=; Max-Age=0"}}}
		}},
		{"a cookie that all have", "", func(_, _ *visitor) *answer {
			return &answer{status: 302, header: http.Header{"Set-Cookie": {"constant=the-cookie-of-all"}}}
		}},
		{"a time that both have", "", func(_, _ *visitor) *answer {
			return &answer{status: 302, header: http.Header{"Set-Cookie": {"until=1764500000"}}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &site{who: whoInField, private: privateInField, constant: []string{"constant"}}
			l := newLedger()
			var vs [2]*visitor
			for i := range vs {
				v, err := newVisitor("http://127.0.0.1", "visitor")
				if err != nil {
					t.Fatal(err)
				}
				v.loggedIn = true
				vs[i] = v
				if err := l.claim(v, "name", v.name); err != nil {
					t.Fatal(err)
				}
			}
			cookies := http.Header{"Set-Cookie": {"sid=s%3Athe-cookie-of-another.x", "constant=the-cookie-of-all", "until=1764500000"}}
			if faults := l.judge(s, vs[1], &answer{status: 200, body: page(vs[1].name, "token-of-the-other"), header: cookies}); len(faults) > 0 {
				t.Fatalf("faults in the other's own page: %q", faults)
			}
			faults := strings.Join(l.judge(s, vs[0], c.make(vs[0], vs[1])), "; ")
			if (c.want == "") != (faults == "") || !strings.Contains(faults, c.want) {
				t.Errorf("faults %q, want %q", faults, c.want)
			}
		})
	}
}

// TestConfigurations changes the addresses of every configuration that the trial uses, and nothing else.
func TestConfigurations(t *testing.T) {
	p := place{dir: "/scratch", weir: "127.0.0.1:1", admin: "127.0.0.1:2", origin: "127.0.0.1:3"}
	for _, s := range sites() {
		all, err := readConfigurations(moduleRoot, s.recipe)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			text, err := c.at(p)
			if err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			back := strings.NewReplacer("listen: 127.0.0.1:1\nadmin: {listen: \"127.0.0.1:2\"}\ntimeouts: {lame_duck: 0s}\n", "listen: 127.0.0.1:8080\n",
				"/scratch/weir-data", "./weir-data", "127.0.0.1:3", "127.0.0.1:9000").Replace(text)
			if back != c.text {
				t.Errorf("%s, %s: more than the addresses was changed:\n%s", s.name, c.name, text)
			}
		}
	}
	if _, err := (configuration{name: "other", text: "listen: 0.0.0.0:80\n"}).at(p); err == nil {
		t.Error("a configuration without the addresses that are to be changed was taken")
	}
}

// TestVerdict holds that a leak, a failed check and a trial of nothing are errors.
func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name    string
		results []result
		ok      bool
	}{
		{"nothing ran", nil, false},
		{"nothing wrong", []result{{Requests: 1}}, true},
		{"a leak", []result{{Requests: 1}, {Wrong: 1}}, false},
		{"a failed check", []result{{Failed: []string{"x"}}}, false},
	} {
		if err := verdict(c.results); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestLockFile holds the lock file free of addresses that packages are taken from: npm's own settings say that.
func TestLockFile(t *testing.T) {
	b, err := os.ReadFile("apps/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, `"resolved"`) && !strings.Contains(line, `"resolved": "nothing"`) {
			t.Errorf("the lock file names where a package is from: %s", line)
		}
	}
}
