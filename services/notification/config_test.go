package notification

import (
	"reflect"
	"strings"
	"testing"

	"sluice/pkg/config"
)

// with returns the settings that an environment makes.
func with(environ ...string) (settings, error) {
	c := config.Compose(config.Part{Name: "notification", Settings: Service.Settings})
	_, err := config.Load(c, config.Sources{Environ: environ})
	return config.PartOf[settings](c, "notification"), err
}

func TestSettings(t *testing.T) {
	t.Parallel()
	got, err := with("SMTP_URL=smtp://me:hunter2@mail.example", "MAIL_FROM=The Shop <shop@example.com>")
	if err != nil || got.SMTPURL != "smtp://me:hunter2@mail.example" || got.MailFrom != "The Shop <shop@example.com>" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := with("SMTP_URL=", "MAIL_FROM="); err != nil || !reflect.DeepEqual(got, defaults()) {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = with("SMTP_URL=me:hunter2@mail.example", "MAIL_FROM=nobody")
	const want = "environment MAIL_FROM: notification.mail_from: is not an e-mail address\n" +
		"environment SMTP_URL: notification.smtp_url: is not like smtp://user:password@host:587 or smtps://…"
	if err == nil || err.Error() != want || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
