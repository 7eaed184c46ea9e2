package policy

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// The handbook's tables of fields are written from the tables in the code.
func TestStandingDocsAgree(t *testing.T) {
	data, err := os.ReadFile(keysDoc)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	for _, table := range []struct{ name, text string }{{"standings", standingsTable()}, {"differences", differencesTable()}} {
		begin := "<!-- " + table.name + ": written by go test -run Standing ./policy -update -->\n"
		end := "<!-- end of " + table.name + " -->\n"
		before, rest, ok := strings.Cut(doc, begin)
		published, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the table of %s", keysDoc, table.name)
		}
		if *updateKeys {
			doc = before + begin + table.text + end + after
		} else if published != table.text {
			t.Errorf("%s shows\n%s\nand not\n%s", keysDoc, published, table.text)
		}
	}
	if *updateKeys {
		if err := os.WriteFile(keysDoc, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func standingsTable() string {
	var b strings.Builder
	b.WriteString("| field | standing | why |\n|---|---|---|\n")
	for _, f := range KnownFields {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, f.Standing, f.Why)
	}
	b.WriteString("| every other `X-Forwarded-*` | identity | frameworks take scheme, host, port and prefix from them |\n")
	return b.String()
}

func differencesTable() string {
	var b strings.Builder
	b.WriteString("| what | why it may |\n|---|---|\n")
	for _, d := range Differences {
		what := d.Kind
		if d.Name != "" {
			what = "`" + d.Name + "`"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", what, d.Why)
	}
	return b.String()
}

// Every name stands once and in canonical form, and is found again.
func TestStandingTable(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range KnownFields {
		if f.Name != CanonicalName(f.Name) || seen[f.Name] || f.Why == "" || oddName(f.Name) {
			t.Errorf("%q: not canonical, twice, or without a reason", f.Name)
		}
		seen[f.Name] = true
		if got := StandingOf(f.Name); got != f.Standing || got == StandingOrdinary {
			t.Errorf("%s is %s in the table and %s when looked up", f.Name, f.Standing, got)
		}
	}
	for _, name := range slices.Concat(singleFields, steeringNames[:]) {
		if name != CanonicalName(name) {
			t.Errorf("%q is not canonical", name)
		}
	}
	for i, name := range singleFields {
		if k := kindOf(name); int(k.single) != i+1 || k.single > 63 {
			t.Errorf("%s has the bit %d", name, k.single)
		}
	}
	for i, name := range steeringNames {
		if k := kindOf(name); int(k.steer) != i+1 {
			t.Errorf("%s has the place %d", name, k.steer)
		}
	}
	if StandingOf("X-Forwarded-Anything") != StandingIdentity || StandingOf("Accept") != StandingOrdinary || StandingOf("X-Forwardedx") != StandingOrdinary {
		t.Error("the prefix X-Forwarded- is not what decides")
	}
}
