package fleetspec

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const allowedText = "text (a number or a boolean that is meant as text goes in quotes)"

// decoder fills a spec from a YAML tree. It is our own, on the library's parser,
// because the library's decoder names neither the key of a bad value nor what is
// allowed instead.
type decoder struct {
	lines map[string]int // of every key in the document, by path
}

func (d *decoder) decodeRoot(root ast.Node, spec *Spec) error {
	switch root.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return d.decodeStruct("", root, reflect.ValueOf(spec).Elem())
	}
	return &problem{line: lineOf(root), what: kindOf(root) + " is not a fleet's spec; allowed: keys and values, such as \"name: default\""}
}

// decode sets the target from a value.
func (d *decoder) decode(path string, node ast.Node, target reflect.Value) error {
	if text, ok := target.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return d.decodeText(path, node, text)
	}
	switch target.Kind() {
	case reflect.Pointer:
		target.Set(reflect.New(target.Type().Elem()))
		return d.decode(path, node, target.Elem())
	case reflect.Struct:
		return d.decodeStruct(path, node, target)
	case reflect.Slice:
		return d.decodeList(path, node, target)
	default:
		return d.decodeScalar(path, node, target)
	}
}

func (d *decoder) decodeStruct(path string, node ast.Node, target reflect.Value) error {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	case *ast.NullNode: // a section whose keys are all commented out
		return nil
	default:
		return wrongKind(path, node, "keys and values: "+strings.Join(keysOf(target.Type()), ", "))
	}
	for _, value := range values {
		if err := d.decodeField(path, value, target); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) decodeField(parent string, value *ast.MappingValueNode, target reflect.Value) error {
	key, ok := value.Key.(*ast.StringNode)
	if !ok {
		return &problem{path: parent, line: lineOf(value), what: fmt.Sprintf("the key %s is not a plain word; allowed: %s",
			quote(oneLine(value.Key.String())), strings.Join(keysOf(target.Type()), ", "))}
	}
	path := key.Value
	if parent != "" {
		path = parent + "." + key.Value
	}
	line := lineOf(value)
	field, ok := fieldOf(target, key.Value)
	if !ok {
		return &problem{path: parent, line: line, what: fmt.Sprintf("unknown key %s; allowed: %s",
			quote(key.Value), strings.Join(keysOf(target.Type()), ", "))}
	}
	if first, twice := d.lines[path]; twice {
		return &problem{path: path, line: line, what: fmt.Sprintf("is given twice, first in line %d; allowed: once", first)}
	}
	d.lines[path] = line
	return d.decode(path, value.Value, field)
}

func (d *decoder) decodeList(path string, node ast.Node, target reflect.Value) error {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		return wrongKind(path, node, "a list")
	}
	target.Set(reflect.MakeSlice(target.Type(), len(list.Values), len(list.Values)))
	for i, value := range list.Values {
		element := fmt.Sprintf("%s[%d]", path, i)
		d.lines[element] = lineOf(value)
		if value.Type() == ast.NullType {
			return wrongKind(element, value, allowedElement(target.Type().Elem()))
		}
		if err := d.decode(element, value, target.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func allowedElement(t reflect.Type) string {
	if t.Kind() == reflect.Struct {
		return "keys and values: " + strings.Join(keysOf(t), ", ")
	}
	return allowedText
}

// decodeText decodes a Duration or a Size. A plain number is text, too: 0 and bytes.
func (d *decoder) decodeText(path string, node ast.Node, target encoding.TextUnmarshaler) error {
	allowed := allowedDuration
	if _, ok := target.(*Size); ok {
		allowed = allowedSize
	}
	text, ok := scalarText(node)
	if !ok || node.Type() == ast.BoolType {
		return wrongKind(path, node, allowed)
	}
	if err := target.UnmarshalText([]byte(text)); err != nil {
		return &problem{path: path, line: d.lines[path], what: err.Error()}
	}
	return nil
}

func (d *decoder) decodeScalar(path string, node ast.Node, target reflect.Value) error {
	text, ok := scalarText(node)
	switch target.Kind() {
	case reflect.String:
		if !ok || (node.Type() != ast.StringType && node.Type() != ast.LiteralType) {
			return wrongKind(path, node, allowedText)
		}
		target.SetString(text)
	case reflect.Bool:
		if !ok || (text != "true" && text != "false") || node.Type() != ast.BoolType {
			return wrongKind(path, node, "true or false")
		}
		target.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		if !ok || err != nil || node.Type() != ast.IntegerType {
			return wrongKind(path, node, "a whole number")
		}
		target.SetInt(n)
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil || !isNumber(node) || math.IsInf(x, 0) {
			return wrongKind(path, node, "a number")
		}
		target.SetFloat(x)
	default:
		return fmt.Errorf("%s: a field of kind %v can't be decoded", path, target.Kind())
	}
	return nil
}
