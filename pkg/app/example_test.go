package app_test

import (
	"context"
	"fmt"
	"os"

	"sluice/pkg/app"
)

func ExampleMain() {
	clock := app.Service{Name: "clock", Run: func(ctx context.Context, env app.Env) error {
		return env.Run(ctx) // with parts, in a service that does something
	}}
	code := app.Main(context.Background(), app.Program{
		Name:     "timekeeper",
		Services: []app.Service{clock},
		Args:     []string{"cuckoo"},
		Stderr:   os.Stdout,
	})
	fmt.Println("exit code", code)
	// Output:
	// timekeeper: there is no service "cuckoo"; there are clock
	// exit code 1
}
