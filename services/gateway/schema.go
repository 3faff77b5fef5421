package gateway

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"
)

const (
	maxSchema      = 64 << 10 // bytes
	maxSchemaDepth = 40       // of the JSON it is written in
)

//go:embed schema.json
var schemaOfSchemas []byte

// acceptable validates schemas. It is made once, because making it is slow.
var acceptable = sync.OnceValue(func() *jsonschema.Resolved {
	var s jsonschema.Schema
	if err := json.Unmarshal(schemaOfSchemas, &s); err != nil {
		panic(fmt.Sprintf("schema.json: %v", err))
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		panic(fmt.Sprintf("schema.json: %v", err))
	}
	return resolved
})

// parseSchema reads a schema from a stranger. What it accepts stands in schema.json: an
// object's schema that refers to nothing outside of itself.
func parseSchema(text jsontext.Value) (*jsonschema.Schema, error) {
	switch {
	case len(text) == 0:
		return nil, errors.New("is missing")
	case len(text) > maxSchema:
		return nil, fmt.Errorf("is larger than %d bytes", maxSchema)
	}
	if err := checkDepth(text); err != nil {
		return nil, err
	}
	var instance any
	if err := json.Unmarshal(text, &instance); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	if err := acceptable().Validate(instance); err != nil {
		return nil, fmt.Errorf("is no JSON Schema that is taken: %w", err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("is no JSON Schema: %w", err)
	}
	if s.Type != "object" {
		return nil, errors.New("is not that of an object")
	}
	if _, err := s.Resolve(nil); err != nil {
		return nil, fmt.Errorf("is no JSON Schema: %w", err)
	}
	return &s, nil
}

// checkDepth reads through the JSON before anything recursive does.
func checkDepth(text jsontext.Value) error {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		_, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("is not JSON: %w", err)
		case d.StackDepth() > maxSchemaDepth:
			return errors.New("is nested too deeply")
		}
	}
}
