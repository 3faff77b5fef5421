package user

import (
	"strings"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/user/userapi"
)

func TestRegister(t *testing.T) {
	t.Parallel()
	ada := userapi.Created{UserID: "u-1", Username: "ada", Email: "ada@example.com", Timestamp: time.Unix(1, 0).UTC()}
	existing := apply(userapi.User{}, event.Event{Type: "user.created", Subject: "u-1", Version: 1}, ada)
	if want := (userapi.User{ID: "u-1", Username: "ada", Email: "ada@example.com", CreatedAt: ada.Timestamp, Version: 1}); existing != want {
		t.Errorf("the user is %+v, want %+v", existing, want)
	}
	unnamed, unreachable := ada, ada
	unnamed.Username, unreachable.Email = " ", "ada"
	for _, c := range []struct {
		name  string
		given userapi.User
		when  userapi.Created
		code  endpoint.Code
		field string
	}{
		{"nobody", userapi.User{}, ada, "", ""},
		{"exists", existing, ada, endpoint.CodeConflict, "id"},
		{"bad name", userapi.User{}, unnamed, endpoint.CodeInvalid, "username"},
		{"bad address", userapi.User{}, unreachable, endpoint.CodeInvalid, "email"},
	} {
		then, err := register(c.given, c.when)
		if endpoint.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), "("+c.field+" ") {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.code == "" && (len(then) != 1 || then[0] != event.Data(c.when)) || c.code != "" && len(then) > 0 {
			t.Errorf("%s: then %v", c.name, then)
		}
	}
}
