package policy

import (
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	const want = 784111777 // Sun, 06 Nov 1994 08:49:37 GMT
	rows := []struct {
		name, value string
		want        int64
		ok          bool
	}{
		{"IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", want, true},
		{"RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", want, true},
		{"asctime", "Sun Nov  6 08:49:37 1994", want, true},
		{"asctime, two digits", "Wed Nov 16 08:49:37 1994", want + 10*86400, true},
		{"asctime, leading zero", "Sun Nov 06 08:49:37 1994", want, true},
		{"2^31 seconds", "Tue, 19 Jan 2038 14:14:08 GMT", 2147523248, true},
		{"far future", "Sun, 21 Nov 2286 04:46:39 GMT", 10000039599, true},
		{"weekday in upper case", "SUN, 06 Nov 1994 08:49:37 GMT", want, true},
		{"month in upper case", "Sun, 06 NOV 1994 08:49:37 GMT", want, true},
		{"zone in mixed case", "Sun, 06 Nov 1994 08:49:37 gMT", want, true},
		{"a wrong weekday", "Mon, 06 Nov 1994 08:49:37 GMT", want, true},
		{"leap second", "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800, true},
		{"leap day", "Sat, 29 Feb 2020 00:00:00 GMT", 1582934400, true},
		{"UTC", "Sun, 06 Nov 1994 08:49:37 UTC", 0, false},
		{"another zone", "Sun, 06 Nov 1994 08:49:37 AEST", 0, false},
		{"offset", "Sun, 06 Nov 1994 08:49:37 +0000", 0, false},
		{"no zone", "Sun, 06 Nov 1994 08:49:37", 0, false},
		{"two-digit year", "Sun, 06 Nov 94 08:49:37 GMT", 0, false},
		{"no comma", "Sun 06 Nov 1994 08:49:37 GMT", 0, false},
		{"two spaces", "Sun, 06  Nov  1994 08:49:37 GMT", 0, false},
		{"dashes", "Sun, 06-Nov-1994 08:49:37 GMT", 0, false},
		{"periods", "Sun, 06 Nov 1994 08.49.37 GMT", 0, false},
		{"one-digit hour", "Sun, 06 Nov 1994 8:49:37 GMT", 0, false},
		{"one-digit day", "Sun, 6 Nov 1994 08:49:37 GMT", 0, false},
		{"hour 24", "Sun, 06 Nov 1994 24:00:00 GMT", 0, false},
		{"minute 60", "Sun, 06 Nov 1994 08:60:37 GMT", 0, false},
		{"second 61", "Sun, 06 Nov 1994 08:49:61 GMT", 0, false},
		{"day 0", "Sun, 00 Nov 1994 08:49:37 GMT", 0, false},
		{"31 November", "Sun, 31 Nov 1994 08:49:37 GMT", 0, false},
		{"29 February of no leap year", "Sun, 29 Feb 2019 08:49:37 GMT", 0, false},
		{"unknown month", "Sun, 06 Foo 1994 08:49:37 GMT", 0, false},
		{"months that straddle", "Sun, 06 anF 1994 08:49:37 GMT", 0, false},
		{"unknown weekday", "Foo, 06 Nov 1994 08:49:37 GMT", 0, false},
		{"RFC 850 with a short weekday", "Sun, 06-Nov-94 08:49:37 GMT", 0, false},
		{"signs", "Sun, +6 Nov 1994 08:49:37 GMT", 0, false},
		{"empty", "", 0, false},
		{"zero", "0", 0, false},
		{"unix time", "784111777", 0, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got, ok := ParseDate(row.value)
			if got != row.want || ok != row.ok {
				t.Errorf("%d %v, want %d %v", got, ok, row.want, row.ok)
			}
		})
	}
}

// RFC 9110 section 5.6.7: more than 50 years ahead is the past.
func TestTwoDigitYears(t *testing.T) {
	rows := []struct {
		now  int
		date string
		want int
	}{
		{2027, "Monday, 01-Feb-27 00:00:00 GMT", 2027},
		{2027, "Monday, 01-Feb-50 00:00:00 GMT", 2050},
		{2027, "Monday, 01-Feb-76 00:00:00 GMT", 2076},
		{2027, "Monday, 01-Feb-78 00:00:00 GMT", 1978},
		{2027, "Monday, 01-Feb-99 00:00:00 GMT", 1999},
		{2060, "Monday, 01-Feb-05 00:00:00 GMT", 2105},
		{2060, "Monday, 01-Feb-15 00:00:00 GMT", 2015},
		{2027, "Monday, 29-Feb-00 00:00:00 GMT", 2000},
	}
	for _, row := range rows {
		now := time.Date(row.now, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
		got, ok := ParseDateAt(row.date, now)
		if year := time.Unix(got, 0).UTC().Year(); !ok || year != row.want {
			t.Errorf("%s seen from %d: %d %v, want %d", row.date, row.now, year, ok, row.want)
		}
	}
	if _, ok := ParseDateAt("Monday, 30-Feb-27 00:00:00 GMT", t0/second); ok {
		t.Error("30 February")
	}
	for date, want := range map[string]int{"Monday, 01-Feb-68 00:00:00 GMT": 2068, "Monday, 01-Feb-69 00:00:00 GMT": 1969} {
		if got, _ := ParseDate(date); time.Unix(got, 0).UTC().Year() != want {
			t.Errorf("%s without a now: want %d", date, want)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		"Sunday, 29-Feb-00 08:49:37 GMT", "Sat, 31 Dec 9999 23:59:60 GMT", "0", ",", "Mon, 01 Jan 0000 00:00:00 GMT",
	} {
		f.Add(s, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, s string, now int64) {
		now %= 1 << 36
		unix, ok := ParseDateAt(s, now)
		if b, bok := parseDate([]byte(s), now); b != unix || bok != ok {
			t.Fatalf("%q: bytes and strings differ", s)
		}
		if !ok {
			return
		}
		// What we send for it must read as the same moment.
		if year := time.Unix(unix, 0).UTC().Year(); year < 0 || year > 9999 {
			return
		}
		if again, ok := ParseDate(string(AppendDate(nil, unix))); !ok || again != unix {
			t.Fatalf("%q: %d becomes %d", s, unix, again)
		}
	})
}

func BenchmarkParseDate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := ParseDate("Sun, 06 Nov 1994 08:49:37 GMT"); !ok {
			b.Fatal()
		}
	}
}
