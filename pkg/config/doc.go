// Package config reads configuration: a strict subset of TuskLang (.tsk files), the
// environment and flags, into a struct, with everything that is wrong reported at
// once and the origin of each value kept.
//
//	type Settings struct {
//		LogLevel slog.Level `doc:"What is logged." reload:"true"`
//		HTTP     struct {
//			Address string        `doc:"Where the gateway listens."`
//			Timeout time.Duration `doc:"Of one request."`
//		}
//		Policies map[string]resilience.Config `doc:"By target." reload:"true"`
//		SMTP     struct {
//			Password string `doc:"Of the mail server." secret:"true"`
//		}
//	}
//
//	settings := defaults()
//	loaded, err := config.Load(&settings, config.Sources{Path: path, Environ: os.Environ()})
//
// # Settings
//
// What the struct holds before are the defaults; the file wins over them, the
// environment over the file, flags over all. The key of a field is its name in snake
// case, or what the tag config:"…" says; config:"-" is no setting, and config:"*" is a
// map that takes the blocks which no other field of its struct names. The tag doc says
// what a setting is for, secret:"true" masks it and reload:"true" says that it may
// change while the program runs; both hold for everything below. The variable of
// http.address is SLUICE_HTTP_ADDRESS; the tag env:"…" gives it a second name, which counts
// where the first is not set. A variable that is empty sets strings and lists only.
//
// A program whose parts declare their settings themselves puts them together with
// [Compose]. A method Validate() error says what makes no sense, and by [At] where.
//
// Types are string, bool, all integers and floats, [time.Duration], [Size],
// [currency.Amount] ("19.99 EUR"), [Operand], whatever implements
// [encoding.TextUnmarshaler], lists, maps with string keys, and structs. In the
// environment and in flags, lists are separated by commas; lists of structs can be set
// in files only. A list replaces the default, a map adds to it.
//
// [Loaded.Print] writes what a configuration came to, [Reference] a documented file,
// and [Diff] tells what changed. [Filter] is how a file says which events are wanted.
//
// # The language
//
//	# A comment, also behind a value.        // Another one.
//	import: "base.tsk"                       # this file wins over base.tsk
//	$region: "eu"                            # a variable, for all files
//
//	[http]                                   # a section
//	address: "127.0.0.1:8080"                # : or =
//	timeout = 5s;                            # a ; may end a line
//	hosts: [ "a.${$region}.example",         # lists go over lines; the comma is
//	         "b.${$region}.example" ]        # needed only within a line
//
//	[policies.default]                       # a section in a section
//	retry { attempts: 3, backoff: 20ms }     # a block; key: { … } is the same
//	breaker >                                # a block, too
//	    failures: 5
//	<
//
//	[smtp]
//	user: @env("SMTP_USER", "sluice")        # the environment, or a default
//	password: @file.read("smtp-password")    # a file of secrets
//	sender: ${mail.from}                     # the value of another key
//	footer: """
//	Line by line, with ${http.address}."""
//
// The grammar, where NL is the end of a line:
//
//	file      = { section | variable | import | statement | NL | ";" } .
//	section   = "[" key { "." key } "]" NL .
//	variable  = "$" name ( ":" | "=" ) value end .
//	import    = "import" ( ":" | "=" ) ( string | list ) end .   before the first section
//	statement = key ( ":" | "=" ) value end | key "{" body "}" end | key ">" body "<" end .
//	body      = { statement | NL | ";" | "," } .
//	end       = NL | ";" | in a body also "," or its closing mark .
//	key       = name | string .
//	name      = ( letter | "_" ) { letter | digit | "_" | "-" } .
//	value     = string | number | quantity | "true" | "false" | "null" | list |
//	            "{" body "}" | "$" name | "${" path "}" | env | read .
//	list      = "[" [ value { ( "," | NL ) value } [ "," ] ] "]" .
//	path      = name { "." name } | "$" name .
//	env       = "@env" "(" string [ "," value ] ")" .
//	read      = "@file.read" "(" string ")" .
//	string    = "…" with escapes and ${path} | '…' as it stands | """…""" over lines .
//	number    = as JSON writes it .
//	quantity  = numbers and units in turn: 250ms, 1h30m, 64MiB .
//
// Escapes are \n \t \r \" \' \\ \$ and \u0000. A section and a key are set once in a
// file; a statement belongs to the section above it. Strings have quotes always. A
// number is none where a string is wanted, nor the other way round; only what comes
// from @env, @file.read, the environment or a flag has the type of its setting.
//
// References are to the files' keys from the top, and to variables, after all imports;
// they see neither defaults nor the environment. A file that imports wins over what it
// imports, and of several imports the last wins. Imports stay inside the folder of the
// configuration file, and @file.read inside the folder of secrets; symbolic links do
// not lead out.
//
// Everything of TuskLang that runs, computes or reaches out is refused by name:
// @query, @exec, @http, @cache, @learn and all other calls, #directives, conditions and
// operators.
//
// # What is not promised
//
// [Load] keeps precedence itself and does not go through koanf, which copies values
// and with that loses where they come from; [Parser] is there for programs that keep
// their configuration in koanf. A secret is masked in what this package prints and left
// out of its errors, but a Validate method that quotes one is not stopped. Load reads
// files one after another: it is no snapshot of a folder that is being written.
package config
