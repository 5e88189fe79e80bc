package fleetspec

import (
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// scalarText returns the text of a scalar as it was written, without quotes.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return node.GetToken().Value, true
	}
	return "", false
}

var scientific = regexp.MustCompile(`^[-+]?[0-9]+[eE][-+]?[0-9]+$`)

// isNumber says whether a node is a number in YAML 1.2. The parser takes 1e-3, which
// has no point, for text.
func isNumber(node ast.Node) bool {
	switch node.Type() {
	case ast.IntegerType, ast.FloatType:
		return true
	}
	tk := node.GetToken()
	return tk != nil && tk.Type == token.StringType && scientific.MatchString(tk.Value)
}

// kindOf says what a node is, for people.
func kindOf(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias"
	case *ast.TagNode:
		return "a tag"
	}
	if text, ok := scalarText(node); ok {
		return quote(text)
	}
	return quote(oneLine(node.String()))
}

// wrongKind says that a value is not of the kind that its key takes.
func wrongKind(path string, node ast.Node, allowed string) error {
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		allowed = "the value written out"
	}
	return &problem{path: path, line: lineOf(node), what: kindOf(node) + " is not allowed here; allowed: " + allowed}
}

// keysOf returns the keys of a struct in the order of its fields.
func keysOf(t reflect.Type) []string {
	keys := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		keys = append(keys, keyOf(t.Field(i)))
	}
	return keys
}

func keyOf(field reflect.StructField) string {
	key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	return key
}

func fieldOf(target reflect.Value, key string) (reflect.Value, bool) {
	for i := range target.NumField() {
		if keyOf(target.Type().Field(i)) == key {
			return target.Field(i), true
		}
	}
	return reflect.Value{}, false
}
