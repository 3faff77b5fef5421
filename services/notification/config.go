package notification

import (
	"cmp"
	"errors"
	"fmt"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"

	"sluice/pkg/app"
	"sluice/pkg/config"
)

// newMailer returns what the environment asks for:
//
//   - SMTP_URL: the mail server, smtp://user:password@host:587 or smtps://host:465.
//     Without it, mails are written as .eml files to the folder mail in the data
//     folder.
//   - MAIL_FROM: the sender; default "Sluice <no-reply@sluice.example>".
func newMailer(env app.Env) (mailer, error) {
	from := cmp.Or(env.Getenv("MAIL_FROM"), "Sluice <no-reply@sluice.example>")
	if _, err := mail.ParseAddress(from); err != nil {
		return nil, errMailFrom
	}
	if address := env.Getenv("SMTP_URL"); address != "" {
		return newSMTPMailer(address, from)
	}
	folder := filepath.Join(env.DataDir, "mail")
	env.Announce("Mail", folder)
	return newFolderMailer(folder, from)
}

// Settings is what can be set from outside, beside the mail server.
type Settings struct {
	Operators []string `doc:"The addresses that alerts are mailed to. Without any, nobody gets mail about them."`
}

// Validate reports addresses that are none.
func (s Settings) Validate() error {
	for _, address := range s.Operators {
		parsed, err := mail.ParseAddress(address)
		if err != nil || parsed.Address != address {
			return errors.New("operators must be e-mail addresses such as ops@example.com, and one is not")
		}
	}
	return nil
}

// environment is what the names of the settings in the environment begin with.
const environment = "SLUICE_NOTIFICATION"

// readSettings returns what the environment says:
// SLUICE_NOTIFICATION_OPERATORS=ops@example.com,boss@example.com. An address that is there
// twice counts once.
func readSettings(getenv func(string) string) (Settings, error) {
	var s Settings
	var environ []string
	for _, one := range config.Settings(s) {
		name := environment + "_" + strings.ToUpper(one.Path)
		if value := getenv(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	if _, err := config.Load(&s, config.Sources{Prefix: environment, Environ: environ}); err != nil {
		return Settings{}, fmt.Errorf("settings of notifications, %s_…: %w", environment, err)
	}
	s.Operators = slices.Compact(slices.Sorted(slices.Values(s.Operators)))
	return s, nil
}
