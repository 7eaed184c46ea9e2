package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// maxWeight is enough to send a server a thousandth of what another gets.
	maxWeight   = 1000
	validWeight = "a whole number from 1 to 1000; a server that is to get nothing is left out, one for emergencies has backup: true"

	validFallback   = "the name of another of the origins"
	validHealthPath = "a path that begins with a slash, such as /healthz"
	validPercent    = "a percentage such as 10%"
	validAfter      = "a duration, or p50 to p99 of the usual time to answer, such as p95"
)

// decodeServers reads URLs, or mappings with one.
func decodeServers(v value) []Server {
	const valid = "a list of " + validServer
	var servers []Server
	seen := make(map[string]place)
	backups := 0
	items := v.oneOrMany(valid)
	if !v.given() {
		items = []value{{d: v.d}} // names the keys of a server in the schema
	}
	for _, item := range items {
		s, at := decodeServer(item)
		if s.URL == "" {
			continue
		}
		if first, twice := seen[s.URL]; twice {
			at.fault("each one once", "%s is listed twice, first on line %d", quote(s.URL), first.line)
			continue
		}
		seen[s.URL] = at.at
		if servers = append(servers, s); s.Backup {
			backups++
		}
	}
	if backups > 0 && backups == len(servers) {
		v.fault("at least one server without backup: true", "every server is a backup")
	}
	return servers
}

// decodeServer reads one server, and returns where its URL stands.
func decodeServer(v value) (Server, value) {
	plain := v.given() && !isObject(v)
	s := Server{Weight: 1}
	if plain {
		s.URL = v.str("", validServer, checkServer)
	}
	m := v
	if plain {
		m.y = nil
	}
	m.shape = "origins.<name>.servers[]"
	o := m.object(validServer)
	url, weight, backup := o.need("url", validServer), o.key("weight"), o.key("backup")
	if plain || !v.given() {
		return s, v
	}
	s.URL = url.str("", validServer, checkServer)
	if weight.text() == "0" {
		weight.fault(validWeight, "a server with the weight 0 would get no requests")
	} else {
		s.Weight = weight.integer(1, 1, maxWeight)
	}
	s.Backup = backup.boolean(false)
	o.done()
	return s, url
}

func decodeQueue(o *object, whole time.Duration) Queue {
	q := Queue{
		Size: o.key("size").integer(DefaultQueueSize, 1, maxQueue),
		Wait: o.key("wait").duration(min(DefaultQueueWait, whole), shortest, longest),
	}
	o.done()
	return q
}

// decodeEject reads a mapping, or false.
func decodeEject(v value) Eject {
	const shortestEject, longestEject = 100 * time.Millisecond, time.Hour
	off := v.given() && v.y.Tag == "!!bool" && v.text() == "false"
	if off {
		v.y = nil
	}
	o := v.object("false, or a mapping with failures, ratio, window and for")
	e := Eject{
		Off:      off,
		Failures: o.key("failures").integer(3, 1, 1000),
		Ratio:    o.key("ratio").percentage(0.5, 0.01, 1),
		Window:   o.key("window").duration(10*time.Second, shortestEject, longestEject),
		For:      o.key("for").duration(10*time.Second, shortestEject, longestEject),
	}
	o.done()
	return e
}

func decodeHedge(v value) Hedge {
	o := v.object("a mapping with after and at_most")
	after := o.need("after", validAfter)
	h := Hedge{AtMost: o.key("at_most").percentage(0.02, 0.001, 0.5)}
	o.done()
	s, ok := after.scalar(validAfter)
	if number, quantile := strings.CutPrefix(s, "p"); ok && quantile {
		n, err := strconv.Atoi(number)
		if err != nil || n < 50 || n > 99 {
			after.fault(validAfter, "%s is neither", quote(s))
		}
		h.Quantile = float64(n) / 100
	} else if ok {
		h.After = after.duration(0, time.Millisecond, longest)
	}
	if h.After == 0 && h.Quantile == 0 {
		return Hedge{}
	}
	return h
}

// decodeHealth reads active checks, or nil when they are left out.
func decodeHealth(v value) *Health {
	o := v.object("a mapping with path")
	path, interval, timeout := o.need("path", validHealthPath), o.key("interval"), o.key("timeout")
	h := Health{Interval: interval.duration(5*time.Second, shortest, time.Hour)}
	h.Path = path.str("", validHealthPath, checkHealthPath)
	if h.Timeout = timeout.duration(min(2*time.Second, h.Interval), shortest, time.Hour); h.Timeout > h.Interval {
		timeout.fault("at most interval, "+formatDuration(h.Interval), "a check of up to %s would still be under way when the next begins", formatDuration(h.Timeout))
	}
	h.Rise, h.Fall = o.key("rise").integer(2, 1, 100), o.key("fall").integer(3, 1, 100)
	h.Status = decodeStatus(o.key("status"), 100, [2]int{200, 399})
	o.done()
	if !v.given() {
		return nil
	}
	return &h
}

func checkHealthPath(s string) (string, string) {
	if !strings.HasPrefix(s, "/") {
		return "", "does not begin with a slash; did you mean " + quote("/"+s) + "?"
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '#' {
			return "", "holds a character that must be percent-encoded"
		}
	}
	return s, ""
}

// decodeStatus reads codes from lowest on and ranges of them, as pairs of the first and
// the last.
func decodeStatus(v value, lowest int, fallback [2]int) [][2]int {
	if !v.given() {
		return [][2]int{fallback}
	}
	validStatus := fmt.Sprintf("status codes and ranges of them from %d to 599, such as [%d-%d]", lowest, fallback[0], fallback[1])
	var all [][2]int
	for _, item := range v.oneOrMany(validStatus) {
		s, ok := item.scalar(validStatus)
		if !ok {
			continue
		}
		from, to, isRange := strings.Cut(s, "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.Atoi(strings.TrimSpace(from))
		high, err2 := strconv.Atoi(strings.TrimSpace(to))
		switch {
		case err1 != nil || err2 != nil:
			item.fault(validStatus, "%s is neither a status code nor a range", quote(s))
		case low < 100 || high > 599:
			item.fault(validStatus, "%s holds what is no status code", quote(s))
		case low < lowest:
			item.fault(validStatus, "%s holds what is no failure", quote(s))
		case low > high:
			item.fault(fmt.Sprintf("%d-%d", high, low), "%s ends before it begins", quote(s))
		default:
			all = append(all, [2]int{low, high})
		}
	}
	return all
}

// percentage reads a percentage as a share from low to high.
func (v value) percentage(fallback, low, high float64) float64 {
	s, ok := v.scalar(validPercent)
	if !ok {
		return fallback
	}
	percent := func(f float64) string { return strconv.FormatFloat(f*100, 'f', -1, 64) + "%" }
	bounds := percent(low) + " to " + percent(high)
	number, is := strings.CutSuffix(s, "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch f /= 100; {
	case err != nil || math.IsNaN(f):
		v.fault(validPercent, "%s is not a percentage", quote(s))
	case !is:
		v.fault(validPercent, "%s has no %% behind it", quote(s))
	case f < low:
		v.fault(bounds, "%s is too small", cut(s))
	case f > high:
		v.fault(bounds, "%s is too large", cut(s))
	default:
		return f
	}
	return fallback
}

// maxFallbacks is how many origins fall back to each other, one after the other.
const maxFallbacks = 8

// checkFallbacks holds that the fallbacks of origins exist and lead to an end.
func (d *decoder) checkFallbacks(cfg *Config, fallbacks []value) {
	names := make([]string, 0, len(cfg.Origins))
	next := make(map[string]string, len(cfg.Origins))
	for _, o := range cfg.Origins {
		names = append(names, o.Name)
		next[o.Name] = o.Fallback
	}
	for i, o := range cfg.Origins {
		switch _, known := next[o.Fallback]; {
		case o.Fallback == "":
			continue
		case !known:
			fallbacks[i].fault(some(names), "there is no origin %s%s", quote(o.Fallback), d.didYouMean(o.Fallback, names))
			continue
		case o.Fallback == o.Name:
			fallbacks[i].fault(validFallback, "%s falls back to itself", quote(o.Name))
			continue
		}
		way, at := quote(o.Name)+" to "+quote(o.Fallback), o.Fallback
		for n := 1; at != o.Name && next[at] != "" && next[at] != at; n++ {
			if n == maxFallbacks {
				fallbacks[i].fault(fmt.Sprintf("at most %d", maxFallbacks), "the fallbacks lead through too many origins, or into a circle: %s", way)
				break
			}
			at = next[at]
			way += " to " + quote(at)
		}
		if at == o.Name {
			fallbacks[i].fault("an origin that does not lead back here", "the fallbacks form a circle: %s", way)
		}
	}
}
