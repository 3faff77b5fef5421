package config

import "fmt"

// Position is a place in a configuration file. Lines and columns count from 1,
// columns in characters and not in bytes; a line of 0 means the file as a whole.
type Position struct {
	File   string // as it was asked for, imports with the folder in front
	Line   int
	Column int
}

// String returns file:line:column, as editors understand it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Layer is where a value comes from. A later layer wins over an earlier one.
type Layer int

// The layers, from the weakest.
const (
	Default Layer = iota
	File
	Environment
	Flag
)

// Origin says where a value was set. The zero value is a default.
type Origin struct {
	Layer    Layer
	Position Position // in the layer File
	Name     string   // of the variable or the flag, in the layers Environment and Flag
	Via      string   // what the file took the value from, such as "environment HOST"; else empty
}

// String returns "default", file:line:column, "environment NAME" or "flag --name".
func (o Origin) String() string {
	switch o.Layer {
	case File:
		if o.Via != "" {
			return o.Position.String() + " from " + o.Via
		}
		return o.Position.String()
	case Environment:
		return "environment " + o.Name
	case Flag:
		return "flag --" + o.Name
	default:
		return "default"
	}
}
