package configs

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// object is a value read as a mapping. Which keys it may have follows from
// those that are asked for until done is called.
type object struct {
	value
	members []member
	asked   []string
	// names: the keys are names, none of them unknown.
	names bool
}

// member is one key of an object, in file order.
type member struct {
	name string
	// key is where the key itself stands.
	key   value
	value value
}

// unknownKey is a key that no decoder asked for. It is reported when the whole file has
// been read, since only then is it known where the key would have been right.
type unknownKey struct {
	at    place
	owner string // the path of the object
	name  string
	known []string
}

// object reads a mapping. What is left out, or is no mapping, reads as an
// object without keys, so that its defaults are filled in on the same path.
func (v value) object(valid string) *object {
	o := &object{value: v}
	switch {
	case !v.given():
		return o
	case v.isNull():
		v.fault(v.orNothing(valid), "there is no value")
		return o
	case v.y.Kind != yaml.MappingNode:
		v.fault(valid, "this is %s", kindOf(v.y))
		return o
	}
	lines := make(map[string]int)
	for i := 0; i+1 < len(v.y.Content); i += 2 {
		k := v.child(v.y.Content[i], place{}, v.path, v.shape)
		if !k.given() {
			break
		}
		if k.y.Kind == yaml.MappingNode && template(v.y) != "" {
			k.fault(validVariable, "%s is a variable", braces)
			continue
		}
		if k.y.Kind != yaml.ScalarNode {
			k.fault("a plain word", "a key is %s", kindOf(k.y))
			continue
		}
		name := k.y.Value
		if k.y.Tag == "!!merge" {
			k.fault("the keys written out, or an alias for a whole value", "merge keys (<<) are not supported")
			continue
		}
		if first, twice := lines[name]; twice {
			k.fault("each key once", "%s is given twice, first on line %d", quote(name), first)
			continue
		}
		lines[name] = k.at.line
		m := v.child(v.y.Content[i+1], k.at, join(v.path, name), join(v.shape, name))
		o.members = append(o.members, member{name: name, key: k, value: m})
	}
	return o
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// key returns the value of a key, which may be left out.
func (o *object) key(name string) value {
	o.asked = append(o.asked, name)
	shape := join(o.shape, name)
	o.d.schema[shape] = true
	for _, m := range o.members {
		if m.name == name {
			return m.value
		}
	}
	return value{d: o.d, at: o.head, head: o.head, path: join(o.path, name), shape: shape}
}

// need is key for one that must be there, when the object is.
func (o *object) need(name, valid string) value {
	v := o.key(name)
	v.required = true
	if !v.given() && o.given() && o.y.Kind == yaml.MappingNode && !o.has(name) {
		o.missing(name, valid)
	}
	return v
}

func (o *object) has(name string) bool {
	return slices.ContainsFunc(o.members, func(m member) bool { return m.name == name })
}

// free returns the members of an object whose keys are names, not words of the
// schema; placeholder stands for them in the schema.
func (o *object) free(placeholder string) []member {
	o.names = true
	o.d.schema[join(o.shape, placeholder)] = true
	for i := range o.members {
		m := &o.members[i]
		m.value.shape = join(o.shape, placeholder)
		m.value.path = join(o.path, m.name)
		if _, problem := checkToken(m.name); problem != "" || len(m.name) > maxName {
			m.value.path = join(o.path, quote(m.name))
		}
	}
	return o.members
}

// done notes the keys that no decoder asked for.
func (o *object) done() {
	if o.names {
		return
	}
	for _, m := range o.members {
		if !slices.Contains(o.asked, m.name) {
			o.d.unknown = append(o.d.unknown, unknownKey{at: m.key.at, owner: o.path, name: m.name, known: o.asked})
		}
	}
}

// reportUnknown turns the unknown keys into faults that say what was probably
// meant.
func (d *decoder) reportUnknown() {
	for _, u := range d.unknown {
		message := "unknown key " + quote(u.name)
		if u.owner != "" {
			message += " in " + u.owner
		}
		message += d.meant(u)
		d.add(&d.faults, u.at, strings.Join(u.known, ", "), message)
	}
}

// homes returns the objects, by their general path, that have a key of this name.
func (d *decoder) homes(name string) []string {
	var homes []string
	for shape := range d.schema {
		if home, found := strings.CutSuffix(shape, "."+name); found {
			homes = append(homes, home)
		} else if shape == name {
			homes = append(homes, "the top level")
		}
	}
	slices.Sort(homes)
	return homes
}

// isObject reports whether the file gives a mapping for v.
func isObject(v value) bool { return v.given() && v.y.Kind == yaml.MappingNode }

// member looks a key up again that has been read, to report on it. A value
// made here costs nothing of the file's budget and repeats no fault.
func (v value) member(name string) value {
	none := value{d: v.d, at: v.head, head: v.head, path: join(v.path, name)}
	if !isObject(v) {
		return none
	}
	for i := 0; i+1 < len(v.y.Content); i += 2 {
		if k := v.y.Content[i]; k.Value == name {
			return again(v.d, v.y.Content[i+1], k, join(v.path, name))
		}
	}
	return none
}

// items is member for a list, or a value that stands for a list of one.
func (v value) items() []value {
	switch {
	case !v.given():
		return nil
	case v.y.Kind != yaml.SequenceNode:
		return []value{v}
	}
	var all []value
	for i, y := range v.y.Content {
		all = append(all, again(v.d, y, y, fmt.Sprintf("%s[%d]", v.path, i)))
	}
	return all
}

func again(d *decoder, y, head *yaml.Node, path string) value {
	v := value{d: d, y: y, at: place{y.Line, y.Column}, head: place{head.Line, head.Column}, path: path}
	if y.Kind == yaml.AliasNode {
		v.y = y.Alias
	}
	return v
}
