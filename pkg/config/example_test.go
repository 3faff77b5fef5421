package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sluice/pkg/config"
)

func Example() {
	type Settings struct {
		HTTP struct {
			Address string        `doc:"Where the gateway listens."`
			Timeout time.Duration `doc:"Of one request." reload:"true"`
		}
		SMTP struct {
			Password string `doc:"Of the mail server." secret:"true"`
		}
	}
	dir, err := os.MkdirTemp("", "config")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	write := func(content string) string {
		path := filepath.Join(dir, "sluice.tsk")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			fmt.Println(err)
		}
		return path
	}

	var settings Settings
	settings.HTTP.Address = "127.0.0.1:8080" // the defaults
	environ := []string{"SLUICE_HTTP_TIMEOUT=2s", "SMTP_PASSWORD=correct horse"}
	loaded, err := config.Load(&settings, config.Sources{Path: write("[smtp]\npassword: @env(\"SMTP_PASSWORD\")"), Environ: environ})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(settings.HTTP.Timeout, settings.SMTP.Password)
	for _, s := range loaded.Settings() {
		fmt.Println(s.Path, s.Value, s.Origin.Layer == config.Environment)
	}

	_, err = config.Load(&settings, config.Sources{Path: write("[http]\ntime_out: 5s\ntimeout: 5")})
	if invalid, ok := errors.AsType[*config.InvalidError](err); ok {
		for _, p := range invalid.Problems {
			fmt.Println(p.Origin.Position.Line, p.Text, p.Message)
		}
	}
	// Output:
	// 2s correct horse
	// http.address "127.0.0.1:8080" false
	// http.timeout 2s true
	// smtp.password "********" false
	// 2 time_out is not a known setting; did you mean timeout?
	// 3 5 is not a duration such as 250ms, 5s or 2m
}
