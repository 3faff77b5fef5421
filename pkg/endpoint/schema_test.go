package endpoint_test

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/jsonschema-go/jsonschema"

	"sluice/pkg/endpoint"
)

type pageRequest struct {
	Limit  int    `json:"limit,omitempty" validate:"min=0,max=1000"`
	Cursor string `json:"cursor,omitempty" validate:"max=512"`
}

type everything struct {
	pageRequest

	ID      string             `json:"id" validate:"required,uuid"`
	Code    string             `json:"code,omitempty" validate:"omitempty,len=3"`
	Name    string             `json:"name" validate:"required,min=2,max=5"`
	Short   string             `json:"short,omitempty" validate:"gt=1,lt=4"`
	Size    string             `json:"size,omitempty" validate:"omitempty,oneof=big small"`
	Mail    *string            `json:"mail,omitempty" validate:"omitempty,email"`
	Port    uint16             `json:"port" validate:"required,min=1,max=65535"`
	Ratio   float64            `json:"ratio" validate:"gt=0.5,lt=1"`
	Level   int                `json:"level" validate:"oneof=1 2 3"`
	Roles   []string           `json:"roles" validate:"max=2,unique,dive,oneof=operator admin"`
	Labels  map[string]string  `json:"labels,omitempty" validate:"max=3,dive,max=4"`
	Weights map[string]float64 `json:"weights,omitempty"`
	Items   []item             `json:"items" validate:"min=1,max=3,dive"`
	Free    bool               `json:"free" validate:"eqfield=Other"`
}

var everyRule = endpoint.Method[everything, struct{}]{Service: "order", Name: "everything", Auth: endpoint.Public}

// The schema and the validator must agree on what they both can say.
func TestSchemaSaysWhatIsValidated(t *testing.T) {
	t.Parallel()
	const want = `{"type":"object","properties":{` +
		`"limit":{"type":"integer","minimum":0,"maximum":1000},"cursor":{"type":"string","maxLength":512},` +
		`"id":{"type":"string","minLength":1,"format":"uuid"},"code":{"type":"string","minLength":3,"maxLength":3},"name":{"type":"string","minLength":2,"maxLength":5},` +
		`"short":{"type":"string","minLength":2,"maxLength":3},"size":{"type":"string","enum":["big","small"]},` +
		`"mail":{"type":"string","format":"email"},"port":{"type":"integer","minimum":1,"maximum":65535},` +
		`"ratio":{"type":"number","exclusiveMinimum":0.5,"exclusiveMaximum":1},"level":{"type":"integer","enum":[1,2,3]},` +
		`"roles":{"type":"array","items":{"type":"string","enum":["operator","admin"]},"maxItems":2,"uniqueItems":true},` +
		`"labels":{"type":"object","additionalProperties":{"type":"string","maxLength":4},"maxProperties":3},` +
		`"weights":{"type":"object","additionalProperties":{"type":"number"}},` +
		`"items":{"type":"array","items":{"type":"object","properties":{` +
		`"product_id":{"type":"string","minLength":1,"maxLength":8},"quantity":{"type":"integer","minimum":1},` +
		`"price":{"type":"object","properties":{"currency":{"type":"string"},"number":{"type":"string"}},"required":["number","currency"]}},` +
		`"required":["product_id","quantity","price"],"additionalProperties":false},"minItems":1,"maxItems":3},` +
		`"free":{"type":"boolean"}},"required":["id","name","port","ratio","level","roles","items","free"],"additionalProperties":false}`
	got := everyRule.Spec().Request
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(got, &schema); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	valid := `{"id":"0193e4c5-7a6b-7c8d-9e0f-112233445567","name":"anna","port":80,"ratio":0.7,"level":2,"roles":["admin"],` +
		`"items":[{"product_id":"p","quantity":1,"price":{"number":"1","currency":"EUR"}}],"free":true}`
	for change, ok := range map[string]bool{
		``: true, `"name":"a"`: false, `"port":0`: false, `"ratio":1`: false, `"level":4`: false, `"roles":["customer"]`: false,
		`"roles":["admin","admin"]`: false, `"labels":{"a":"12345"}`: false, `"items":[]`: false, `"limit":1001`: false, `"size":"tiny"`: false,
	} {
		var value map[string]any
		if err := json.Unmarshal([]byte(valid), &value); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte("{"+change+"}"), &value); err != nil {
			t.Fatal(err)
		}
		if err := resolved.Validate(value); (err == nil) != ok {
			t.Errorf("%s: %v", change, err)
		}
	}
}
