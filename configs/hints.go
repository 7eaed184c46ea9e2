package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// counterparts are keys of other programs, and what is weir's for them.
var counterparts = map[string]string{
	"acl":                           "policies[].purge.networks, or trusted_proxies",
	"backend":                       "origins, and policies[].origin for the name of one",
	"backends":                      "origins",
	"bind":                          "listen",
	"bypass":                        "policies[].pass",
	"cache_control":                 "policies[].ttl",
	"cache_size":                    "tiers.ram.size and tiers.disk.size",
	"default_ttl":                   "policies[].ttl.default",
	"disk":                          "tiers.disk",
	"expires":                       "policies[].ttl.default, or override",
	"grace":                         "ttl.stale_while_revalidate, and ttl.stale_if_error while the origin fails",
	"fail_timeout":                  "origins.<name>.eject.for",
	"headers":                       "policies[].match.header, or policies[].key.headers",
	"include":                       "none: one file holds all",
	"includes":                      "none: one file holds all",
	"keep":                          "ttl.stale_if_error; a stale object stays until its space is needed, and is revalidated",
	"location":                      "policies, with policies[].match.path",
	"locations":                     "policies, with policies[].match.path",
	"max_age":                       "policies[].ttl.default, or override",
	"max_conns":                     "origins.<name>.max_connections",
	"max_fails":                     "origins.<name>.eject.failures",
	"max_size":                      "tiers.disk.size",
	"maxage":                        "policies[].ttl.default, or override",
	"least_conn":                    "origins.<name>.balance: least_requests",
	"memory":                        "tiers.ram.size",
	"no_cache":                      "policies[].pass",
	"port":                          "listen, with the host: 127.0.0.1:8080",
	"ports":                         "listen, with the host: 127.0.0.1:8080",
	"proxy_cache":                   "tiers, and policies",
	"proxy_cache_background_update": "policies[].ttl.stale_while_revalidate",
	"proxy_cache_bypass":            "policies[].pass",
	"proxy_cache_key":               "policies[].key",
	"proxy_cache_lock":              "none: one fetch serves all that ask at once",
	"proxy_cache_methods":           "policies[].match.method",
	"proxy_cache_min_uses":          "policies[].admit: second-hit",
	"proxy_cache_path":              "tiers.disk.path",
	"proxy_cache_revalidate":        "none: what is stale is revalidated",
	"proxy_cache_use_stale":         "policies[].ttl.stale_if_error",
	"proxy_cache_valid":             "policies[].ttl.default, override and negative",
	"proxy_connect_timeout":         "origins.<name>.connect_timeout",
	"proxy_next_upstream":           "origins.<name>.retries",
	"proxy_no_cache":                "policies[].pass",
	"proxy_pass":                    "origins.<name>.servers",
	"proxy_read_timeout":            "origins.<name>.timeout",
	"ram":                           "tiers.ram",
	"routes":                        "policies",
	"rules":                         "policies",
	"s_maxage":                      "policies[].ttl.default, or override",
	"server":                        "listen, or origins.<name>.servers",
	"server_name":                   "policies[].match.host",
	"sie":                           "policies[].ttl.stale_if_error",
	"ssl":                           "listen[].tls",
	"ssl_certificate":               "listen[].tls.cert",
	"ssl_certificate_key":           "listen[].tls.key",
	"storage":                       "tiers.disk",
	"swr":                           "policies[].ttl.stale_while_revalidate",
	"upstream":                      "origins, and policies[].origin for the name of one",
	"upstreams":                     "origins",
	"url":                           "origins.<name>.servers",
	"urls":                          "origins.<name>.servers",
	"wait_timeout":                  "origins.<name>.queue.wait",
	"worker_connections":            "limits.connections",
}

// counterpartsIn are keys of other programs for one of weir's mappings.
var counterpartsIn = map[string]string{
	"access_log.path": "access_log.file",
	"listen.addr":     "listen[].address",
	"listen.host":     "listen[].address, with the port",
	"listen.port":     "listen[].address, with the host",
	"match.cookie":    "policies[].match.header: {Cookie: \"*NAME=*\"}",
	"match.cookies":   "policies[].match.header: {Cookie: \"*NAME=*\"}",
	"match.query":     "none: no policy is chosen by the query; policies[].key.query says what of it counts",
	"match.scheme":    "policies[].match.header: {X-Forwarded-Proto: https}",
	"match.url":       "policies[].match.host and policies[].match.path",
}

var indexes = regexp.MustCompile(`\[[0-9]*\]`)

// meant says where the key that was probably meant is: a space is missing behind
// its colon, it is another program's, or it is spelled otherwise or belongs
// elsewhere.
func (d *decoder) meant(u unknownKey) string {
	if key, rest, found := strings.Cut(u.name, ":"); found && d.isKey(key, u.known) {
		return "; a space is missing behind the colon: " + cut(key) + ": " + cut(rest)
	}
	foreign := counterparts[strings.ReplaceAll(strings.ToLower(u.name), "-", "_")]
	owner := indexes.ReplaceAllLiteralString(u.owner[strings.LastIndexByte(u.owner, '.')+1:], "")
	if here := counterpartsIn[owner+"."+u.name]; here != "" {
		return counterpart(here)
	}
	near := d.didYouMean(u.name, u.known)
	homes := d.homes(u.name)
	switch {
	case foreign != "" && len(homes) == 0:
		return counterpart(foreign)
	case near != "":
		return near
	case len(homes) > 0:
		return "; it belongs in " + strings.Join(homes, " or in ")
	}
	return ""
}

// counterpart ends a message with weir's key for another program's, or with why
// there is none.
func counterpart(key string) string {
	if why, ok := strings.CutPrefix(key, "none: "); ok {
		return "; weir has none: " + why
	}
	return "; weir's key is " + key
}

// isKey reports whether the schema has a key of this name.
func (d *decoder) isKey(name string, known []string) bool {
	for _, k := range known {
		if k == name {
			return true
		}
	}
	return len(d.homes(name)) > 0
}

var (
	// variable is a reference to a variable of the environment as shells and
	// templates write it. What is quoted for other reasons, such as ${jndi:ldap},
	// is none.
	variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*(?::?[-=?+][^}]*)?\}|\$\([A-Za-z_][A-Za-z0-9_]*\)|(?:^|//)\$[A-Z_][A-Z0-9_]*\b|^env\(.*\)$|\{\{.*\}\}|<%.*%>|%[A-Z_]{2,}%`)
	// braces are the keys of {{ name }}, which YAML takes for two mappings.
	braces = "{{ }}"
)

const validVariable = "the value itself; weir expands no variables, so fill them in before: envsubst < weir.yaml.in > weir.yaml"

// template returns what in a node is a variable for another program to fill in.
func template(y *yaml.Node) string {
	switch {
	case y.Kind == yaml.ScalarNode:
		return variable.FindString(y.Value)
	case y.Kind == yaml.MappingNode && len(y.Content) > 0 && y.Content[0].Kind == yaml.MappingNode && y.Content[0].Style&yaml.FlowStyle != 0:
		return braces
	}
	return ""
}

// shorthand suggests the mapping for a plain value that is valid as one of its
// keys; format is that mapping, with %s for the value.
func shorthand(v value, format string, check checker) string {
	s := v.text()
	if s == "" || v.isNull() {
		return ""
	}
	if _, problem := check(s); problem != "" {
		return ""
	}
	return "; here: " + fmt.Sprintf(format, cut(s))
}

// checkSize is ParseSize as a checker.
func checkSize(s string) (string, string) {
	if _, err := ParseSize(s); err != nil {
		return "", err.Error()
	}
	return s, ""
}

// oneOf accepts the words.
func oneOf(words ...string) checker {
	return func(s string) (string, string) {
		if !slices.Contains(words, s) {
			return "", "is not a choice"
		}
		return s, ""
	}
}

var scaled = regexp.MustCompile(`^([0-9]{1,6})(?:([kKmM])|[eE]([1-6]))$`)

// integerHint suggests the whole number that s says elsewhere, or "".
func integerHint(s string) string {
	plain := strings.NewReplacer("_", "", ",", "", " ", "", "'", "").Replace(s)
	if m := scaled.FindStringSubmatch(plain); m != nil {
		zeros := map[string]int{"k": 3, "m": 6}[strings.ToLower(m[2])]
		if m[3] != "" {
			zeros = int(m[3][0] - '0')
		}
		plain = m[1] + strings.Repeat("0", zeros)
	}
	plain = strings.TrimLeft(plain, "0")
	if _, err := strconv.ParseUint(plain, 10, 31); err != nil || plain == s {
		return ""
	}
	return "; did you mean " + plain + "?"
}

// switches are words for true and false that are not valid here.
var switches = map[string]string{
	"yes": "true", "on": "true", "1": "true", "y": "true", "enabled": "true", "true": "true",
	"no": "false", "off": "false", "0": "false", "n": "false", "disabled": "false", "none": "false", "false": "false",
}

// switchHint suggests the switch that a word stands for elsewhere.
func switchHint(s string) string {
	if word := switches[strings.ToLower(s)]; word != "" {
		return "; did you mean " + word + "?"
	}
	return ""
}

// foreignUnits are units of time as others write them: the number of weir's
// units that each is. A month has 30 days and a year 365.
var foreignUnits = map[string]struct {
	times int64
	unit  string
}{
	"": {1, "s"}, "sec": {1, "s"}, "secs": {1, "s"}, "second": {1, "s"}, "seconds": {1, "s"},
	"min": {1, "m"}, "mins": {1, "m"}, "minute": {1, "m"}, "minutes": {1, "m"},
	"hr": {1, "h"}, "hrs": {1, "h"}, "hour": {1, "h"}, "hours": {1, "h"},
	"day": {1, "d"}, "days": {1, "d"},
	"w": {7, "d"}, "wk": {7, "d"}, "week": {7, "d"}, "weeks": {7, "d"},
	"mo": {30, "d"}, "mon": {30, "d"}, "month": {30, "d"}, "months": {30, "d"},
	"y": {365, "d"}, "yr": {365, "d"}, "year": {365, "d"}, "years": {365, "d"},
	"msec": {1, "ms"}, "msecs": {1, "ms"}, "millisecond": {1, "ms"}, "milliseconds": {1, "ms"},
}

var numberAndUnit = regexp.MustCompile(`([0-9]{1,7}) *([a-z]*)[ ,]*`)

// durationHint suggests a duration that says what s says elsewhere, or "".
func durationHint(s string) string {
	if len(s) > maxWord {
		return ""
	}
	lower := strings.ToLower(strings.TrimSpace(s))
	switch lower {
	case "off", "none", "no", "false", "never":
		return `; did you mean "0s"?`
	case "forever", "infinite", "infinity", "inf", "unlimited", "always":
		return "; did you mean " + quote(formatDuration(longestTTL)) + ", the longest lifetime?"
	}
	if number, months := strings.CutSuffix(s, "M"); months && numberAndUnit.FindString(number) == number && number != "" {
		n, _ := strconv.ParseInt(number, 10, 64) // seven digits
		return "; did you mean " + quote(number+"m") + ", minutes, or " + quote(strconv.FormatInt(30*n, 10)+"d") + ", months?"
	}
	// ISO 8601: PT1H30M.
	if iso, ok := strings.CutPrefix(lower, "p"); ok {
		lower = strings.Replace(iso, "t", "", 1)
	}
	if plain := plainDuration(lower); plain != "" && plain != s {
		return "; did you mean " + quote(plain) + "?"
	}
	return ""
}

// plainDuration writes numbers with units of others in weir's units; "" when it
// cannot. A number without a unit is seconds, when it stands alone.
func plainDuration(s string) string {
	var b strings.Builder
	for rest := s; rest != ""; {
		m := numberAndUnit.FindStringSubmatch(rest)
		if m == nil || !strings.HasPrefix(rest, m[0]) || m[2] == "" && m[0] != s {
			return ""
		}
		rest = rest[len(m[0]):]
		n, _ := strconv.ParseInt(m[1], 10, 64) // seven digits
		if u, ok := foreignUnits[m[2]]; ok {
			b.WriteString(strconv.FormatInt(n*u.times, 10) + u.unit)
		} else {
			b.WriteString(m[1] + m[2])
		}
	}
	if _, err := ParseDuration(b.String()); err != nil {
		return ""
	}
	return b.String()
}
