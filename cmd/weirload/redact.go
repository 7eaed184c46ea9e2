package main

import (
	"regexp"
	"strings"
)

const redacted = "(redacted)"

// passwordInURL is that of http://user:password@host.
var passwordInURL = regexp.MustCompile(`(://[^/?#@\s]*:)[^/?#@\s]*@`)

// withoutSecrets are the arguments as a report may show them: reports are passed on. What fields hold that let somebody in is
// left out. A field is looked for at the end of an argument, since it can be there as -H X, -HX, -qHX and --header=X.
func withoutSecrets(args, fields []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		for _, field := range fields {
			name, _, ok := strings.Cut(field, ":")
			if before, found := strings.CutSuffix(arg, field); ok && found && isSecret(name) {
				arg = before + name + ": " + redacted
			}
		}
		out[i] = passwordInURL.ReplaceAllString(arg, "${1}"+redacted+"@")
	}
	return out
}

// isSecret tells whether a request field lets somebody in: Authorization, Proxy-Authorization, Cookie, and what applications
// invent, like X-Purge-Token.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"auth", "cookie", "token", "secret", "password", "key"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
