package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/v2"
)

// Parser reads and writes the language for koanf, for programs that keep their
// configuration there. It knows one file: imports and @file.read are refused.
//
// Blocks are map[string]any, lists []any, whole numbers int64, other numbers float64;
// quantities, such as 250ms, and what comes from @env are strings.
type Parser struct {
	Name   string // of the file, for messages
	Lookup func(name string) (string, bool)
}

var _ koanf.Parser = Parser{}

// Unmarshal reads a file. The error is an [*InvalidError] with everything that is
// wrong; without a schema, it quotes no values.
func (p Parser) Unmarshal(b []byte) (map[string]any, error) {
	ps := &problems{}
	if len(b) > maxFileSize {
		ps.at(Position{File: p.Name}, "%s", tooLargeError(maxFileSize).Error())
		return nil, ps.err()
	}
	doc := parse(p.Name, string(b), ps)
	for _, request := range doc.imports {
		ps.text(request.pos, request.name, "%s", errNoFiles.Error())
	}
	lookup := p.Lookup
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	r := resolver{root: doc.root, vars: doc.vars, problems: ps, lookup: lookup, read: secrets{}.read}
	r.all()
	value := native(r.root, ps)
	ps.reveal(func([]string) bool { return false })
	if err := ps.err(); err != nil {
		return nil, err
	}
	return value.(map[string]any), nil //nolint:errcheck // without problems the root is a table
}

// native returns a value as Go has it.
func native(n *node, ps *problems) any {
	switch n.kind {
	case kindBool:
		return n.text == "true"
	case kindInt:
		i, err := strconv.ParseInt(n.text, 10, 64)
		if err != nil {
			ps.at(n.pos(), "%s", errRange.Error())
		}
		return i
	case kindDecimal:
		f, err := strconv.ParseFloat(n.text, 64)
		if err != nil || math.IsInf(f, 0) {
			ps.at(n.pos(), "%s", errRange.Error())
		}
		return f
	case kindString, kindText, kindQuantity:
		return n.text
	case kindList:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = native(item, ps)
		}
		return list
	case kindTable:
		m := make(map[string]any, len(n.table.entries))
		for _, e := range n.table.entries {
			m[e.key] = native(e.value, ps)
		}
		return m
	default:
		return nil
	}
}

var errNoValue = errors.New("has no form in a configuration file")

// Marshal writes a file that [Parser.Unmarshal] reads as the same values, keys sorted.
func (Parser) Marshal(m map[string]any) ([]byte, error) {
	var b strings.Builder
	if err := writePairs(&b, m, ""); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

func writePairs(b *strings.Builder, m map[string]any, indent string) error {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		written := quoteKey(key)
		if indent == "" && key == "import" {
			written = quote(key) // else it would be one
		}
		if err := checkText(key); err != nil {
			return fmt.Errorf("key %q %w", key, err)
		}
		b.WriteString(indent + written + ": ")
		if err := writeValue(b, m[key], indent); err != nil {
			return fmt.Errorf("%s: %w", written, err)
		}
		b.WriteByte('\n')
	}
	return nil
}

func writeValue(b *strings.Builder, value any, indent string) error {
	switch v := value.(type) {
	case nil:
		b.WriteString("null")
	case string:
		b.WriteString(quote(v))
		return checkText(v)
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int:
		b.WriteString(strconv.Itoa(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		return writeFloat(b, v)
	case []any:
		return writeList(b, v, indent)
	case map[string]any:
		b.WriteString("{\n")
		if err := writePairs(b, v, indent+"  "); err != nil {
			return err
		}
		b.WriteString(indent + "}")
	default:
		return fmt.Errorf("a %T %w", value, errNoValue)
	}
	return nil
}

func writeFloat(b *strings.Builder, f float64) error {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return fmt.Errorf("%v %w", f, errNoValue)
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	b.WriteString(s)
	return nil
}

func writeList(b *strings.Builder, list []any, indent string) error {
	b.WriteByte('[')
	for i, item := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := writeValue(b, item, indent); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}
