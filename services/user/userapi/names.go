package userapi

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"sluice/pkg/endpoint"
)

// CheckNames reports what keeps username and email from naming a user.
func CheckNames(username, email string) []endpoint.FieldError {
	var wrong []endpoint.FieldError
	switch {
	case strings.TrimSpace(username) == "":
		wrong = append(wrong, endpoint.FieldError{Field: "username", Message: "is required"})
	case utf8.RuneCountInString(username) > 64:
		wrong = append(wrong, endpoint.FieldError{Field: "username", Message: "has more than 64 characters"})
	case strings.TrimSpace(username) != username, strings.ContainsFunc(username, unprintable), strings.Contains(username, "@"):
		wrong = append(wrong, endpoint.FieldError{Field: "username", Message: "may not hold @, control characters or blanks at its ends"})
	}
	address, err := mail.ParseAddress(email)
	switch {
	case email == "":
		wrong = append(wrong, endpoint.FieldError{Field: "email", Message: "is required"})
	case err != nil, address.Address != email, len(email) > 254, strings.ContainsFunc(email, unprintable):
		wrong = append(wrong, endpoint.FieldError{Field: "email", Message: "is not an e-mail address"})
	}
	return wrong
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// Normalize returns the form in which names are compared: case folded, in Unicode
// NFKC. Two names with one form belong to one user. Folding alone would swap the cases
// of Cherokee letters, so the result is lowered; and it can take marks apart, so they
// are composed again.
func Normalize(name string) string {
	folded := cases.Fold().String(norm.NFKC.String(name))
	return norm.NFKC.String(strings.ToLower(folded))
}

// Reachable reports whether somebody may read what is sent to an address: nobody does
// under the domain invalid (RFC 2606).
func Reachable(email string) bool {
	return !strings.HasSuffix(strings.ToLower(email), ".invalid")
}
