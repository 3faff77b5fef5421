package gateway

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

func TestSettingsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	read := func(environ ...string) (Settings, error) {
		c := config.Compose(config.Part{Name: "gateway", Settings: Service.Settings})
		_, err := config.Load(c, config.Sources{Environ: environ})
		return config.PartOf[Settings](c, "gateway"), err
	}
	defaults, err := read()
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{Sessions: Rate{PerSecond: 10, Burst: 50}}.withDefaults()
	if !reflect.DeepEqual(defaults, want) || want.Timeout != 10*time.Second {
		t.Errorf("%+v, want %+v", defaults, want)
	}
	got, err := read("SLUICE_GATEWAY_TIMEOUT=3s", "SLUICE_GATEWAY_MAX_BODY=2MiB", "SLUICE_GATEWAY_MAX_HEADER=8KiB", "SLUICE_GATEWAY_MAX_CONNECTIONS=7",
		"SLUICE_GATEWAY_TLS_CERT=c", "SLUICE_GATEWAY_TLS_KEY=k", "SLUICE_GATEWAY_CORS_ORIGINS=https://a.example,https://b.example",
		"SLUICE_GATEWAY_TRUSTED_PROXIES=10.0.0.0/8,::1/128", "SLUICE_GATEWAY_CLIENT_RATE=2.5", "SLUICE_GATEWAY_CLIENT_BURST=9",
		"SLUICE_GATEWAY_ROUTES=POST /v1/orders=50:100,GET /v1/orders/{id}=0.5", "SLUICE_GATEWAY_SESSIONS_RATE=0")
	if err != nil {
		t.Fatal(err)
	}
	want.Timeout, want.MaxBody, want.MaxHeader, want.MaxConnections = 3*time.Second, 2<<20, 8<<10, 7
	want.TLS, want.CORS.Origins = TLS{"c", "k"}, []string{"https://a.example", "https://b.example"}
	want.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	want.Client, want.Sessions.PerSecond = Rate{PerSecond: 2.5, Burst: 9}, 0
	want.Routes = []RouteLimit{{"POST /v1/orders", Rate{50, 100}}, {"GET /v1/orders/{id}", Rate{PerSecond: 0.5}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	for _, wrong := range []string{
		"SLUICE_GATEWAY_TIMEOUT=soon", "SLUICE_GATEWAY_TIMEOUT=1ms", "SLUICE_GATEWAY_MAX_BODY=-1", "SLUICE_GATEWAY_MAX_CONNECTIONS=0", "SLUICE_GATEWAY_TLS_CERT=c",
		"SLUICE_GATEWAY_CORS_ORIGINS=shop.example", "SLUICE_GATEWAY_TRUSTED_PROXIES=everybody", "SLUICE_GATEWAY_CLIENT_RATE=-1",
		"SLUICE_GATEWAY_ROUTES=/v1/orders=5", "SLUICE_GATEWAY_ROUTES=POST /v1/orders=0", "SLUICE_GATEWAY_ROUTES=POST /v1/orders=1:x",
	} {
		if got, err := read(wrong); err == nil {
			t.Errorf("%s: %+v", wrong, got)
		} else if !strings.Contains(err.Error(), "environment SLUICE_GATEWAY_") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
