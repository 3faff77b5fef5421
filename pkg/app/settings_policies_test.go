package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/pkg/app"
	"sluice/pkg/endpoint"
	"sluice/pkg/resilience"
)

// called are the endpoints that the services of a program call.
func called() []endpoint.Spec {
	method := func(service, name string) endpoint.Spec {
		return endpoint.Method[struct{}, struct{}]{Service: service, Name: name, Auth: endpoint.Public}.Spec()
	}
	return []endpoint.Spec{method("user", "get"), method("user", "list"), method("stock-keeping", "take-out"), method("mail", "send")}
}

// callers returns a program whose services hand out their policies.
func callers(own map[string]resilience.Config, environ ...string) (app.Program, map[string]chan *resilience.Set) {
	p := app.Program{Groups: groups(), Endpoints: called(), Environ: environ}
	sets := make(map[string]chan *resilience.Set)
	for _, name := range []string{"order", "gateway"} {
		sets[name] = make(chan *resilience.Set, 1)
		p.Services = append(p.Services, app.Service{Name: name, Run: func(ctx context.Context, env app.Env) error {
			set, err := env.Policies(own, endpoint.Hooks(env.Log))
			if err != nil {
				return err
			}
			sets[name] <- set
			return env.Run(ctx)
		}})
	}
	return p, sets
}

var errDown = errors.New("down")

// breaker returns after how many failures a policy refuses calls, and for how long.
func breaker(t *testing.T, set *resilience.Set, service, name string) string {
	t.Helper()
	for n := range 50 {
		_, err := resilience.Do(t.Context(), set.For(service, name), func(context.Context) (int, error) { return 0, errDown })
		if refused, ok := errors.AsType[*resilience.RefusedError](err); ok {
			return fmt.Sprintf("%s: %d, %s", refused.Policy, n, refused.RetryAfter.Round(time.Second))
		}
	}
	return "none"
}

func TestPoliciesAreConfigured(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sluice.tsk")
	const content = `
[policies.default]
breaker { failures: 9, recovery: 90s }
[policies.user]
breaker { recovery: 20s }
[policies.user.get]
breaker { failures: 4 }
[gateway.policies.user.get]
breaker { failures: 2 }
[gateway.policies.default]
breaker { failures: 7 }
`
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p, sets := callers(map[string]resilience.Config{
		"user":     {Breaker: resilience.Breaker{Failures: 3, Recovery: 10 * time.Second}},
		"user.get": {Breaker: resilience.Breaker{Failures: 6}},
		"mail":     {Breaker: resilience.Breaker{Failures: 8}},
	},
		"SLUICE_POLICIES_MAIL_SEND_BREAKER_FAILURES=5", "SLUICE_GATEWAY_POLICIES_MAIL_BREAKER_RECOVERY=40s",
		"SLUICE_POLICIES_STOCK_KEEPING_TAKE_OUT_BREAKER_FAILURES=1", "SLUICE_POLICIES_DEFAULT_BREAKER_RECOVERY=80s")
	run := launch(t, p, map[string]string{"SLUICE_CONFIG": file}, "--data", t.TempDir())
	run.ready(t)
	order, gateway := <-sets["order"], <-sets["gateway"]
	for _, c := range []struct {
		set           *resilience.Set
		service, name string
		want          string
	}{
		{order, "user", "list", "user: 3, 20s"},
		{order, "user", "get", "user.get: 4, 20s"},
		{order, "mail", "send", "mail.send: 5, 1m20s"},
		{order, "mail", "other", "mail: 8, 1m20s"},
		{order, "stock-keeping", "take-out", "stock-keeping.take-out: 1, 1m20s"},
		{order, "stock-keeping", "health", "stock-keeping: 9, 1m20s"},
		{order, "elsewhere", "get", "elsewhere: 9, 1m20s"},
		{gateway, "user", "get", "user.get: 2, 20s"},
		{gateway, "user", "list", "user: 3, 20s"},
		{gateway, "mail", "send", "mail.send: 5, 40s"},
		{gateway, "elsewhere", "get", "elsewhere: 7, 1m20s"},
	} {
		if got := breaker(t, c.set, c.service, c.name); got != c.want {
			t.Errorf("calls of %s.%s: %s, want %s", c.service, c.name, got, c.want)
		}
	}
	run.stop()
	if code := run.exit(t); code != 0 {
		t.Errorf("it ended with %d: %s", code, run.stderr)
	}
	if log := run.stderr.String(); !strings.Contains(log, "circuit breaker changed") || !strings.Contains(log, "policy=user.get") {
		t.Errorf("the log says nothing of breakers: %s", log)
	}
}

func TestPoliciesAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content, variable string
		want              []string
	}{
		"unknown target":               {"[policies.usr]\ntimeout: 1s\n", "", []string{`sluice.tsk:1:11: policies.usr: there is no service "usr" to call; there are mail, stock-keeping, user and default`}},
		"unknown endpoint":             {"[policies.user.gett]\ntimeout: 1s\n", "", []string{`sluice.tsk:1:16: policies.user.gett: there is no setting and no endpoint "gett"`}},
		"endpoint of the default":      {"[policies.default.get]\ntimeout: 1s\n", "", []string{`sluice.tsk:1:19: policies.default.get: there is no setting and no endpoint "get"`}},
		"unknown setting":              {"[policies.user]\ntimeot: 1s\n", "", []string{`sluice.tsk:2:1: policies.user: "timeot" is not a known setting; did you mean timeout?`}},
		"unknown setting in a block":   {"[policies.user]\nbreaker { failure: 1 }\n", "", []string{`sluice.tsk:2:11: policies.user.breaker: "failure" is not a known setting; did you mean failures?`}},
		"wrong type":                   {"[policies.user.get]\nretry { attempts: \"many\" }\n", "", []string{`sluice.tsk:2:19: policies.user.get.retry.attempts`}},
		"nonsense, all of it":          {"[policies.user]\ntimeout: -1s\nretry { attempts: 11 }\n[policies.mail.send]\nbreaker { rate: 2 }\n", "", []string{`timeout is -1s`, `retry.attempts is 11 and must be from 1 to 10`, `breaker.rate is 2`}},
		"unknown caller":               {"[ordr.policies.user]\ntimeout: 1s\n", "", []string{`sluice.tsk:1:2: "ordr" is not a known setting; did you mean order?`}},
		"unknown target of a caller":   {"[order.policies.usr]\ntimeout: 1s\n", "", []string{`sluice.tsk:1:17: order.policies.usr: there is no service "usr" to call`}},
		"unknown section of a caller":  {"[order.policy.user]\ntimeout: 1s\n", "", []string{`order: "policy" is not a known setting`}},
		"nonsense with the rest of it": {"[policies.user]\ntimeout: 1s\nbreaker { patience: 2s }\n", "", []string{`order: configuration: policy "user": breaker.patience is 2s and must be at most the time of an attempt`}},
		"unknown variable":             {"", "SLUICE_POLICIES_USR_TIMEOUT=1s", []string{`environment SLUICE_POLICIES_USR_TIMEOUT: is not a known setting`}},
		"unknown setting of a target":  {"", "SLUICE_POLICIES_USER_TIMEOT=1s", []string{`environment SLUICE_POLICIES_USER_TIMEOT: is not a known setting`}},
		"unknown variable of a caller": {"", "SLUICE_ORDER_POLICIES_USER_GETT_TIMEOUT=1s", []string{`environment SLUICE_ORDER_POLICIES_USER_GETT_TIMEOUT: is not a known setting`}},
		"unknown variable of a group":  {"", "SLUICE_GROUPS_D_RATE=1", []string{`environment SLUICE_GROUPS_D_RATE: is not a known setting`}},
		"nonsense in a variable":       {"", "SLUICE_POLICIES_USER_BREAKER_FAILURES=few", []string{`environment SLUICE_POLICIES_USER_BREAKER_FAILURES: policies.user.breaker.failures: "few" is not a whole number`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "sluice.tsk")
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			p, _ := callers(nil, c.variable)
			run := launch(t, p, nil, "--data", t.TempDir(), "--config", file)
			line := run.fails(t)
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("it said %q and nothing of %q", line, want)
				}
			}
		})
	}
}
