package user

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"sluice/pkg/config"
)

const (
	shortestKeyPeriod = time.Minute
	longestKeyPeriod  = 365 * 24 * time.Hour
	shortestPassword  = 8 // as for everybody
	longestPassword   = 256
)

// settings are what the configuration says in [user].
type settings struct {
	KeyPeriod     time.Duration `doc:"For how long one key signs the tokens of users, from 1m to a year."`
	AdminPassword string        `doc:"Of the user admin, 8 to 256 characters, read at the first start only; empty: one is made up and printed." env:"SLUICE_ADMIN_PASSWORD" secret:"true"`
}

func defaults() settings { return settings{KeyPeriod: 30 * 24 * time.Hour} }

// Validate reports what makes no sense.
func (s settings) Validate() error {
	var errs []error
	if s.KeyPeriod < shortestKeyPeriod || s.KeyPeriod > longestKeyPeriod {
		errs = append(errs, config.At(fmt.Errorf("%s is not from %s to %s", s.KeyPeriod, shortestKeyPeriod, longestKeyPeriod), "key_period"))
	}
	if n := utf8.RuneCountInString(s.AdminPassword); s.AdminPassword != "" && (n < shortestPassword || n > longestPassword) {
		errs = append(errs, config.At(errors.New("has less than 8 characters, or more than 256"), "admin_password"))
	}
	return errors.Join(errs...)
}
