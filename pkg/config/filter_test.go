package config_test

import (
	"cmp"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/pkg/config"
)

const order = `{"status":"pending","total":{"number":"100.10","currency":"EUR"},"count":3,"big":9007199254740993,"paid":false,"none":null,
	"tags":["new",5,true],"items":[{"quantity":2}],"large":1e400,"huge":1e99999999999999999999,"nested":{"a.b":1},"small":0.05,
	"over":10e9223372036854775807}`

func matches(t *testing.T, data string, conditions ...config.Condition) bool {
	t.Helper()
	f, err := config.Compile(conditions)
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[string]string{"source": "/services/order", "aggregateversion": "10", "empty": ""}
	return f.Match(func(name string) (string, bool) { v, ok := attributes[name]; return v, ok }, []byte(data))
}

func TestFilters(t *testing.T) {
	t.Parallel()
	text, number, boolean := config.Text, config.Number, config.Bool
	type c = config.Condition
	for _, test := range []struct {
		name string
		c    c
		want bool
	}{
		{"attribute", c{Attribute: "source", Equals: text("/services/order")}, true},
		{"another attribute", c{Attribute: "source", Equals: text("/services/user")}, false},
		{"attribute as a number", c{Attribute: "aggregateversion", Greater: number("9")}, true},
		{"attribute as text", c{Attribute: "aggregateversion", Greater: text("9")}, false},
		{"attribute is no number", c{Attribute: "source", Less: number("9")}, false},
		{"attribute that is empty", c{Attribute: "empty", Equals: text("")}, true},
		{"missing attribute", c{Attribute: "user", Equals: text("")}, false},
		{"missing attribute differs", c{Attribute: "user", NotEquals: text("x")}, false},
		{"equals", c{Data: "status", Equals: text("pending")}, true},
		{"equals not", c{Data: "status", Equals: text("Pending")}, false},
		{"differs", c{Data: "status", NotEquals: text("shipped")}, true},
		{"differs not", c{Data: "status", NotEquals: text("pending")}, false},
		{"missing field", c{Data: "state", NotEquals: text("x")}, false},
		{"null", c{Data: "none", NotEquals: text("x")}, false},
		{"below a scalar", c{Data: "status.x", NotEquals: text("x")}, false},
		{"a number that is written otherwise", c{Data: "count", Equals: number("3.00e0")}, true},
		{"money", c{Data: "total.number", Greater: number("100.09")}, true},
		{"money is equal", c{Data: "total.number", Equals: number("100.1")}, true},
		{"money is not greater", c{Data: "total.number", Greater: number("100.1")}, false},
		{"beyond floats", c{Data: "big", Equals: number("9007199254740992")}, false},
		{"beyond floats, greater", c{Data: "big", Greater: number("9007199254740992")}, true},
		{"large exponent", c{Data: "large", Greater: number("1e399")}, true},
		{"exponent beyond all", c{Data: "huge", Greater: number("1")}, false},
		{"exponent that overflows", c{Data: "over", Less: number("1")}, false},
		{"zeros behind the point", c{Data: "small", Less: number("0.3")}, true},
		{"between", c{Data: "count", Greater: number("2"), Less: number("4")}, true},
		{"not between", c{Data: "count", Greater: number("2"), Less: number("3")}, false},
		{"number and text", c{Data: "count", Equals: text("3")}, false},
		{"number and text differ", c{Data: "count", NotEquals: text("3")}, true},
		{"text is not greater than a number", c{Data: "status", Greater: number("0")}, false},
		{"false", c{Data: "paid", Equals: boolean(false)}, true},
		{"not true", c{Data: "paid", NotEquals: boolean(true)}, true},
		{"part of a string", c{Data: "status", Contains: text("end")}, true},
		{"no part", c{Data: "status", Contains: text("x")}, false},
		{"in a list", c{Data: "tags", Contains: number("5.0")}, true},
		{"truth in a list", c{Data: "tags", Contains: boolean(true)}, true},
		{"not in a list", c{Data: "tags", Contains: text("ne")}, false},
		{"into a list", c{Data: "items.0.quantity", Equals: number("2")}, true},
		{"beyond a list", c{Data: "items.1.quantity", NotEquals: number("2")}, false},
		{"no place in a list", c{Data: "items.-1.quantity", NotEquals: number("2")}, false},
		{"an object", c{Data: "total", NotEquals: text("x")}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := matches(t, order, test.c); got != test.want {
				t.Errorf("%+v: %v", test.c, got)
			}
		})
	}
}

func TestAllConditionsMustHold(t *testing.T) {
	t.Parallel()
	yes, no := config.Condition{Data: "count", Equals: config.Number("3")}, config.Condition{Data: "paid", Equals: config.Bool(true)}
	source := config.Condition{Attribute: "source", Contains: config.Text("order")}
	if !matches(t, order) || !matches(t, order, yes, source) || matches(t, order, yes, no) || matches(t, order, no, yes, source) {
		t.Error("not all of them, or not only them")
	}
	if !(config.Filter{}).Match(nil, nil) {
		t.Error("the zero value wants not all")
	}
}

func TestDataThatIsNotJSONMatchesNothing(t *testing.T) {
	t.Parallel()
	c := config.Condition{Data: "a", NotEquals: config.Text("x")}
	for _, data := range []string{"", "{", `{"a":1}{"a":1}`, `{"a":1} x`, "null", "[]", `"a"`} {
		if matches(t, data, c) {
			t.Errorf("%s matches", data)
		}
	}
	if !matches(t, ` {"a":1} `+"\n", c) {
		t.Error("space around it")
	}
}

func TestConditionsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := config.Compile([]config.Condition{
		{Attribute: "a", Equals: config.Text("")},
		{},
		{Attribute: "a", Data: "b", Greater: config.Bool(true)},
		{Data: ".a", Equals: config.Number("many")},
	})
	const want = `condition 2: a condition is about either an attribute or data
condition 2: a condition needs equals, not_equals, contains, greater or less
condition 3: a condition is about either an attribute or data
condition 3: greater and less need a number or a string
condition 4: data ".a" has an empty name between its dots
condition 4: a condition needs equals, not_equals, contains, greater or less`
	if err == nil || err.Error() != want {
		t.Error(err)
	}
}

// Numbers compare as the rationals that they are.
func TestNumbersCompareExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		form := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`)
		a, b := form.Draw(r, "a"), form.Draw(r, "b")
		if rapid.Bool().Draw(r, "the same, written otherwise") {
			whole, exponent, _ := strings.Cut(strings.ToLower(a), "e")
			if !strings.Contains(whole, ".") {
				whole += "."
			}
			b = whole + "0e" + cmp.Or(exponent, "0")
		}
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		data := `{"n":` + a + `}`
		if got := matches(t, data, config.Condition{Data: "n", Equals: config.Number(b)}); got != (x.Cmp(y) == 0) {
			r.Errorf("%s = %s: %v", a, b, got)
		}
		if got := matches(t, data, config.Condition{Data: "n", Greater: config.Number(b)}); got != (x.Cmp(y) > 0) {
			r.Errorf("%s > %s: %v", a, b, got)
		}
		if got := matches(t, data, config.Condition{Data: "n", Less: config.Number(b)}); got != (x.Cmp(y) < 0) {
			r.Errorf("%s < %s: %v", a, b, got)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	f, err := config.Compile([]config.Condition{{Attribute: "source", Equals: config.Text("/services/order")}, {Data: "total.number", Greater: config.Number("100")}})
	if err != nil {
		b.Fatal(err)
	}
	source := func(string) (string, bool) { return "/services/order", true }
	b.ReportAllocs()
	for b.Loop() {
		if !f.Match(source, []byte(`{"order_id":"0193","user_id":"0193","total":{"number":"100.10","currency":"EUR"},"items":[{"product_id":"p","quantity":2}]}`)) {
			b.Fatal("it does not match")
		}
	}
}
