package main

import (
	"slices"
	"testing"
)

func TestCommandInReportHasNoSecrets(t *testing.T) {
	fields := []string{"Authorization: Bearer SECRET", "cookie:SECRET", "X-Purge-Token: SECRET", "Accept: text/html"}
	args := []string{
		"run", "http://127.0.0.1:1", "-H", fields[0], "-qH" + fields[1], "--header=" + fields[2], "-H", fields[3],
		"--purge-api", "http://me:SECRET@127.0.0.1:2",
	}
	want := []string{
		"run", "http://127.0.0.1:1", "-H", "Authorization: (redacted)", "-qHcookie: (redacted)", "--header=X-Purge-Token: (redacted)",
		"-H", "Accept: text/html", "--purge-api", "http://me:(redacted)@127.0.0.1:2",
	}
	if got := withoutSecrets(args, fields); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
