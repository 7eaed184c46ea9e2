package policy

import (
	"testing"
	"time"
)

func TestSkew(t *testing.T) {
	asked := time.Date(2026, 1, 1, 12, 0, 0, 5e8, time.UTC)
	at := func(d time.Duration) string { return string(AppendDate(nil, asked.Add(d).Unix())) }
	for name, c := range map[string]struct {
		date, age string
		behind    time.Duration
		want      int64
	}{
		"right":                          {date: at(0)},
		"made while we waited":           {date: at(3 * time.Second)},
		"cut to a second":                {date: at(-time.Second)},
		"behind":                         {date: at(-2 * time.Minute), want: -120},
		"old, and says so":               {date: at(-2 * time.Minute), age: "120"},
		"older than it says":             {date: at(-2 * time.Minute), age: "60", want: -60},
		"ahead":                          {date: at(2 * time.Minute), want: 115},
		"none":                           {},
		"no date":                        {date: "yesterday"},
		"our clock was set back an hour": {date: at(-time.Hour), behind: time.Hour},
	} {
		r := Response{Status: 200, RequestTime: asked.UnixNano(), ResponseTime: asked.Add(5 * time.Second).UnixNano(), Behind: int64(c.behind)}
		if c.date != "" {
			r.Fields = append(r.Fields, Field{"Date", c.date})
		}
		if c.age != "" {
			r.Fields = append(r.Fields, Field{"Age", c.age})
		}
		if got := Skew(&r); got != c.want {
			t.Errorf("%s: off by %d seconds, want %d", name, got, c.want)
		}
	}
}

// TestSetBackAcrossARestart: what came later than now says is as old as nobody knows,
// so it serves nobody as fresh, and looks no younger than its lifetime.
func TestSetBackAcrossARestart(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).UnixNano()
	day, lifetime := int64(24*time.Hour), int64(time.Hour)
	asker := NewAsker(&Rule{}, &Request{Method: "GET"})
	for _, c := range []struct {
		name string
		came int64
		age  int64
		use  Use
	}{
		{"came before", now - int64(time.Minute), 60, UseFresh},
		{"came while the request was under way", now + int64(time.Second), 0, UseFresh},
		{"came a minute ahead", now + int64(time.Minute), 3600, UseRevalidate},
		{"came a day ahead", now + day, 3600, UseRevalidate},
	} {
		f := Freshness{Born: c.came, Came: c.came, Lifetime: lifetime, Stated: lifetime, StaleWhileRevalidate: -1, StaleIfError: -1}
		if age, use := f.Age(now), f.Reusable(&asker, OnRequest, now); age != c.age || use != c.use {
			t.Errorf("%s: age %d and %v, want %d and %v", c.name, age, use, c.age, c.use)
		}
		f.Born -= 2 * lifetime
		if f.Age(now) < 2*lifetime/second-1 {
			t.Errorf("%s: it was two hours old when it came, and is now %d seconds old", c.name, f.Age(now))
		}
	}
}
