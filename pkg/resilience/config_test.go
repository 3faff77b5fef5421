package resilience_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/pkg/resilience"
)

// Over knows every field there is.
func TestOneConfigOverAnother(t *testing.T) {
	t.Parallel()
	var under, over resilience.Config
	n := fill(reflect.ValueOf(&under).Elem(), 1)
	fill(reflect.ValueOf(&over).Elem(), 100)
	if n < 18 {
		t.Fatalf("there are %d fields", n)
	}
	if got := (resilience.Config{}).Over(under); got != under {
		t.Errorf("nothing over %+v is %+v", under, got)
	}
	if got := over.Over(under); got != over {
		t.Errorf("%+v over it is %+v", over, got)
	}
	some := resilience.Config{Timeout: time.Second, Breaker: resilience.Breaker{Failures: -1}}
	got := some.Over(under)
	if got.Timeout != time.Second || got.Breaker.Failures != -1 || got.Retry != under.Retry || got.Breaker.Recovery != under.Breaker.Recovery {
		t.Errorf("some fields over it are %+v", got)
	}
}

// fill gives every field another value and returns how many there are.
func fill(v reflect.Value, from int) int {
	n := 0
	for _, f := range v.Fields() {
		switch f.Kind() {
		case reflect.Struct:
			n += fill(f, from+n)
		case reflect.Float64:
			f.SetFloat(float64(from + n))
			n++
		default:
			f.SetInt(int64(from + n))
			n++
		}
	}
	return n
}

// A part of the settings is not held against what the rest may be.
func TestAPartIsValidByItself(t *testing.T) {
	t.Parallel()
	for _, part := range []resilience.Config{
		{Breaker: resilience.Breaker{Patience: time.Hour}},
		{Retry: resilience.Retry{MaxBackoff: time.Millisecond}},
	} {
		if err := part.ValidateFields(); err != nil {
			t.Errorf("%+v: %v", part, err)
		}
		if part.Validate() == nil {
			t.Errorf("%+v is taken for a whole", part)
		}
	}
	err := resilience.Config{Timeout: -1, Retry: resilience.Retry{Attempts: 11}}.ValidateFields()
	if err == nil || !strings.Contains(err.Error(), "timeout is -1ns and must be from 0s to 24h") || !strings.Contains(err.Error(), "retry.attempts is 11 and must be from 1 to 10") {
		t.Errorf("got %v", err)
	}
}
