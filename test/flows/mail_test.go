package flows_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"sluice/pkg/bus"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

// delivery is a mail that the server took.
type delivery struct {
	from, to string
	message  string
}

// postOffice is a mail server that refuses what a test asks it to. Whom it refuses,
// and when, stands in the local part of the address.
type postOffice struct {
	mu        sync.Mutex
	attempts  map[string]int
	delivered []delivery
}

// open serves SMTP until the test ends and returns the URL.
func (p *postOffice) open(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{office: p}, nil }))
	server.Domain = "localhost"
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "smtp://" + listener.Addr().String()
}

// refusal returns what to say to a recipient at a stage: "busy" is a refusal for now,
// twice, and "gone" one for good. The text tells the address, as real servers do.
func (p *postOffice) refusal(stage, to string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.HasPrefix(to, "gone-at-"+stage) {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no mailbox for " + to}
	}
	if !strings.HasPrefix(to, "busy-at-"+stage) {
		return nil
	}
	if p.attempts == nil {
		p.attempts = make(map[string]int)
	}
	if p.attempts[to]++; p.attempts[to] > 2 {
		return nil
	}
	return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "not now, " + to}
}

func (p *postOffice) to(address string) []delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []delivery
	for _, d := range p.delivered {
		if d.to == address {
			found = append(found, d)
		}
	}
	return found
}

// session is one SMTP connection.
type session struct {
	office   *postOffice
	from, to string
}

func (s *session) Reset()        { s.from, s.to = "", "" }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return s.office.refusal("rcpt", to)
}

func (s *session) Data(r io.Reader) error {
	message, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.office.refusal("data", s.to); err != nil {
		return err
	}
	s.office.mu.Lock()
	defer s.office.mu.Unlock()
	s.office.delivered = append(s.office.delivered, delivery{s.from, s.to, string(message)})
	return nil
}

func TestMailGoesThroughSMTP(t *testing.T) {
	t.Parallel()
	office := &postOffice{}
	s := start(t, map[string]string{"SMTP_URL": office.open(t), "MAIL_FROM": "The Shop <shop@example.com>"})
	register := func(t *testing.T, prefix string) userapi.User {
		t.Helper()
		name := fresh(prefix)
		var u userapi.User
		s.Do(t, http.MethodPost, "/v1/users", userBody(name, name+"@example.com", "correct horse battery")).Into(t, http.StatusCreated, &u)
		return u
	}
	t.Run("mails", func(t *testing.T) {
		t.Run("a mail is what it should be", func(t *testing.T) {
			t.Parallel()
			u := register(t, "ada")
			o := s.newOrder(t, u.ID)
			notifications := s.notified(t, u.ID, notificationapi.StatusSent, 2)
			mails := office.to(u.Email)
			if len(mails) != 2 {
				t.Fatalf("%d mails", len(mails))
			}
			for _, n := range notifications {
				checkMail(t, mails, n, u, o)
			}
		})
		for _, stage := range []string{"rcpt", "data"} {
			t.Run("refused for now at "+stage, func(t *testing.T) {
				t.Parallel()
				u := register(t, "busy-at-"+stage)
				s.notified(t, u.ID, notificationapi.StatusSent, 1)
				if n := len(office.to(u.Email)); n != 1 {
					t.Errorf("%d mails", n)
				}
				if n := len(s.notified(t, u.ID, notificationapi.StatusFailed, 0)); n != 0 {
					t.Errorf("%d failures are recorded", n)
				}
			})
			t.Run("refused for good at "+stage, func(t *testing.T) {
				t.Parallel()
				u := register(t, "gone-at-"+stage)
				n := s.notified(t, u.ID, notificationapi.StatusFailed, 1)[0]
				var letters []bus.DeadLetter
				program.Until(t, "the dead letter is there", func() bool {
					letters = nil
					for _, l := range s.letters(t) {
						if l.Subject == "user.created."+u.ID {
							letters = append(letters, l)
						}
					}
					return len(letters) > 0
				})
				l := letters[0]
				if len(letters) != 1 || l.Consumer != "notification-users" || l.Reason != bus.ReasonDropped || l.Attempts != 1 || l.Stream != "USERS" {
					t.Errorf("the dead letters are %+v", letters)
				}
				if !strings.Contains(l.Error, n.ID) || !strings.Contains(l.Error, "550") || strings.Contains(l.Error, "@") {
					t.Errorf("the reason is %q", l.Error)
				}
				if len(office.to(u.Email)) != 0 || len(s.notified(t, u.ID, notificationapi.StatusSent, 0)) != 0 {
					t.Error("it was sent all the same")
				}
			})
		}
	})
	for _, secret := range []string{"@example.com", "busy-at-", "gone-at-", "no mailbox", "not now"} {
		if strings.Contains(s.Stderr.String(), secret) {
			t.Errorf("the log tells %q:\n%s", secret, s.Stderr)
		}
	}
}

// checkMail finds the mail of a notification and checks what its reader sees.
func checkMail(t *testing.T, mails []delivery, n notificationapi.Notification, u userapi.User, o orderapi.Order) {
	t.Helper()
	for _, d := range mails {
		m, err := mail.ReadMessage(strings.NewReader(d.message))
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Message-Id") != "<"+n.ID+"@sluice>" {
			continue
		}
		body, err := io.ReadAll(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		subject, says := "Welcome to our platform!", []string{"Hello " + u.Username + ", welcome to our platform!"}
		if n.Kind == notificationapi.KindOrderConfirmation {
			subject, says = "Your order "+o.ID, []string{u.Username, o.ID, "2 x p-1 at 19.99 EUR", "Total: 39.98 EUR"}
		}
		if got := m.Header.Get("Subject"); got != subject {
			t.Errorf("subject %q, not %q", got, subject)
		}
		text := strings.ReplaceAll(string(body), "=\r\n", "") // soft line breaks of quoted-printable
		for _, want := range says {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in the body:\n%s", want, text)
			}
		}
		if n.Kind == notificationapi.KindWelcome && strings.TrimSpace(text) != says[0] {
			t.Errorf("the welcome says more:\n%s", text)
		}
		to, err := m.Header.AddressList("To")
		if err != nil || len(to) != 1 || to[0].Address != u.Email || d.from != "shop@example.com" || !strings.Contains(m.Header.Get("From"), "The Shop") {
			t.Errorf("from %s %s to %v, %v", d.from, m.Header.Get("From"), to, err)
		}
		if m.Header.Get("Sluice-Correlation-Id") == "" || m.Header.Get("Date") == "" {
			t.Errorf("a header is missing: %v", m.Header)
		}
		return
	}
	t.Errorf("no mail has the id of %s", n.ID)
}
