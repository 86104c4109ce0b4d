package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// walkFlags calls f for every flag of every command, including hidden ones.
func walkFlags(c *cobra.Command, f func(c *cobra.Command, flag *pflag.Flag)) {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	_ = c.ParseFlags(nil) // adds the flags of parents
	c.Flags().VisitAll(func(flag *pflag.Flag) { f(c, flag) })
	for _, sub := range c.Commands() {
		walkFlags(sub, f)
	}
}

// flagKinds lists the values of TestFlagValues that each kind of flag accepts. Numbers and durations accept
// 0 if the help says so.
var flagKinds = map[string]func(f *pflag.Flag, value string) bool{
	"bool":     func(_ *pflag.Flag, value string) bool { return value == "0" },
	"int":      acceptsZero,
	"float":    acceptsZero,
	"uint":     func(_ *pflag.Flag, value string) bool { return value == "0" || value == "10" },
	"seconds":  func(_ *pflag.Flag, value string) bool { return value == "10" },
	"duration": func(f *pflag.Flag, value string) bool { return value == "0" && acceptsZero(f, value) },
	"string":   func(_ *pflag.Flag, value string) bool { return value != "" },
	"strings":  func(_ *pflag.Flag, value string) bool { return value != "" },
}

var zero = regexp.MustCompile(`from 0s? |; 0 for `)

func acceptsZero(f *pflag.Flag, value string) bool {
	return value == "10" || value == "0" && zero.MatchString(f.Usage)
}

// narrow are string flags that accept only some values of TestFlagValues, or none.
var narrow = map[string]string{
	"dialect": "", "engine": "", "provider": "", "mix": "", "find-max": "", "fail-if": "", "idle": "0 10",
	"slow-readers": "0 10", "columns": "", "prefix": allWords, "write": allWords, "token": strings.ReplaceAll(allWords, "\x1b[31m ", ""),
}

// allWords are the values without white space.
var allWords = "-5 -0.5 -5s word 10 0 NaN nan% Inf -Inf +Inf/s 1e999 99999999999999999999999 0x10 1_0 \x1b[31m 日本 " + strings.Repeat("9", 100)

// Every flag rejects invalid values with the same form of message: the flag, the accepted values, and the
// value given. Errors of the underlying parsers do not show.
func TestFlagValues(t *testing.T) {
	leaks := regexp.MustCompile(`strconv|Parse|time:|parse|invalid|\\x00|\x00`)
	n := 0
	walkFlags(newRoot(), func(c *cobra.Command, f *pflag.Flag) {
		if c.DisableFlagParsing {
			return
		}
		n++
		_, ours := f.Value.(*flagValue)
		reasoned, hasReason := f.Value.(*reasonedValue)
		secret, isSecret := f.Value.(*secretValue)
		if isSecret {
			reasoned, hasReason = secret.reasonedValue, true
		}
		ours = ours || hasReason
		isBool := f.Value.Type() == "bool"
		if !ours && !isBool {
			t.Errorf("%s --%s is not made by flags.go", c.CommandPath(), f.Name)
			return
		}
		for _, value := range []string{
			"", "-5", "-0.5", "-5s", "word", "10", "0", "NaN", "nan%", "Inf", "-Inf", "+Inf/s", "1e999", "99999999999999999999999",
			"0x10", "1_0", "5 s", "\x1b[31m", "日本", strings.Repeat("9", 100),
		} {
			accepted := flagKinds[f.Value.Type()](f, value)
			if some, ok := narrow[f.Name]; ok {
				accepted = value != "" && strings.Contains(" "+some+" ", " "+value+" ") || value == "" && f.Name == "write"
			}
			forms := [][]string{{"--" + f.Name + "=" + value}}
			if !isBool {
				forms = append(forms, []string{"--" + f.Name, value})
			}
			if f.Shorthand != "" && value != "" { // to pflag the value of -c= is "="
				forms = append(forms, []string{"-" + f.Shorthand + "=" + value})
			}
			if f.Shorthand != "" && !isBool {
				forms = append(forms, []string{"-" + f.Shorthand, value})
			}
			for _, form := range forms {
				err := c.ParseFlags(escapeNegatives(form))
				if accepted {
					if got := f.Value.String(); err != nil || got != value && !isBool && !isSecret || isSecret && got != "" {
						t.Errorf("%s %q: %v, the value is %q", c.CommandPath(), form, err, got)
					}
					continue
				}
				if err == nil {
					t.Errorf("%s %q is accepted", c.CommandPath(), form)
					continue
				}
				want, reason := flagLabel(f)+": want ", ""
				if hasReason {
					reason = fmt.Sprintf(": %v", reasoned.why(value))
				}
				got := flagError(c, err).Error()
				if isSecret { // without the value
					if want += "a token" + reason + "; see " + c.CommandPath() + " --help"; got != want {
						t.Errorf("%s %q: %q, want %q", c.CommandPath(), form, got, want)
					}
					continue
				}
				if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, ", got "+shown(value)+reason+"; see "+c.CommandPath()+" --help") ||
					strings.Contains(got, "\n") || leaks.MatchString(got) {
					t.Errorf("%s %q: %q", c.CommandPath(), form, got)
				}
			}
		}
	})
	if n < 80 {
		t.Errorf("%d flags found", n)
	}
}

// Flags without a value, and arguments that look like flags.
func TestFlagsWithoutValue(t *testing.T) {
	for line, want := range map[string]string{
		"load -c":                          "-c, --connections: want a whole number from 0 to 1000000, got nothing; see herd load --help",
		"load -c -5":                       "-c, --connections: want a whole number from 0 to 1000000, got -5; see herd load --help",
		"status --config":                  "--config: want a file, got nothing; see herd status --help",
		"load --warmup 5":                  "--warmup: want a duration from 0s to 1000h, as 10s, got 5; see herd load --help",
		"load --churn NaN":                 "--churn: want a number from 0.001 to 100000, or 0, as 100/s, got NaN; see herd load --help",
		"iamat kiwi +1+1 --at :":           "--at: want a server's name or HOST:PORT, got :: port \"\" is not a number from 1 to 65535; see herd iamat --help",
		"places 1,2 --columns site":        "--columns: want names as name=site,lat=site_lat,lng=site_lon, got site: no = in site; see herd places --help",
		"places 1,2 --columns ort=b":       "--columns: want names as name=site,lat=site_lat,lng=site_lon, got ort=b: unknown column \"ort\"; columns are name, lat, lng, types, vicinity; see herd places --help",
		"places 1,2 --columns lat=a,lat=b": "--columns: want names as name=site,lat=site_lat,lng=site_lon, got lat=a,lat=b: duplicate column lat; see herd places --help",
		"places 1,2 --columns name=":       "--columns: want names as name=site,lat=site_lat,lng=site_lon, got name=: name is empty; expected the file's name for column name; see herd places --help",
		"iamat kiwi +1+1 --at a:x":         "--at: want a server's name or HOST:PORT, got a:x: port \"x\" is not a number from 1 to 65535; see herd iamat --help",
		"iamat kiwi +1+1 --at a:0":         "--at: want a server's name or HOST:PORT, got a:0: port \"0\" is not a number from 1 to 65535; see herd iamat --help",
		"-5":                               `unknown command "-5"; see herd --help`,
		"help -5":                          `unknown command "-5"; see herd --help`,
		"completion -5":                    `no completion for "-5"; supported shells: bash, zsh, fish, powershell`,
		"completion bash -5":               "usage: herd completion bash; see herd completion bash --help",
		"config -5":                        "usage: herd config [flags]; see herd config --help",
		"load -t 0":                        "-t, --threads: want a whole number from 1 to 1024, got 0; see herd load --help",
		"load --clients 0":                 "--clients: want a whole number from 1 to 10000000, got 0; see herd load --help",
		"load --pipeline 0":                "--pipeline: want a whole number from 1 to 65536, got 0; see herd load --help",
		"load --duration 0":                "-d, --duration: want a duration from 1ms to 1000h, as 10s, got 0; see herd load --help",
		"status --at Alford":               "unknown flag: --at; see herd status --help",
		"status -x=-5":                     "unknown shorthand flag: 'x' in -x=-5; see herd status --help",
		"status --config=":                 `--config: want a file, got ""; see herd status --help`,
		"up --verbose=-5":                  "-v, --verbose: want true or false, got -5; see herd up --help",
		"iamat kiwi +1+1 --token":          "--token: want a token, got nothing; see herd iamat --help",
		"iamat kiwi +1+1 --token a\x00b":   "--token: want a token: the token contains white space or a control character; see herd iamat --help",
		"iamat kiwi +1+1 -token=herd_1":    "unknown shorthand flag: 't' in -token=[redacted]; see herd iamat --help",
		"load -token=herd_1":               "-t, --threads: want a whole number from 1 to 1024, got oken=[redacted]; see herd load --help",
		"places 1,2 --provider bing":       "--provider: want one of embedded, file, google, google-legacy, got bing; see herd places --help",
	} {
		var out, errOut bytes.Buffer
		code := run(strings.Split(line, " "), strings.NewReader(""), &out, &errOut)
		if code != exitUsage || errOut.String() != "herd: "+want+"\n" || out.Len() > 0 {
			t.Errorf("herd %s: exit code %d, %q, want %q", line, code, &errOut, want)
		}
	}
}
