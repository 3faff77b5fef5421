package notification

import (
	"errors"
	"net/mail"
	"path/filepath"
	"slices"

	"sluice/pkg/app"
	"sluice/pkg/config"
)

// settings are what the configuration says in [notification].
type settings struct {
	SMTPURL  string `config:"smtp_url" doc:"The mail server: smtp://user:password@host:587 or smtps://host:465; empty: mails are written as .eml files to the folder mail in the data folder." env:"SMTP_URL" secret:"true"`
	MailFrom string `doc:"The sender of mails." env:"MAIL_FROM"`
	// Operators that are there twice count once.
	Operators []string `doc:"The addresses that alerts are mailed to. Without any, nobody gets mail about them."`
}

func defaults() settings { return settings{MailFrom: "Sluice <no-reply@sluice.example>"} }

// Validate reports what makes no sense.
func (s settings) Validate() error {
	var errs []error
	if _, err := mail.ParseAddress(s.MailFrom); err != nil {
		errs = append(errs, config.At(errMailFrom, "mail_from"))
	}
	if s.SMTPURL != "" {
		_, err := newSMTPMailer(s.SMTPURL, s.MailFrom)
		errs = append(errs, config.At(err, "smtp_url"))
	}
	for _, address := range s.Operators {
		parsed, err := mail.ParseAddress(address)
		if err != nil || parsed.Address != address {
			errs = append(errs, config.At(errors.New("must be e-mail addresses such as ops@example.com, and one is not"), "operators"))
		}
	}
	return errors.Join(errs...)
}

// operators returns each address once, sorted.
func (s settings) operators() []string {
	return slices.Compact(slices.Sorted(slices.Values(s.Operators)))
}

func newMailer(env app.Env, s settings) (mailer, error) {
	if s.SMTPURL != "" {
		return newSMTPMailer(s.SMTPURL, s.MailFrom)
	}
	folder := filepath.Join(env.DataDir, "mail")
	env.Announce("Mail", folder)
	return newFolderMailer(folder, s.MailFrom)
}
