package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

type natsPart struct {
	URL address `doc:"Where the server is." env:"NATS_URL"`
}

// address is text of which a part is secret.
type address string

func (a address) Redacted() string { return strings.Replace(string(a), "hunter2", "xxxxx", 1) }

type topPart struct {
	Data string `doc:"Where files go."`
	NATS natsPart
}

// Validate finds fault with two settings wherever they come from.
func (p topPart) Validate() error {
	var errs []error
	if p.Data == "nowhere" {
		errs = append(errs, config.At(errors.New("is no folder"), "data"))
	}
	if p.NATS.URL == "bad" {
		errs = append(errs, config.At(errors.New("is no address"), "nats", "url"))
	}
	return errors.Join(errs...)
}

type orderPart struct {
	Pending time.Duration `doc:"For a payment."`
}

func (p orderPart) Validate() error {
	if p.Pending < 0 {
		return config.At(errors.New("is negative"), "pending")
	}
	return nil
}

type callsPart struct {
	Policies map[string]policy `doc:"By target."`
}

func (p callsPart) Validate() error {
	for name := range p.Policies {
		if name == "nobody" {
			return config.At(errors.New("is nobody to call"), "policies", name)
		}
	}
	return nil
}

func composed() *config.Composite {
	return config.Compose(
		config.Part{Settings: topPart{Data: "./data"}},
		config.Part{Name: "order", Doc: "Of the order service.", Settings: orderPart{Pending: time.Minute}},
		config.Part{Name: "order", Settings: callsPart{}},
		config.Part{Name: "user", Settings: callsPart{}})
}

// loadComposed loads a file into the composite.
func loadComposed(t *testing.T, file string, environ ...string) (*config.Composite, *config.Loaded, error) {
	t.Helper()
	c := composed()
	dir := folderOf(t, map[string]string{"sluice.tsk": file})
	loaded, err := config.Load(c, config.Sources{Path: dir + "/sluice.tsk", Environ: environ, Strict: true})
	return c, loaded, err
}

func TestSettingsAreMadeOfParts(t *testing.T) {
	t.Parallel()
	c, loaded, err := loadComposed(t, "data: \"d\"\n[order]\npending: 2m\n[order.policies.user]\ntimeout: 3s\n[user.policies.mail]\ntimeout: 4s",
		"NATS_URL=nats://me:hunter2@host:4222", "SLUICE_ORDER_PENDING=")
	if err != nil {
		t.Fatal(err)
	}
	if top := config.PartOf[topPart](c, ""); top.Data != "d" || top.NATS.URL != "nats://me:hunter2@host:4222" {
		t.Errorf("at the top: %+v", top)
	}
	if got := config.PartOf[orderPart](c, "order").Pending; got != 2*time.Minute {
		t.Errorf("a variable that is empty made the duration %s", got)
	}
	if order, user := config.PartOf[callsPart](c, "order").Policies, config.PartOf[callsPart](c, "user").Policies; order["user"].Timeout != 3*time.Second ||
		user["mail"].Timeout != 4*time.Second || len(order)+len(user) != 2 {
		t.Errorf("%+v, %+v", order, user)
	}
	if got := originOf(t, loaded, "nats.url"); got != "environment NATS_URL" {
		t.Errorf("the address comes from %s", got)
	}
	var printed strings.Builder
	if err := loaded.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed.String(), `# url: "nats://me:xxxxx@host:4222"`) || strings.Contains(printed.String(), "hunter2") {
		t.Error(printed.String())
	}
}

func TestTheFirstNameOfAVariableWins(t *testing.T) {
	t.Parallel()
	for environ, want := range map[string]address{
		"NATS_URL=a SLUICE_NATS_URL=b": "b", "NATS_URL=a": "a", "NATS_URL=": "file", "SLUICE_NATS_URL=": "", "NATS_URL=a SLUICE_NATS_URL=": "",
	} {
		c, _, err := loadComposed(t, "[nats]\nurl: \"file\"", strings.Fields(environ)...)
		if err != nil {
			t.Fatal(err)
		}
		if got := config.PartOf[topPart](c, "").NATS.URL; got != want {
			t.Errorf("%s: %q, not %q", environ, got, want)
		}
	}
}

// Everything that is wrong is shown where it stands, whichever part finds it.
func TestPartsSayWhereTheirProblemIs(t *testing.T) {
	t.Parallel()
	_, _, err := loadComposed(t, "data: \"nowhere\"\n[order]\npending: -1s\n[order.policies.nobody]\ntimeout: 3s\n[user]\npolicies {\n  nobody { timeout: 1s }\n}",
		"NATS_URL=bad", "SLUICE_NATS_ULR=x", "SLUICE_ORDER_SERVICE_HOST=10.0.0.1", "SLUICE_ORDER_PORT_80_TCP=tcp://10.0.0.1:80", "SLUICE_OTHER=x", "SLUICE_DATA2=x")
	const want = `sluice.tsk:1:7: data: is no folder
sluice.tsk:3:10: order.pending: is negative
sluice.tsk:4:17: order.policies.nobody: is nobody to call
sluice.tsk:8:3: user.policies.nobody: is nobody to call
environment NATS_URL: nats.url: is no address
environment SLUICE_NATS_ULR: is not a known setting; did you mean SLUICE_NATS_URL?
`
	if got := messages(t, err); got != want {
		t.Errorf("want\n%s\ngot\n%s", want, got)
	}
}

func TestAPartIsAStructOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]config.Part{
		"nothing":      {{Name: "a"}},
		"no struct":    {{Name: "a", Settings: 1}},
		"same section": {{Name: "a", Settings: orderPart{}}, {Name: "a", Settings: orderPart{}}},
		"same path":    {{Settings: topPart{}}, {Name: "nats", Settings: orderPart{}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			config.Compose(parts...)
		}()
	}
	defer func() {
		if recover() == nil {
			t.Error("a part that is not there was found")
		}
	}()
	config.PartOf[natsPart](composed(), "order")
}
