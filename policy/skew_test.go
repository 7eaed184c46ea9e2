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
