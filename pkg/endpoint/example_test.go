package endpoint_test

import (
	"fmt"

	"sluice/pkg/endpoint"
)

type greetRequest struct {
	Name string `json:"name" validate:"required,max=40"`
}

type greeting struct {
	Text string `json:"text"`
}

var greet = endpoint.Method[greetRequest, greeting]{
	Service: "hello", Name: "greet", Description: "Greet somebody.", HTTP: "GET /v1/greetings/{name}",
	Idempotent: true, Auth: endpoint.Public,
}

// A method is declared once; everybody else learns of it from its spec.
func Example() {
	spec := greet.Spec()
	verb, path := spec.Route()
	fmt.Println(spec.Subject, verb, path)
	fmt.Println(spec.Request)

	err := fmt.Errorf("greet: %w", endpoint.NotFound("there is nobody of that name"))
	fmt.Println(endpoint.CodeOf(err), endpoint.CodeOf(err).Status())
	// Output:
	// svc.hello.greet GET /v1/greetings/{name}
	// {"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":40}},"required":["name"],"additionalProperties":false}
	// not_found 404
}
