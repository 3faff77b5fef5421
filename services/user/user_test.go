package user

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/user/userapi"
)

func TestRegister(t *testing.T) {
	t.Parallel()
	ada := userapi.Created{UserID: "u-1", Username: "ada", Email: "ada@example.com", Timestamp: time.Unix(1, 0).UTC()}
	existing := apply(userapi.User{}, event.Event{Type: "user.created", Subject: "u-1", Version: 1}, ada)
	if want := (userapi.User{ID: "u-1", Username: "ada", Email: "ada@example.com", CreatedAt: ada.Timestamp, Version: 1}); !reflect.DeepEqual(existing, want) {
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
		if c.code == "" && (len(then) != 1 || !reflect.DeepEqual(then[0], event.Data(c.when))) || c.code != "" && len(then) > 0 {
			t.Errorf("%s: then %v", c.name, then)
		}
	}
}

// What happens to a user after it came into being.
func TestLife(t *testing.T) {
	t.Parallel()
	at := time.Unix(2, 0).UTC()
	ada := userapi.User{ID: "u-1", Username: "ada", Email: "ada@example.com", Version: 1}
	gone := apply(ada, event.Event{Type: "user.erased", Subject: "u-1", Version: 2}, userapi.Erased{UserID: "u-1", Timestamp: at})
	if !reflect.DeepEqual(gone, userapi.User{Version: 2}) {
		t.Errorf("an erased user is %+v", gone)
	}
	changed := userapi.Changed{UserID: "u-1", Username: "ada", Email: "ada@example.org", Timestamp: at}
	if now := apply(ada, event.Event{Type: "user.changed", Subject: "u-1", Version: 2}, changed); now.Email != changed.Email || now.ID != ada.ID || now.Version != 2 {
		t.Errorf("a changed user is %+v", now)
	}
	move := func(username, email string) func(userapi.User) ([]event.Data, error) {
		return func(u userapi.User) ([]event.Data, error) { return change(u, username, email, at) }
	}
	admin := apply(ada, event.Event{Type: "user.roles-changed", Subject: "u-1", Version: 2}, userapi.RolesChanged{UserID: "u-1", Roles: []auth.Role{auth.Admin}, Timestamp: at})
	if !slices.Equal(admin.Roles, []auth.Role{auth.Admin}) || admin.Username != "ada" || admin.Version != 2 {
		t.Errorf("an admin is %+v", admin)
	}
	roles := func(roles ...auth.Role) func(userapi.User) ([]event.Data, error) {
		return func(u userapi.User) ([]event.Data, error) { return grant(u, roles, at) }
	}
	forget := func(u userapi.User) ([]event.Data, error) { return erase(u, at) }
	for _, c := range []struct {
		name  string
		given userapi.User
		when  func(userapi.User) ([]event.Data, error)
		then  event.Data
		code  endpoint.Code
	}{
		{"new e-mail", ada, move("", "ada@example.org"), changed, ""},
		{"both", ada, move("eve", "e@example.org"), userapi.Changed{UserID: "u-1", Username: "eve", Email: "e@example.org", Timestamp: at}, ""},
		{"no news", ada, move("ada", ""), nil, ""},
		{"bad name", ada, move("a@b", ""), nil, endpoint.CodeInvalid},
		{"change nobody", userapi.User{}, move("eve", ""), nil, endpoint.CodeNotFound},
		{"change the erased", gone, move("eve", ""), nil, endpoint.CodeNotFound},
		{"new role", ada, roles(auth.Operator), userapi.RolesChanged{UserID: "u-1", Roles: []auth.Role{auth.Operator}, Timestamp: at}, ""},
		{"roles in order, each once", ada, roles(auth.Operator, auth.Admin, auth.Operator), userapi.RolesChanged{UserID: "u-1", Roles: []auth.Role{auth.Admin, auth.Operator}, Timestamp: at}, ""},
		{"the roles it has", admin, roles(auth.Admin), nil, ""},
		{"no role any more", admin, roles(), userapi.RolesChanged{UserID: "u-1", Timestamp: at}, ""},
		{"no role", ada, roles("emperor"), nil, endpoint.CodeInvalid},
		{"a role for nobody", userapi.User{}, roles(auth.Admin), nil, endpoint.CodeNotFound},
		{"a role for the erased", gone, roles(auth.Admin), nil, endpoint.CodeNotFound},
		{"erase", ada, forget, userapi.Erased{UserID: "u-1", Timestamp: at}, ""},
		{"erase twice", gone, forget, nil, ""},
		{"erase nobody", userapi.User{}, forget, nil, endpoint.CodeNotFound},
	} {
		then, err := c.when(c.given)
		if endpoint.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.then == nil && len(then) > 0 || c.then != nil && (len(then) != 1 || !reflect.DeepEqual(then[0], c.then)) {
			t.Errorf("%s: then %v", c.name, then)
		}
	}
}

func TestClaimsFollowNames(t *testing.T) {
	t.Parallel()
	c := claims{key: []byte("key")}
	ada := userapi.User{ID: "u-1", Username: "ada", Email: "ada@example.com"}
	if moved := c.transfer(ada, "ADA", ""); len(moved) != 0 {
		t.Errorf("another spelling moves %v", moved)
	}
	moved := c.transfer(ada, "", "eve@example.com")
	if len(moved) != 2 || !moved[0].Release || moved[0].Hash != c.email(ada.Email).Hash || moved[1] != c.email("eve@example.com") {
		t.Errorf("another address moves %v", moved)
	}
	if all := c.release(ada); len(all) != 2 || !all[0].Release || !all[1].Release {
		t.Errorf("the end releases %v", all)
	}
}
