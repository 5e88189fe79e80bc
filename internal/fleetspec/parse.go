package fleetspec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDocument is far more than a spec with every instance type of a cloud needs, and
// little enough for the YAML parser's recursion.
const maxDocument = 256 << 10

// Parse decodes the YAML (or JSON) of one spec, fills in every default, and
// validates the whole. A key that is present keeps its value, also when that is zero
// or empty; a section that is present without a value has its defaults.
//
// Every error is one line: filename:line: key: what is wrong; what is allowed. It is
// the first one in the document, or, where each key by itself is well-formed, the
// first that Validate finds.
func Parse(filename string, data []byte) (Spec, error) {
	spec, err := parse(data)
	if err == nil {
		return spec, nil
	}
	var p *problem
	if !errors.As(err, &p) {
		return Spec{}, fmt.Errorf("%s: %w", filename, err)
	}
	return Spec{}, fmt.Errorf("%s:%d: %w", filename, max(p.line, 1), p)
}

func parse(data []byte) (Spec, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // of Windows editors
	root, err := parseDocument(data)
	if err != nil {
		return Spec{}, err
	}
	spec := defaults()
	d := decoder{lines: map[string]int{}}
	if err := d.decodeRoot(root, &spec); err != nil {
		return Spec{}, err
	}
	spec.fill()
	if err := Validate(spec); err != nil {
		return Spec{}, d.locate(err)
	}
	return spec, nil
}

// parseDocument returns the root of the only document.
func parseDocument(data []byte) (root ast.Node, err error) {
	switch {
	case len(data) > maxDocument:
		return nil, problemf("", "has %d bytes; allowed: at most %v", len(data), Size(maxDocument))
	case !utf8.Valid(data) || strings.ContainsRune(string(data), 0):
		return nil, problemf("", "is not text; allowed: YAML in UTF-8")
	}
	// The parser has panicked on malformed input before; a spec must not take a
	// worker down.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, problemf("", "is not YAML that can be read (%s)", oneLine(fmt.Sprint(r)))
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if p := checkNesting(tokens); p != nil {
		return nil, p
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxProblem(err)
	}
	return onlyDocument(file)
}

func onlyDocument(file *ast.File) (root ast.Node, err error) {
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if root != nil {
			return nil, &problem{line: lineOf(doc.Body), what: "a second document begins; allowed: one fleet per file"}
		}
		root = doc.Body
	}
	if root == nil {
		return nil, problemf("", "is empty; allowed: a fleet's spec, such as \"name: default\"")
	}
	return root, nil
}

// checkNesting refuses what the parser would need gigabytes for: it takes memory by
// the square of the depth.
func checkNesting(tokens token.Tokens) *problem {
	const deepest = 50
	flow, line, block := 0, 0, 0
	for _, t := range tokens {
		if t.Position != nil && t.Position.Line != line {
			line, block = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType, token.AnchorType:
			if flow == 0 {
				block++
			}
		}
		if flow > deepest || block > deepest {
			return &problem{line: line, what: fmt.Sprintf("is nested too deeply; allowed: at most %d levels", deepest)}
		}
	}
	return nil
}

func syntaxProblem(err error) error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) {
		return problemf("", "is not YAML: %s", oneLine(err.Error()))
	}
	p := &problem{what: "is not YAML: " + oneLine(syntax.GetMessage())}
	if tk := syntax.GetToken(); tk != nil && tk.Position != nil {
		p.line = tk.Position.Line
		if strings.Contains(tk.Origin, "\t") || strings.Contains(syntax.GetMessage(), "'\\t'") {
			p.what += "; a line is indented with spaces, never with tabs"
		}
	}
	return p
}

// oneLine makes a library's message fit into a line.
func oneLine(message string) string {
	const longest = 200
	runes := []rune(strings.Join(strings.FieldsFunc(message, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }), " "))
	if len(runes) > longest {
		runes = append(runes[:longest-1], '…')
	}
	return string(runes)
}

// lineOf returns the line on which a node begins, and 0 if the parser does not say.
func lineOf(node ast.Node) int {
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 {
			return lineOf(n.Values[0])
		}
	case *ast.MappingValueNode:
		return lineOf(n.Key)
	}
	if tk := node.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line
	}
	return 0
}
