package fleetspec

import (
	"fmt"
	"reflect"
	"strings"
)

// Change is one difference between two specs.
type Change struct {
	// Path is the key, such as timeouts.idle or instance_types[small].price.
	Path string
	// Old and New are the values as YAML shows them, with text that is empty as "".
	// Old is empty for an instance type or section that is added, New for one that is
	// removed.
	Old, New string
}

// String is one line: path: old → new.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return c.Path + ": added " + c.New
	case c.New == "":
		return c.Path + ": removed " + c.Old
	}
	return c.Path + ": " + c.Old + " → " + c.New
}

// Diff returns what changes between two valid specs, in the order of the spec's keys.
// Instance types are matched by name; their order means nothing. Those that are new
// come after those that were there. No difference: an empty result.
func Diff(old, new Spec) []Change {
	var changes []Change
	a, b := reflect.ValueOf(old), reflect.ValueOf(new)
	for i := range a.NumField() {
		key := keyOf(a.Type().Field(i))
		if key == "instance_types" {
			changes = append(changes, diffTypes(key, old.InstanceTypes, new.InstanceTypes)...)
			continue
		}
		changes = append(changes, diffValue(key, a.Field(i), b.Field(i))...)
	}
	return changes
}

func diffTypes(key string, old, new []InstanceType) []Change {
	var changes []Change
	path := func(t InstanceType) string { return fmt.Sprintf("%s[%s]", key, t.Name) }
	for _, o := range old {
		if n, ok := typeNamed(new, o.Name); ok {
			changes = append(changes, diffValue(path(o), reflect.ValueOf(o), reflect.ValueOf(n))...)
		} else {
			changes = append(changes, Change{Path: path(o), Old: describe(reflect.ValueOf(o))})
		}
	}
	for _, n := range new {
		if _, ok := typeNamed(old, n.Name); !ok {
			changes = append(changes, Change{Path: path(n), New: describe(reflect.ValueOf(n))})
		}
	}
	return changes
}

func typeNamed(types []InstanceType, name string) (InstanceType, bool) {
	for _, t := range types {
		if t.Name == name {
			return t, true
		}
	}
	return InstanceType{}, false
}

func diffValue(path string, a, b reflect.Value) []Change {
	switch {
	case a.Kind() == reflect.Pointer && (a.IsNil() || b.IsNil()):
		if a.IsNil() && b.IsNil() {
			return nil
		}
		return []Change{{Path: path, Old: describe(a), New: describe(b)}}
	case a.Kind() == reflect.Pointer:
		return diffValue(path, a.Elem(), b.Elem())
	case a.Kind() == reflect.Struct:
		var changes []Change
		for i := range a.NumField() {
			changes = append(changes, diffValue(path+"."+keyOf(a.Type().Field(i)), a.Field(i), b.Field(i))...)
		}
		return changes
	case a.Kind() == reflect.Slice && reflect.DeepEqual(a.Interface(), b.Interface()):
		return nil
	case a.Kind() != reflect.Slice && a.Equal(b):
		return nil
	}
	return []Change{{Path: path, Old: describe(a), New: describe(b)}}
}

// describe returns a value on one line, and nothing for a nil pointer. Of a struct it
// shows the fields that are not zero.
func describe(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return describe(v.Elem())
	case reflect.Struct:
		text := ""
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				text += ", " + keyOf(v.Type().Field(i)) + ": " + describe(v.Field(i))
			}
		}
		return "{" + text[min(2, len(text)):] + "}"
	case reflect.Slice:
		elements := make([]string, v.Len())
		for i := range elements {
			elements[i] = describe(v.Index(i))
		}
		return "[" + strings.Join(elements, ", ") + "]"
	case reflect.String:
		return quote(v.String())
	}
	return fmt.Sprint(v.Interface())
}
