package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const keyConfig = `listen: 127.0.0.1:0
origins: {o: {servers: ["http://127.0.0.1:9000"]}}
policies:
  - {name: preview, match: {header: {X-Preview: true}}, origin: o, pass: true}
  - {name: phones, match: {header: {X-Device: "ph*"}}, origin: o}
  - {name: posts, match: {method: POST, path: "/api/*"}, origin: o}
  - {name: shop, match: {host: shop.example}, origin: o, key: {query: {ignore: [utm_*]}}}
  - {name: get, match: {method: GET, host: "*.example"}, origin: o}
`

func TestKeyCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(file, []byte(keyConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		// want stands in the output, or in the error when it begins with "!".
		want []string
	}{
		{[]string{"-H", "Host: SHOP.example", "http://127.0.0.1:8080/a?utm_x=1&b=2"}, []string{"policy: shop\n", "http://shop.example/a?b=2\n"}},
		{[]string{"https://shop.example"}, []string{"policy: shop\n", "https://shop.example/\n"}},
		{[]string{"http://bücher.example/"}, []string{"policy: get\n", "http://xn--bcher-kva.example/\n"}},
		{[]string{"-X", "POST", "http://x.example/api/1"}, []string{"policy: posts\n"}},
		{[]string{"-X", "POST", "http://x.example/other"}, []string{"!no policy matches: weir would answer 404"}},
		{[]string{"-X", "post", "http://x.example/api/1"}, []string{"!no policy matches"}},
		{[]string{"-H", "x-preview: 1", "http://x.example/"}, []string{"policy: preview\n", "pass:   the policy stores nothing\n"}},
		{[]string{"-H", "X-Device: phone", "http://x.example/"}, []string{"policy: phones\n"}},
		{[]string{"-H", "X-Device: tablet", "http://x.example/"}, []string{"policy: get\n"}},
		{[]string{"/relative"}, []string{`!"/relative"`, "!such as http://example.com/path"}},
		{[]string{"-H", "Host: shop.example", "/relative"}, []string{"!no scheme and host"}},
		{[]string{"shop.example/x"}, []string{`!"shop.example/x"`, "!such as http://example.com/path"}},
		{[]string{"ftp://shop.example/"}, []string{"!neither http nor https"}},
		{[]string{"http://shop.example/#part"}, []string{"!fragment", "!leave out what begins with #, http://shop.example/)"}},
		{[]string{"--from", "here", "http://shop.example/"}, []string{`!--from "here": it is not an IP address`}},
		{[]string{"-X", "get", "http://shop.example/"}, []string{"methods are in upper case: GET\n"}},
		{[]string{"http://user:pw@shop.example/"}, []string{"!userinfo"}},
		{[]string{""}, []string{"!it is empty"}},
		{[]string{"-X", "GE T", "http://shop.example/"}, []string{`!"GE T"`}},
		{[]string{"-H", "X-Device", "http://x.example/"}, []string{"!'Name: value'"}},
		{[]string{"-H", "X Device: a", "http://x.example/"}, []string{"!'Name: value'"}},
		{[]string{"-H", "Host: a b", "http://x.example/"}, []string{`!"a b"`}},
		{[]string{"-H", "Host: a", "-H", "Host: b", "http://x.example/"}, []string{"!400"}},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var out, stderr bytes.Buffer
			c := rootCommand()
			c.SetOut(&out)
			c.SetErr(&stderr)
			c.SetArgs(append([]string{"key", "-c", file}, tt.args...))
			err := c.Execute()
			for _, want := range tt.want {
				fault, isFault := strings.CutPrefix(want, "!")
				switch {
				case isFault != (err != nil):
					t.Fatalf("error %v, output %s", err, &out)
				case isFault && !strings.Contains(err.Error(), fault):
					t.Errorf("error %q does not hold %q", err, fault)
				case !isFault && !strings.Contains(out.String(), want):
					t.Errorf("output does not hold %q:\n%s", want, &out)
				}
			}
		})
	}
}
