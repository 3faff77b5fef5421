package live_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/services/gateway/live"
)

// FuzzRequest asks for anything from anywhere. The answer is yes or says what is wrong.
func FuzzRequest(f *testing.F) {
	w := start(f, live.Config{Total: 1 << 20, PerCaller: 1 << 20})
	for _, seed := range []struct{ query, last string }{
		{"subject=note.*.*", ""},
		{"subject=note.*.*", "NOTES=1"},
		{"subject=task.done.t&subject=note.*.a", "NOTES=0,TASKS=1"},
		{"subject=note.*.*", "NOTES=0"},
		{"subject=note.%ff.*", "\x00"},
		{"subject=note..", "NOTES="},
		{"&&=&;", ",,,"},
		{"subject", "=1"},
		{"subject=note.*.*&last_event_id=NOTES%3D1", " NOTES=1 , TASKS=1"},
		{"subject=note.*.%2a", "notes=1"},
		{"subject=nöte.*.*", "NOTES=1,"},
	} {
		f.Add(seed.query, seed.last)
	}
	f.Fuzz(func(t *testing.T, query, last string) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodHead, "/v1/events", nil)
		req.URL.RawQuery = query
		req.Header["Authorization"] = []string{"Bearer operator"}
		req.Header["Last-Event-Id"] = []string{last}
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, req)
		if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}
