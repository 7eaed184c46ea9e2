package policy

// maxWeighted bounds what is normalised; longer lists are compared as they
// came.
const maxWeighted = 24

// weighted is one member of an Accept-Encoding or Accept-Language list. name
// is borrowed.
type weighted struct {
	name  string
	mille int // weight in thousandths
}

// parseWeighted reads the lines of a field with that canonical name, lists of
// names with weights (RFC 9110 section 12.4.2), into room. ok is false when a
// member is malformed or named twice, or when there are too many: then the value
// has no normal form but itself.
func parseWeighted(room []weighted, fields Fields, name string) (list []weighted, ok bool) {
	list = room
	for i := range fields {
		if fields[i].Name != name {
			continue
		}
		for line := fields[i].Value; line != ""; {
			var member string
			member, line = cutComma(line)
			if member = trim(member); len(member) == 0 {
				continue
			}
			w, ok := parseMember(member)
			if !ok || len(list) == maxWeighted || find(list, w.name) >= 0 {
				return nil, false
			}
			list = append(list, w)
		}
	}
	return list, true
}

// parseMember reads "name" or "name;q=0.5".
func parseMember(member string) (w weighted, ok bool) {
	i := 0
	for i < len(member) && member[i] != ';' {
		i++
	}
	w = weighted{name: trimRight(member[:i]), mille: 1000}
	if !isToken(w.name) {
		return w, false
	}
	if i == len(member) {
		return w, true
	}
	param := trimLeft(member[i+1:])
	if len(param) < 2 || lower(param[0]) != 'q' || param[1] != '=' {
		return w, false
	}
	w.mille, ok = parseWeight(param[2:])
	return w, ok
}

// parseWeight reads a qvalue into thousandths.
func parseWeight(s string) (mille int, ok bool) {
	if len(s) == 0 || len(s) > 5 || s[0] != '0' && s[0] != '1' || len(s) > 1 && s[1] != '.' {
		return 0, false
	}
	mille = int(s[0]-'0') * 1000
	for i, place := 2, 100; i < len(s); i, place = i+1, place/10 {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		mille += int(s[i]-'0') * place
	}
	return mille, mille <= 1000
}

func find(list []weighted, name string) int {
	for i := range list {
		if compareFold(list[i].name, name) == 0 {
			return i
		}
	}
	return -1
}

// compareFold orders names whatever the case of their letters.
func compareFold[A, B text](a A, b B) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if d := int(lower(a[i])) - int(lower(b[i])); d != 0 {
			return d
		}
	}
	return len(a) - len(b)
}

// sortWeighted puts the heaviest first and equals in alphabetical order.
func sortWeighted(list []weighted) {
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && before(&list[j], &list[j-1]); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

func before(a, b *weighted) bool {
	if a.mille != b.mille {
		return a.mille > b.mille
	}
	return compareFold(a.name, b.name) < 0
}

// appendWeighted writes the list in one spelling: lower case, no white space,
// no trailing zeros, no weight of 1.
func appendWeighted(dst []byte, list []weighted) []byte {
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		for j := range len(list[i].name) {
			c := list[i].name[j]
			// "%" is written as appendPrintable does, so that the two agree.
			if c == '%' {
				dst = appendTriplet(dst, c)
				continue
			}
			dst = append(dst, lower(c))
		}
		mille := list[i].mille
		if mille == 1000 {
			continue
		}
		dst = append(dst, ";q=0"...)
		if mille > 0 {
			dst = append(dst, '.')
		}
		for place := 100; mille > 0; place /= 10 {
			dst = append(dst, byte('0'+mille/place))
			mille %= place
		}
	}
	return dst
}

// ChooseLanguage returns which of the stored variants, each given by the
// Content-Language it has, is as good as any answer the origin could give to
// q's Accept-Language: one in a language of the highest weight there (RFC 9110
// section 12.5.4, basic filtering of RFC 4647). -1 where only the origin can
// tell. A variant in several languages, or in none, is never chosen.
func ChooseLanguage(q *Request, available []string) int {
	var room [maxWeighted]weighted
	list, ok := parseWeighted(room[:0], q.Fields, "Accept-Language")
	if !ok || len(list) == 0 {
		return -1
	}
	sortWeighted(list)
	top := list[0].mille
	if top == 0 {
		return -1
	}
	for i, language := range available {
		language = trim(language)
		best, longest := 0, 0
		for j := range list {
			if n := len(list[j].name); n > longest && inRange(list[j].name, language) {
				best, longest = list[j].mille, n
			}
		}
		if best == top {
			return i
		}
	}
	return -1
}

// inRange tells whether a language tag is in a range: equal, or the range
// followed by "-".
func inRange(tags, language string) bool {
	if !isToken(language) || len(language) < len(tags) {
		return false
	}
	return compareFold(tags, language[:len(tags)]) == 0 &&
		(len(language) == len(tags) || language[len(tags)] == '-')
}
