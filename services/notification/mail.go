package notification

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
)

// email is one mail, ready to go. The same ID means the same mail: whoever gets it
// twice can tell.
type email struct {
	ID            string // of the notification; Message-ID is <ID@sluice>
	UserID        string // empty for an operator
	To            string
	CorrelationID string
	Date          time.Time
	letter
}

// errUndeliverable says that trying again is of no use: the server refused the mail
// or its address for good.
var errUndeliverable = errors.New("undeliverable")

var errMailFrom = errors.New("is not an e-mail address")

// mailer sends mail. Send returns when the mail is in somebody else's hands.
type mailer interface {
	Send(ctx context.Context, m email) error
	// Forget removes what is kept of the mails to one user. It may run again.
	Forget(userID string) error
}

// headerUserID says in a mail whom it is about, so that it can be found.
const headerUserID = "Sluice-User-Id"

// compose writes m as an Internet message, RFC 5322.
func compose(from string, m email) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(from); err != nil {
		return nil, fmt.Errorf("sender of mail %s: %w", m.ID, err)
	}
	if err := msg.To(m.To); err != nil {
		return nil, fmt.Errorf("%w: address of mail %s is malformed", errUndeliverable, m.ID)
	}
	msg.SetMessageIDWithValue(m.ID + "@sluice")
	msg.SetDateWithValue(m.Date)
	msg.Subject(m.subject)
	msg.SetGenHeader("Sluice-Correlation-Id", m.CorrelationID)
	if m.UserID != "" {
		msg.SetGenHeader(headerUserID, m.UserID)
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, m.body)
	return msg, nil
}

// smtpMailer hands mail to an SMTP server.
type smtpMailer struct {
	from    string
	host    string
	options []mail.Option
}

// newSMTPMailer takes smtp://user:password@host:port (STARTTLS where the server
// offers it) or smtps:// (TLS from the start).
func newSMTPMailer(address, from string) (*smtpMailer, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, errors.New("is not like smtp://user:password@host:587 or smtps://…")
	}
	options := []mail.Option{mail.WithTimeout(15 * time.Second)}
	if u.Scheme == "smtps" {
		options = append(options, mail.WithSSLPort(false))
	} else {
		options = append(options, mail.WithTLSPortPolicy(mail.TLSOpportunistic))
	}
	if u.Port() != "" {
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			return nil, errors.New("has no valid port")
		}
		options = append(options, mail.WithPort(port))
	}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(u.User.Username()), mail.WithPassword(password))
	}
	m := &smtpMailer{from: from, host: u.Hostname(), options: options}
	_, err = mail.NewClient(m.host, m.options...)
	if err != nil {
		return nil, fmt.Errorf("is no mail server: %w", err)
	}
	return m, nil
}

// Send returns once the server has taken the mail. A refusal for good (5yz of RFC
// 5321) is errUndeliverable.
func (s *smtpMailer) Send(ctx context.Context, m email) error {
	msg, err := compose(s.from, m)
	if err != nil {
		return err
	}
	client, err := mail.NewClient(s.host, s.options...)
	if err != nil {
		return fmt.Errorf("mail %s: %w", m.ID, err)
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if err == nil {
		return nil
	}
	var refused *mail.SendError
	if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return fmt.Errorf("%w: the mail server refused mail %s with %d", errUndeliverable, m.ID, refused.ErrorCode())
	}
	return fmt.Errorf("hand mail %s to %s: %w", m.ID, s.host, withoutAddresses(err))
}

// Forget has nothing to remove: what a server took is out of our hands.
func (s *smtpMailer) Forget(string) error { return nil }

// withoutAddresses keeps recipients out of errors, which end up in logs and dead
// letters.
func withoutAddresses(err error) error {
	var refused *mail.SendError
	if !errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("the server answered with %d", refused.ErrorCode())
}

// folderMailer writes mail as .eml files: what a laptop without a mail server has.
type folderMailer struct{ from, folder string }

func newFolderMailer(folder, from string) (*folderMailer, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("mail folder: %w", err)
	}
	return &folderMailer{from: from, folder: folder}, nil
}

// Send returns once the file is on disk under its final name. A mail that is sent
// again replaces itself.
func (f *folderMailer) Send(_ context.Context, m email) error {
	msg, err := compose(f.from, m)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return fmt.Errorf("write mail %s: %w", m.ID, err)
	}
	// Whatever a crash leaves of it, the same mail overwrites when it is sent again.
	file, err := os.OpenFile(filepath.Join(f.folder, "."+m.UserID+"."+m.ID+".new"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write mail %s: %w", m.ID, err)
	}
	_, err = file.Write(b.Bytes())
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(f.folder, m.ID+".eml"))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write mail %s: %w", m.ID, err), os.Remove(file.Name()))
	}
	return nil
}

// Forget removes the files of mails to a user, and what a crash left of them.
func (f *folderMailer) Forget(userID string) error {
	unfinished, err := filepath.Glob(filepath.Join(f.folder, "."+userID+".*.new"))
	if err != nil {
		return fmt.Errorf("list unfinished mails: %w", err)
	}
	finished, err := filepath.Glob(filepath.Join(f.folder, "*.eml"))
	if err != nil {
		return fmt.Errorf("list mails: %w", err)
	}
	for _, name := range finished {
		mine, err := isTo(name, userID)
		if err != nil {
			return err
		}
		if mine {
			unfinished = append(unfinished, name)
		}
	}
	for _, name := range unfinished {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove mail: %w", err)
		}
	}
	return nil
}

// isTo reports whether the mail in a file says that it is to this user.
func isTo(file, userID string) (bool, error) {
	content, err := os.ReadFile(file) //nolint:gosec // G304: from a listing of our own folder
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read mail: %w", err)
	}
	header, _, _ := bytes.Cut(content, []byte("\r\n\r\n"))
	return bytes.Contains(append(header, '\r', '\n'), []byte("\r\n"+headerUserID+": "+userID+"\r\n")), nil
}
