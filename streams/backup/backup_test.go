package main

import (
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"sluice/streams"
)

// Whoever adds a stream decides whether it is backed up, and when.
func TestEveryStreamIsDecidedOn(t *testing.T) {
	t.Parallel()
	set, err := streams.Load("user", "order", "notification", "registry")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, s := range set.Streams {
		declared = append(declared, s.Name)
		if slices.Contains(kept, s.Name) == isDerived(s.Name) {
			t.Errorf("stream %s is kept: %t; derived: %t", s.Name, slices.Contains(kept, s.Name), isDerived(s.Name))
		}
	}
	for _, name := range slices.Concat(kept, derived) {
		if !slices.Contains(declared, name) {
			t.Errorf("there is no stream %s", name)
		}
	}
}

// What is taken away once it is done with is taken before where that is recorded, and
// how far groups are before everything.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"KV_reactions", "DEADLETTERS"},
		{"DEADLETTERS", "ORDERS_INTAKE"},
		{"DEADLETTERS", "USERS_INTAKE"},
		{"ORDERS_INTAKE", "ORDERS"},
		{"USERS_INTAKE", "USERS"},
		{"TIMERS", "ORDERS"},
		{"ORDERS", "NOTIFICATIONS"},
		{"USERS", "NOTIFICATIONS"},
		{"USERS", "KV_passwords"},
		{"KV_signing-keys", "KV_keys"},
	} {
		if slices.Index(kept, pair[0]) >= slices.Index(kept, pair[1]) {
			t.Errorf("%s is not taken before %s", pair[0], pair[1])
		}
	}
}

func TestDerived(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"KV_orders": true, "KV_orders-g1": true, "KV_orders-v2-g10": true, "KV_order-snapshots": true,
		"KV_ordersx": false, "KV_orders-x": false, "ORDERS": false, "KV_keys": false,
	} {
		if isDerived(name) != want {
			t.Errorf("%s is derived: %t", name, !want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                 "say take, check or restore",
		"take":             "which folder?",
		"restore -replace": "which folder?",
		"drop x":           "none of take, check and restore",
		"-nats= take x":    "-nats is empty",
		"-nats /nowhere/nats take " + path.Join(t.TempDir(), "x"): "no such file",
		"check " + t.TempDir(): "no whole backup: it has no manifest.json",
	} {
		err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
