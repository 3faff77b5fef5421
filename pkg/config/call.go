package config

import "strings"

// The calls that the language has.
const (
	callEnv  = "env"
	callRead = "file.read"
)

func usage(name string) string {
	if name == callEnv {
		return `takes the name of a variable in quotes and perhaps a default: @env("NAME", default)`
	}
	return `takes the name of a file in quotes: @file.read("name")`
}

// refusal says why a call is not part of the language.
func refusal(name string) string {
	const only = "is refused: a configuration has @env and @file.read only, and "
	first, _, _ := strings.Cut(name, ".")
	switch {
	case strings.Contains(name, ".tsk."):
		return only + "takes in other files with import"
	}
	switch first {
	case "env", "file":
		return only + "this is neither"
	case "exec", "shell", "run", "eval", "php", "python", "js", "javascript", "lambda", "fujsen", "go", "bash":
		return only + "runs no programs"
	case "query", "sql", "db", "database", "mongodb", "redis", "postgresql", "mysql", "sqlite", "influxdb", "elasticsearch":
		return only + "asks no databases"
	case "http", "https", "fetch", "graphql", "grpc", "websocket", "sse", "nats", "kafka", "amqp", "webhook", "s3", "vault", "consul", "etcd":
		return only + "reaches out to nobody"
	case "cache", "learn", "optimize", "predict", "metrics", "monitor", "feature":
		return only + "is the same at every start"
	case "date", "now", "time", "random", "uuid", "hash":
		return only + "computes nothing"
	default:
		return only + "this is neither"
	}
}
