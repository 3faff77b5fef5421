package flows_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/services/notification/notificationapi"
	"sluice/services/user/userapi"
	"sluice/streams"
	"sluice/test/program"
)

func TestPasswordsAreNowhere(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const planted = "planted-Zr7#qLw!"
	name := fresh("ada")
	key := []string{endpoint.HeaderIdempotencyKey, fresh("key")}
	address := name + "@example.com"
	var u userapi.User
	a := s.Do(t, http.MethodPost, "/v1/users", userBody(name, address, planted), key...)
	a.Into(t, http.StatusCreated, &u)
	answers := []program.Answer{a, s.Do(t, http.MethodPost, "/v1/users", userBody(name, address, planted+"2"), key...)}
	for _, body := range []string{
		userBody(name, "other@example.com", planted),
		userBody("", "", planted),
		userBody(fresh("x"), "no address", planted),
		userBody(fresh("x"), fresh("x")+"@example.com", strings.Repeat(planted, 20)),
		`{"password":"` + planted + `",`,
		`{"password":"` + planted + `","password":"` + planted + `"}`,
		`{"password":["` + planted + `"]}`,
		`{"passwort":"` + planted + `"}`,
	} {
		answers = append(answers, s.Do(t, http.MethodPost, "/v1/users", body))
	}
	for _, a := range answers {
		if strings.Contains(a.Body, planted) {
			t.Errorf("an answer tells the password: %s", a.Body)
		}
		for header, values := range a.Header {
			if strings.Contains(strings.Join(values, " "), planted) {
				t.Errorf("the header %s tells the password", header)
			}
		}
	}
	for _, login := range []userapi.AuthenticateRequest{{Login: name, Password: planted}, {Login: address, Password: planted}} {
		if got, err := call(t, s, userapi.Authenticate, login); err != nil || got.ID != u.ID {
			t.Errorf("authenticate: %v", err)
		}
	}
	for _, login := range []userapi.AuthenticateRequest{{Login: name, Password: planted + "3"}, {Login: "nobody", Password: planted}} {
		if _, err := call(t, s, userapi.Authenticate, login); endpoint.CodeOf(err) != endpoint.CodeUnauthenticated || strings.Contains(err.Error(), planted) {
			t.Errorf("authenticate with a wrong login: %v", err)
		}
	}
	s.notified(t, u.ID, notificationapi.StatusSent, 1)

	hashes := make(map[string]int)
	names := s.JS.StreamNames(t.Context())
	for stream := range names.Name() {
		for _, m := range s.stored(t, stream) {
			hash := bytes.Contains(m.Data, []byte("$argon2"))
			if hash && stream != "KV_"+streams.BucketPasswords {
				t.Errorf("%s has a hash", m.Subject)
			}
			if hash {
				hashes[m.Subject]++
			}
			for header, values := range m.Header {
				if joined := strings.Join(values, " "); strings.Contains(joined, planted) || strings.Contains(joined, "$argon2") {
					t.Errorf("%s of %s tells the password", header, m.Subject)
				}
			}
		}
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	if mine := hashes["$KV."+streams.BucketPasswords+"."+u.ID]; mine != 1 || len(hashes) != 2 { // the other is the admin's
		t.Errorf("the hashes are %v", hashes)
	}
	s.NC.Close()
	s.Stop(t)
	forms := [][]byte{[]byte(planted), []byte(base64.StdEncoding.EncodeToString([]byte(planted)))[:16], []byte(hex.EncodeToString([]byte(planted)))}
	for _, form := range forms {
		if strings.Contains(s.Stderr.String(), string(form)) {
			t.Error("the log tells the password")
		}
	}
	if strings.Contains(s.Stderr.String(), address) || strings.Contains(s.Stderr.String(), name) {
		t.Error("the log tells the name or the address")
	}
	files := 0
	err := filepath.WalkDir(s.Data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		for _, form := range forms {
			if bytes.Contains(content, form) {
				t.Errorf("%s holds the password", path)
			}
		}
		return err
	})
	if err != nil || files < 10 {
		t.Fatalf("looked into %d files: %v", files, err)
	}
}
