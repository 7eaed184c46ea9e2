package configs

import (
	"fmt"
	"slices"
	"strings"
)

// checkAddresses holds that every address to listen on is free for one use.
func (d *decoder) checkAddresses(cfg *Config, top *object) {
	type used struct {
		address, key string
		at           place
	}
	var all []used
	check := func(v value, address, key string) {
		for _, u := range all {
			if !clash(u.address, address) {
				continue
			}
			where := "by " + u.key
			if u.at != (place{}) {
				v.fault("an address of its own", "%s is taken %s on line %d", quote(address), where, u.at.line)
			} else {
				v.fault("an address of its own", "%s is taken %s, which is %s when left out", quote(address), where, u.address)
			}
			return
		}
		all = append(all, used{address, key, v.at})
	}
	admin := top.member("admin").member("listen")
	if !admin.given() {
		all = append(all, used{address: cfg.Admin.Listen, key: "admin.listen"})
	}
	for _, item := range firstListeners(top.member("listen").items()) {
		v := item
		if isObject(item) {
			v = item.member("address")
		}
		if v.given() {
			if address, problem := checkAddress(v.y.Value); problem == "" {
				check(v, address, "listen")
			}
		}
	}
	if admin.given() {
		check(admin, cfg.Admin.Listen, "admin.listen")
	}
	if cfg.Cluster != nil && cfg.Cluster.Listen != "" {
		check(top.member("cluster").member("listen"), cfg.Cluster.Listen, "cluster.listen")
	}
}

// checkProxies warns of trust that is missing or has no bounds.
func (d *decoder) checkProxies(cfg *Config, top *object) {
	for _, item := range top.member("trusted_proxies").items() {
		if item.y.Value == "0.0.0.0/0" || item.y.Value == "::/0" {
			item.warn("every client is believed about its address, scheme and host")
		}
	}
	if len(cfg.TrustedProxies) > 0 {
		return
	}
	for _, item := range top.member("listen").items() {
		if pp := item.member("proxy_protocol"); pp.given() && pp.y.Value == "true" {
			pp.warn("no PROXY header is believed: trusted_proxies is empty")
		}
	}
}

// checkReserves holds that what policies reserve of the disk is there.
func (d *decoder) checkReserves(cfg *Config, links []policyLink) {
	var sum int64
	for i := range cfg.Policies {
		p, v := &cfg.Policies[i], links[i].value
		if p.Pass {
			continue
		}
		for _, key := range []string{"reserve", "pin", "admit"} {
			if m := v.member(key); cfg.Tiers.Disk == nil && m.given() {
				m.fault("tiers.disk, or without "+key, "there is no disk tier that this could speak of")
			}
		}
		if cfg.Tiers.Disk == nil {
			continue
		}
		most := cfg.Tiers.Disk.Size/100*MaxReserved + cfg.Tiers.Disk.Size%100*MaxReserved/100
		n := p.Reserve.Of(cfg.Tiers.Disk.Size)
		if sum += n; n > 0 && sum > most {
			v.member("reserve").fault(fmt.Sprintf("at most %d%% of tiers.disk.size, %s, in all; eviction needs the rest", MaxReserved, formatSize(most)),
				"with this the policies reserve %s", formatSize(sum))
			sum -= n // the next one is judged by itself
		}
	}
}

// checkCookies warns of lifetimes that responses do not state where the policy
// says nothing of cookies: they do not hold for requests with cookies, which on
// most sites are nearly all.
func (d *decoder) checkCookies(cfg *Config, links []policyLink) {
	for i, link := range links {
		if cfg.Policies[i].Pass || link.value.member("cookies").given() || keyedByCookies(link.value.member("key")) {
			continue
		}
		ttl := link.value.member("ttl")
		for _, key := range []string{"default", "min", "override"} {
			if v := ttl.member(key); v.given() {
				v.advise("cookies: strip or ignore where cookies change nothing; cookies: auto where they do",
					"does not hold for requests with cookies, of which the policy %s says nothing", quote(cfg.Policies[i].Name))
				break
			}
		}
	}
}

// keyedByCookies reports whether a key says which cookies count: by name, or all
// of them.
func keyedByCookies(key value) bool {
	return key.member("cookies").given() || slices.ContainsFunc(key.member("headers").items(), func(h value) bool {
		return strings.EqualFold(h.text(), "Cookie")
	})
}

// checkLinks holds that what policies name exists.
func (d *decoder) checkLinks(cfg *Config, links []policyLink, origins value, admin *object) {
	var names, tokens []string
	for _, o := range cfg.Origins {
		names = append(names, o.Name)
	}
	for _, t := range cfg.Admin.Tokens {
		tokens = append(tokens, t.Name)
	}
	used := make(map[string]bool)
	for _, o := range cfg.Origins {
		used[o.Fallback] = true
	}
	for i, link := range links {
		name := cfg.Policies[i].Origin
		used[name] = true
		if name != "" && isObject(origins) && !slices.Contains(names, name) {
			link.origin.fault(some(names), "there is no origin %s%s", quote(name), d.didYouMean(name, names))
		}
		for _, t := range link.purgeTokens {
			if t.given() && t.y.Value != "" && !slices.Contains(tokens, t.y.Value) {
				valid := "names of admin.tokens: " + some(tokens)
				if len(tokens) == 0 {
					valid = "names of admin.tokens, which is empty"
				}
				t.fault(valid, "there is no token %s%s", quote(t.y.Value), d.didYouMean(t.y.Value, tokens))
			}
		}
	}
	for _, o := range cfg.Origins {
		if !used[o.Name] && len(links) > 0 {
			v := origins.member(o.Name)
			v.at = v.head
			v.warn("no policy names this origin")
		}
	}
}

// maxReach bounds the patterns that checkReach compares, each with each.
const maxReach = 2000

// checkReach warns of policies that an earlier one leaves no request for.
func (d *decoder) checkReach(cfg *Config, links []policyLink) {
	patterns := 0
	for _, p := range cfg.Policies {
		patterns += 1 + len(p.Match.Hosts) + len(p.Match.Paths) + len(p.Match.Methods) + len(p.Match.Headers)
	}
	if patterns > maxReach {
		return
	}
	for i, later := range cfg.Policies {
		for j, earlier := range cfg.Policies[:i] {
			if covers(earlier.Match, later.Match) {
				links[i].value.warn("%s can never match: %s comes first and matches all of it",
					quote(later.Name), describe(earlier, links[j].value))
				break
			}
		}
	}
}

// covers reports whether a surely matches every request that b matches. It may
// say no where that is so.
func covers(a, b Match) bool {
	for _, h := range a.Headers {
		if !slices.Contains(b.Headers, h) {
			return false
		}
	}
	return coversList(a.Hosts, b.Hosts, coversHost) && coversList(a.Paths, b.Paths, coversPath) &&
		coversList(a.Methods, b.Methods, func(x, y string) bool { return x == y })
}

func coversList(a, b []string, one func(a, b string) bool) bool {
	if len(a) == 0 {
		return true
	}
	if len(b) == 0 {
		// b matches anything: only a pattern that does so too covers it, and no
		// method is a pattern.
		b = []string{"*"}
	}
	for _, y := range b {
		if !slices.ContainsFunc(a, func(x string) bool { return one(x, y) }) {
			return false
		}
	}
	return true
}

func coversHost(a, b string) bool {
	if suffix, wild := strings.CutPrefix(a, "*."); wild {
		return strings.HasSuffix(strings.TrimPrefix(b, "*"), "."+suffix)
	}
	return a == "*" || a == b
}

// coversPath knows patterns whose only wildcard is at the end.
func coversPath(a, b string) bool {
	prefix := strings.TrimRight(a, "*")
	if prefix == a || strings.Contains(prefix, "*") {
		return a == b
	}
	// Every path begins with "/", so that "/*" matches what "*" does; the one
	// exception is "OPTIONS *", which no cache is about.
	return prefix == "/" || strings.HasPrefix(b, prefix)
}
