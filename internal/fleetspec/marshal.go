package fleetspec

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Marshal returns the YAML of a spec, which Parse reads back as an equal one. The
// spec must be valid, with every default filled in.
//
// The encoder is our own because the library's loses white space and control
// characters in text that it leaves without quotes.
func Marshal(s Spec) ([]byte, error) {
	if err := Validate(s); err != nil {
		return nil, fmt.Errorf("fleet spec: %w", err)
	}
	var e encoder
	if err := e.encodeStruct("", "", reflect.ValueOf(s)); err != nil {
		return nil, fmt.Errorf("fleet spec %s: %w", s.Name, err)
	}
	return []byte(e.String()), nil
}

type encoder struct{ strings.Builder }

// encodeStruct writes the fields one per line, the first one after another prefix
// than the others: that of a list's element.
func (e *encoder) encodeStruct(first, rest string, v reflect.Value) error {
	prefix := first
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if strings.HasSuffix(field.Tag.Get("yaml"), ",omitempty") && v.Field(i).IsZero() {
			continue
		}
		e.WriteString(prefix + keyOf(field) + ":")
		prefix = rest
		if err := e.encodeValue(rest, v.Field(i)); err != nil {
			return fmt.Errorf("%s: %w", keyOf(field), err)
		}
	}
	return nil
}

// encodeValue writes what follows a key's colon, up to the end of the line or of the
// lines below it.
func (e *encoder) encodeValue(indent string, v reflect.Value) error {
	if text, ok := v.Interface().(encoding.TextMarshaler); ok {
		data, err := text.MarshalText()
		e.WriteString(" " + string(data) + "\n")
		return err
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.Elem().IsZero() {
			e.WriteString(" {}\n")
			return nil
		}
		return e.encodeValue(indent, v.Elem())
	case reflect.Struct:
		e.WriteString("\n")
		return e.encodeStruct(indent+"  ", indent+"  ", v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.String {
			e.encodeTexts(v)
			return nil
		}
		e.WriteString("\n")
		for i := range v.Len() {
			if err := e.encodeStruct(indent+"  - ", indent+"    ", v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.String:
		e.WriteString(" " + quoteYAML(v.String()) + "\n")
	case reflect.Float64:
		e.WriteString(" " + strconv.FormatFloat(v.Float(), 'f', -1, 64) + "\n")
	case reflect.Int, reflect.Bool:
		fmt.Fprintf(e, " %v\n", v.Interface())
	default:
		return fmt.Errorf("a field of kind %v can't be encoded", v.Kind())
	}
	return nil
}

// encodeTexts writes a list of text on the key's line.
func (e *encoder) encodeTexts(v reflect.Value) {
	texts := make([]string, v.Len())
	for i := range texts {
		texts[i] = quoteYAML(v.Index(i).String())
	}
	e.WriteString(" [" + strings.Join(texts, ", ") + "]\n")
}

var (
	plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9/._-]*$`)
	// reservedText is what YAML, or one of its versions, does not take as text.
	reservedText = regexp.MustCompile(`^(?i:true|false|yes|no|on|off|null|y|n)$`)
)

// quoteYAML returns text without quotes if every reader of YAML agrees that it is
// text, and in double quotes otherwise.
func quoteYAML(text string) string {
	if plainText.MatchString(text) && !reservedText.MatchString(text) {
		return text
	}
	quoted := `"`
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			quoted += `\` + string(r)
		case r == '\n':
			quoted += `\n`
		case r == '\t':
			quoted += `\t`
		case r > 0xffff && !unicode.IsPrint(r):
			quoted += fmt.Sprintf(`\U%08X`, r)
		case !unicode.IsPrint(r):
			quoted += fmt.Sprintf(`\u%04X`, r)
		default:
			quoted += string(r)
		}
	}
	return quoted + `"`
}
