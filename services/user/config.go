package user

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"sluice/pkg/app"
)

const (
	shortestKeyPeriod = time.Minute
	longestKeyPeriod  = 365 * 24 * time.Hour
	shortestPassword  = 8 // as for everybody
	longestPassword   = 256
)

// keyPeriod returns what the environment asks for in SLUICE_USER_KEY_PERIOD: for how
// long one key signs the tokens of users, a duration such as 168h, from a minute to a
// year. Default: 30 days, which is 0 here.
func keyPeriod(env app.Env) (time.Duration, error) {
	value := env.Getenv("SLUICE_USER_KEY_PERIOD")
	if value == "" {
		return 0, nil
	}
	period, err := time.ParseDuration(value)
	if err != nil || period < shortestKeyPeriod || period > longestKeyPeriod {
		return 0, fmt.Errorf("SLUICE_USER_KEY_PERIOD %q is not a duration such as 168h, from %s to %s", value, shortestKeyPeriod, longestKeyPeriod)
	}
	return period, nil
}

// adminPassword returns the password of the user admin at the first start, from
// SLUICE_ADMIN_PASSWORD; empty has one made up.
func adminPassword(env app.Env) (string, error) {
	password := env.Getenv("SLUICE_ADMIN_PASSWORD")
	if n := utf8.RuneCountInString(password); password != "" && (n < shortestPassword || n > longestPassword) {
		return "", errors.New("SLUICE_ADMIN_PASSWORD has less than 8 characters, or more than 256")
	}
	return password, nil
}
