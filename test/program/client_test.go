package program_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-json-experiment/json"

	"sluice/test/program"
)

// seen is a request as a gateway gets it.
type seen struct {
	Header http.Header
	Body   string
}

// gateway answers each request with what it got.
func gateway(t *testing.T) program.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.MarshalWrite(w, seen{r.Header, string(body)})
		}
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return program.Client{URL: server.URL, Token: "mine"}
}

func TestWhatAClientSends(t *testing.T) {
	t.Parallel()
	c := gateway(t)
	for name, row := range map[string]struct {
		client        program.Client
		body          any
		header        []string
		authorization []string
		contentType   []string
		want          string
	}{
		"nothing":               {client: c, authorization: []string{"Bearer mine"}},
		"a value":               {client: c, body: map[string]int{"n": 1}, authorization: []string{"Bearer mine"}, contentType: []string{"application/json"}, want: `{"n":1}`},
		"text as it is":         {client: c, body: `{"n":`, authorization: []string{"Bearer mine"}, contentType: []string{"application/json"}, want: `{"n":`},
		"empty text":            {client: c, body: "", authorization: []string{"Bearer mine"}},
		"another type":          {client: c, body: "x", header: []string{"Content-Type", "text/plain"}, authorization: []string{"Bearer mine"}, contentType: []string{"text/plain"}, want: "x"},
		"by nobody":             {client: c.As("")},
		"by somebody else":      {client: c.As("theirs"), authorization: []string{"Bearer theirs"}},
		"with another token":    {client: c, header: []string{"Authorization", "Basic x"}, authorization: []string{"Basic x"}},
		"with an empty token":   {client: c, header: []string{"Authorization", ""}, authorization: []string{""}},
		"with two of one token": {client: c, header: []string{"Authorization", "a", "Authorization", "b"}, authorization: []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got seen
			row.client.Do(t, http.MethodPost, "/", row.body, row.header...).Into(t, http.StatusOK, &got)
			for header, want := range map[string][]string{"Authorization": row.authorization, "Content-Type": row.contentType} {
				if has := got.Header[header]; len(has) != len(want) || len(want) > 0 && has[0] != want[0] {
					t.Errorf("%s is %q, not %q", header, has, want)
				}
			}
			if got.Body != row.want {
				t.Errorf("the body is %q, not %q", got.Body, row.want)
			}
		})
	}
}
