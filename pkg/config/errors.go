package config

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

var (
	errUnset     = errors.New("is not set in the environment and has no default")
	errNotText   = errors.New("is not UTF-8")
	errNoFiles   = errors.New("is not possible here: there is no folder to read from")
	errIrregular = errors.New("is not a regular file")
	errOutside   = errors.New("lies outside the folder of secrets")
)

// tooLargeError refuses a file by its size.
type tooLargeError int64

func (e tooLargeError) Error() string { return fmt.Sprintf("is larger than %s", Size(e)) }

func checkText(s string) error {
	if !utf8.ValidString(s) {
		return errNotText
	}
	return nil
}
