package notification

import (
	"cmp"
	"net/mail"
	"path/filepath"

	"sluice/pkg/app"
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
