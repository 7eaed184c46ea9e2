package policy

import "time"

const (
	weekdays      = "sunmontuewedthufrisat"
	months        = "janfebmaraprmayjunjulaugsepoctnovdec"
	secondsOfYear = 31556952
)

var longWeekdays = [...]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// pivotYear is where two-digit years split when nothing says what today is:
// below it they are of this century (the convention of POSIX).
const pivotYear = 69

// ParseDate reads an HTTP-date in any of its three forms (RFC 9110 section
// 5.6.7) and returns unix seconds. Letters may be of either case; the rest is
// strict, because a date that is guessed at is a freshness that is guessed at.
// The day of the week must be one, but need not be the right one.
func ParseDate(value string) (unix int64, ok bool) { return parseDate(value, -1) }

// ParseDateAt is ParseDate with the two-digit years of the RFC 850 form read
// as that section asks: what seems to lie more than 50 years after now (unix
// seconds) lies in the past.
func ParseDateAt(value string, now int64) (unix int64, ok bool) { return parseDate(value, now) }

func parseDate[T text](s T, now int64) (int64, bool) {
	switch {
	case len(s) == 29 && s[3] == ',':
		return parseIMF(s)
	case len(s) == 24 && s[3] == ' ':
		return parseAsctime(s)
	}
	return parseRFC850(s, now)
}

// parseIMF: "Sun, 06 Nov 1994 08:49:37 GMT".
func parseIMF[T text](s T) (int64, bool) {
	if index3(s[0:3], weekdays) < 0 || s[4] != ' ' || s[7] != ' ' || s[11] != ' ' || s[16] != ' ' || !is(s[25:], " gmt") {
		return 0, false
	}
	day, ok1 := digits(s[5:7])
	year, ok2 := digits(s[12:16])
	return unixTime(year, index3(s[8:11], months), day, s[17:25], ok1 && ok2)
}

// parseAsctime: "Sun Nov  6 08:49:37 1994".
func parseAsctime[T text](s T) (int64, bool) {
	if index3(s[0:3], weekdays) < 0 || s[7] != ' ' || s[10] != ' ' || s[19] != ' ' {
		return 0, false
	}
	dayText := s[8:10]
	if dayText[0] == ' ' {
		dayText = dayText[1:]
	}
	day, ok1 := digits(dayText)
	year, ok2 := digits(s[20:24])
	return unixTime(year, index3(s[4:7], months), day, s[11:19], ok1 && ok2)
}

// parseRFC850: "Sunday, 06-Nov-94 08:49:37 GMT".
func parseRFC850[T text](s T, now int64) (int64, bool) {
	comma := 0
	for comma < len(s) && s[comma] != ',' {
		comma++
	}
	if comma == len(s) || !isLongWeekday(s[:comma]) {
		return 0, false
	}
	if s = s[comma:]; len(s) != 24 || s[1] != ' ' || s[4] != '-' || s[8] != '-' || s[11] != ' ' || !is(s[20:], " gmt") {
		return 0, false
	}
	day, ok1 := digits(s[2:4])
	year, ok2 := digits(s[9:11])
	month := index3(s[5:8], months)
	if now < 0 {
		year += 1900
		if year < 1900+pivotYear {
			year += 100
		}
		return unixTime(year, month, day, s[12:20], ok1 && ok2)
	}
	// The latest such year that is at most 50 years ahead; going down from
	// the century after now's needs three steps at most.
	year += (time.Unix(now, 0).UTC().Year()/100 + 1) * 100
	for {
		unix, ok := unixTime(year, month, day, s[12:20], ok1 && ok2)
		if ok && unix <= now+50*secondsOfYear || year < 100 {
			return unix, ok
		}
		if !ok && year%400 != 0 && day == 29 && month == 1 {
			year -= 100 // 29 February exists in one century and not in another
			continue
		}
		if !ok {
			return 0, false
		}
		year -= 100
	}
}

func isLongWeekday[T text](s T) bool {
	for _, day := range longWeekdays {
		if is(s, day) {
			return true
		}
	}
	return false
}

// index3 finds a three-letter name in a table of them, -1 when it is not there.
func index3[T text](s T, table string) int {
	for i := 0; i < len(table); i += 3 {
		if is(s, table[i:i+3]) {
			return i / 3
		}
	}
	return -1
}

func digits[T text](s T) (n int, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, len(s) > 0
}

// unixTime puts a date (month from 0) and "hh:mm:ss" together. Second 60 is a
// leap second and counts as the next one.
func unixTime[T text](year, month, day int, clock T, ok bool) (int64, bool) {
	hour, ok1 := digits(clock[0:2])
	minute, ok2 := digits(clock[3:5])
	sec, ok3 := digits(clock[6:8])
	if !ok || !ok1 || !ok2 || !ok3 || clock[2] != ':' || clock[5] != ':' ||
		month < 0 || day < 1 || hour > 23 || minute > 59 || sec > 60 {
		return 0, false
	}
	t := time.Date(year, time.Month(month+1), day, hour, minute, 0, 0, time.UTC)
	if t.Day() != day {
		return 0, false
	}
	return t.Unix() + int64(sec), true
}

// AppendDate appends unix seconds as an IMF-fixdate, the form to send.
func AppendDate(dst []byte, unix int64) []byte {
	return time.Unix(unix, 0).UTC().AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 GMT")
}
