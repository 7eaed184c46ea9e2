package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/configs"
	"weir/origin"
	"weir/policy"
	"weir/proxy/accesslog"
	"weir/proxy/admin"
	"weir/tiers"
	"weir/tiers/disk"
)

// rules compiles the policies of a configuration.
func rules(cfg *configs.Config) (*policy.Set, error) {
	list := make([]policy.Rule, 0, len(cfg.Policies))
	for i := range cfg.Policies {
		list = append(list, rule(&cfg.Policies[i]))
	}
	set, err := policy.NewSet(list)
	if err != nil {
		return nil, placed(cfg, err)
	}
	return set, nil
}

// placed turns what the compiler of the policies finds into faults of the file.
func placed(cfg *configs.Config, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var faults configs.Faults
	for _, err := range joined.Unwrap() {
		f, ok := errors.AsType[*policy.RuleFault](err)
		if !ok {
			return err
		}
		message := f.Reason
		if f.Value != "" {
			message = fmt.Sprintf("%.80q: %s", f.Value, f.Reason)
		}
		faults = append(faults, cfg.PolicyFault(f.Index, f.Field, message))
	}
	return faults.Sorted()
}

func rule(p *configs.Policy) policy.Rule {
	r := policy.Rule{
		Name: p.Name, Origin: p.Origin, Pass: p.Pass,
		Match: policy.Match{Hosts: p.Match.Hosts, Paths: p.Match.Paths, Methods: p.Match.Methods},
		Key: policy.KeySpec{
			SortQuery: p.Key.Query.Sort, ForwardQuery: p.Key.Query.Forward, Headers: p.Key.Headers, Cookies: p.Key.Cookies,
		},
		TTL: policy.TTL{
			Default: p.TTL.Default, Override: p.TTL.Override, Min: p.TTL.Min, Max: p.TTL.Max, Negative: p.TTL.Negative,
			StaleWhileRevalidate: p.TTL.StaleWhileRevalidate, StaleIfError: p.TTL.StaleIfError,
			StaleIfUnreachable: orNever(p.TTL.StaleIfUnreachable), ErrorMax: orNever(p.TTL.ErrorMax),
			// Never nil: an empty list means none, nil the default.
			UnreachableStatus: append([][2]int{}, p.TTL.UnreachableStatus...),
			StaleDespite:      despite(p.TTL.StaleDespite),
			HitForMiss:        p.TTL.HitForMiss, HeuristicFraction: p.TTL.Heuristic.Fraction,
			HeuristicMax: p.TTL.Heuristic.Max, NoHeuristic: !p.TTL.Heuristic.Enabled,
			NoDate: !p.TTL.TrustDate,
			// Never nil: an empty list means none, nil the default.
			Targets: append([]string{}, p.TTL.Targets...),
		},
		Vary: policy.VaryRule{
			Raw: !p.Vary.Normalize, Encodings: p.Vary.Encodings, Languages: p.Vary.Languages, Ignore: p.Vary.Ignore,
		},
		Forgo: policy.Forgo{
			Authorization: !p.Reuse.Authorization, Cookies: !p.Reuse.Cookies, Date: !p.Reuse.Date, Head: !p.Reuse.Head,
			MustUnderstand: !p.Reuse.MustUnderstand, Parts: !p.Reuse.Parts, Post: !p.Reuse.Post,
		},
		IgnoreClient: p.ClientDirectives == configs.ClientIgnore,
		Cookies:      cookies(p.Cookies),
		Underscores:  p.Request.Underscores,
		ShowKey:      p.CacheStatusKey,
		TagFields:    append([]string{}, p.Tags.Headers...),
		TagLimit:     policy.TagLimit{Count: p.Tags.Max, Bytes: int(p.Tags.MaxBytes)},
		StripTags:    p.Tags.Strip,
		Purge:        policy.PurgeRule{Networks: p.Purge.Networks, Tokens: p.Purge.Tokens, Hosts: p.Purge.Hosts},
	}
	for _, h := range p.Match.Headers {
		m := policy.HeaderMatch{Name: h.Name, Not: h.Want == configs.HeaderAbsent}
		if h.Want == configs.HeaderGlob {
			m.Value = h.Glob
		}
		r.Match.Headers = append(r.Match.Headers, m)
	}
	switch p.Key.Query.Mode {
	case configs.QueryIgnore:
		r.Key.QueryIgnore = p.Key.Query.Names
	case configs.QueryOnly:
		r.Key.QueryOnly, r.Key.NoQuery = p.Key.Query.Names, len(p.Key.Query.Names) == 0
	case configs.QueryAll:
	}
	return r
}

func cookies(c configs.Cookies) policy.CookieMode {
	switch c {
	case configs.CookiesStrip:
		return policy.CookiesStrip
	case configs.CookiesIgnore:
		return policy.CookiesIgnore
	case configs.CookiesAuto:
	}
	return policy.CookiesAuto
}

// despite is the set of the directives that a configuration names.
func despite(names []string) policy.Despite {
	var d policy.Despite
	for _, name := range names {
		switch name {
		case "s-maxage":
			d |= policy.DespiteSMaxAge
		case "proxy-revalidate":
			d |= policy.DespiteProxyRevalidate
		case "must-revalidate":
			d |= policy.DespiteMustRevalidate
		}
	}
	return d
}

// orNever turns the configuration's 0 into policy's "never".
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// originConfig is the pool that an origin of the configuration describes.
func originConfig(o *configs.Origin, observer origin.Observer, log *slog.Logger) origin.Config {
	c := origin.Config{
		Name: o.Name, ConnectTimeout: o.ConnectTimeout, FirstByteTimeout: o.FirstByteTimeout,
		BetweenBytesTimeout: o.BetweenBytesTimeout, WaitTimeout: o.Queue.Wait, QueueSize: o.Queue.Size, MaxConnsPerServer: o.MaxConnections,
		MaxConnAge: o.MaxConnectionAge, NoKeepAlive: !o.KeepAlive, MaxHeaderBytes: o.MaxHeaderSize,
		Retries: o.Retries, RetryBudget: orNone(o.RetryBudget), Resolve: o.Resolve,
		Hedge: origin.Hedge(o.Hedge), Eject: origin.Eject(o.Eject),
		Host: o.Host, HTTP2: o.HTTP2, TrustClose: o.TrustClose, Observer: observer, Log: log,
		TLS: origin.TLSConfig{CAFile: o.TLS.CA, ServerName: o.TLS.ServerName, Insecure: o.TLS.InsecureSkipVerify},
	}
	for _, s := range o.Servers {
		c.Servers = append(c.Servers, origin.Server(s))
	}
	if o.Resolve == 0 {
		c.Resolve = -1 // for new connections only
	}
	if o.Balance == configs.BalanceRoundRobin {
		c.Balance = origin.RoundRobin
	}
	if o.Health != nil {
		c.Health = origin.Health(*o.Health)
	}
	if o.TLS.Client != nil {
		c.TLS.CertFile, c.TLS.KeyFile = o.TLS.Client.Cert, o.TLS.Client.Key
	}
	return c
}

// orNone turns the configuration's 0 into origin's "none".
func orNone(share float64) float64 {
	if share == 0 {
		return -1
	}
	return share
}

// policyStorage is what the policies say about the disk tier.
func policyStorage(cfg *configs.Config) []tiers.PolicyStorage {
	if cfg.Tiers.Disk == nil {
		return nil
	}
	list := make([]tiers.PolicyStorage, len(cfg.Policies))
	for i := range cfg.Policies {
		p := &cfg.Policies[i]
		list[i] = tiers.PolicyStorage{
			Name: p.Name, Reserve: p.Reserve.Of(cfg.Tiers.Disk.Size), Pin: p.Pin, SecondHit: p.Admit == configs.AdmitSecondHit,
		}
	}
	return list
}

func diskOptions(d *configs.Disk) *disk.Options {
	if d == nil {
		return nil
	}
	return &disk.Options{Dir: d.Path, Size: d.Size, ReadTimeout: d.ReadTimeout}
}

func accessTarget(a configs.AccessLog) accesslog.Target {
	switch a.To {
	case configs.AccessLogStderr:
		return accesslog.Target{Kind: accesslog.Stderr}
	case configs.AccessLogFile:
		return accesslog.Target{Kind: accesslog.File, Path: a.File}
	}
	return accesslog.Target{Kind: accesslog.Off}
}

func adminTokens(cfg *configs.Config) []admin.Token {
	tokens := make([]admin.Token, 0, len(cfg.Admin.Tokens))
	for _, t := range cfg.Admin.Tokens {
		a := admin.Token{Name: t.Name, SHA256: hexDigest(t.SHA256)}
		for _, s := range t.Scopes {
			a.Scopes = append(a.Scopes, string(s))
		}
		tokens = append(tokens, a)
	}
	return tokens
}
