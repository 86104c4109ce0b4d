package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagValue is the value of every flag that takes one. Flags are defined by the functions below, not by
// pflag's, so that flagError reports an invalid value as
//
//	-c, --connections: want a whole number from 0 to 1000000, got -5
//	--at: want a server's name or HOST:PORT, got a:0: port "0" is not a number from 1 to 65535
type flagValue struct {
	text string // the default, then the value given
	kind string // placeholder for the value in help
	want string // the accepted values, as the error says after "want"
	set  func(text string) bool
}

// reasonedValue is a flagValue whose error also says why a value is invalid.
type reasonedValue struct {
	*flagValue
	why func(text string) error // nil if the value is valid
}

// String implements pflag.Value.
func (v *flagValue) String() string { return v.text }

// Type implements pflag.Value.
func (v *flagValue) Type() string { return v.kind }

// Set implements pflag.Value.
func (v *flagValue) Set(text string) error {
	text = strings.TrimPrefix(text, signMark)
	if !v.set(text) {
		return errors.New("want " + v.want)
	}
	v.text = text
	return nil
}

// define adds the flag. A flagName is a long name, or "c/connections" with a short one in front.
func (v *flagValue) define(s *pflag.FlagSet, flagName, usage string) {
	short, name, ok := strings.Cut(flagName, "/")
	if !ok {
		short, name = "", flagName
	}
	s.VarP(v, name, short, usage)
}

// wholeFlag defines a flag for an integer from least to most. A default of 0 is not shown; usage says what
// it means.
func wholeFlag(s *pflag.FlagSet, p *int, name string, def, least, most int, usage string) {
	*p = def
	limits := fmt.Sprintf("from %d to %d", least, most)
	v := &flagValue{strconv.Itoa(def), "int", "a whole number " + limits, func(text string) bool {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return false
		}
		*p = n
		return true
	}}
	v.define(s, name, limited(usage, limits))
}

// numberFlag defines a flag for 0, the default, or a number from least to most. The number may end in
// suffix. Zero is what help says about the value 0.
func numberFlag(s *pflag.FlagSet, p *float64, name, suffix string, least, most float64, usage, zero string) {
	limits := "from " + formatNumber(least) + " to " + formatNumber(most)
	want := "a number " + limits + ", or 0"
	if suffix != "" {
		want += ", as 100" + suffix
	}
	v := &flagValue{"0", "float", want, func(text string) bool {
		f, ok := parseNumber(strings.TrimSuffix(text, suffix), least, most)
		if !ok {
			f, ok = parseNumber(text, 0, 0)
		}
		if ok {
			*p = f
		}
		return ok
	}}
	v.define(s, name, usage+", "+limits+"; 0 for "+zero)
}

// parseNumber reads a decimal number from least to most. NaN, infinities and Go's other notations are
// not accepted.
func parseNumber(text string, least, most float64) (f float64, ok bool) {
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && strings.Trim(text, "0123456789+-.eE") == "" && f >= least && f <= most
}

func formatNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// durationFlag defines a flag for a duration from least to most. A default below least is not shown; usage
// says what it means.
func durationFlag(s *pflag.FlagSet, p *time.Duration, name string, def, least, most time.Duration, usage string) {
	*p = def
	limits := "from " + formatDuration(least) + " to " + formatDuration(most)
	shownDefault := formatDuration(def)
	if def < least {
		shownDefault = ""
	}
	v := &flagValue{shownDefault, "duration", "a duration " + limits + ", as 10s", func(text string) bool {
		d, err := time.ParseDuration(text)
		if err != nil || d < least || d > most {
			return false
		}
		*p = d
		return true
	}}
	v.define(s, name, limited(usage, limits))
}

// limited inserts limits into a flag's usage, before its parentheses if it has any.
func limited(usage, limits string) string {
	usage, rest, ok := strings.Cut(usage, " (")
	if ok {
		rest = " (" + rest
	}
	return usage + ", " + limits + rest
}

// formatDuration formats a duration without zero units, such as 1000h.
func formatDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if cut, ok := strings.CutSuffix(text, zero); ok {
			text = cut + zero[:1]
		}
	}
	return text
}

// textFlag defines a flag for a string that is not empty. Want describes it, such as "a file".
func textFlag(s *pflag.FlagSet, p *string, name, def, want, usage string) {
	checkedFlag(s, p, name, def, want, usage, func(text string) bool { return text != "" })
}

// checkedFlag defines a flag for a string that ok accepts.
func checkedFlag(s *pflag.FlagSet, p *string, name, def, want, usage string, ok func(text string) bool) {
	*p = def
	v := &flagValue{def, "string", want, func(text string) bool {
		if !ok(text) {
			return false
		}
		*p = text
		return true
	}}
	v.define(s, name, usage)
}

// reasonedFlag defines a flag for a string. Check returns why one is invalid.
func reasonedFlag(s *pflag.FlagSet, p *string, name, want, usage string, check func(text string) error) {
	v := &flagValue{"", "string", want, func(text string) bool {
		*p = text
		return check(text) == nil
	}}
	s.Var(&reasonedValue{v, check}, name, usage)
}

// choiceFlag defines a flag for one of several words, with shell completion.
func choiceFlag(c *cobra.Command, p *string, name, def string, all []string, usage string) {
	want := "one of " + strings.Join(all, ", ")
	checkedFlag(c.Flags(), p, name, def, want, usage, func(text string) bool { return slices.Contains(all, text) })
	complete(c, name, cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp))
}

// listFlag defines a flag that may be repeated. Ok must accept each value.
func listFlag(s *pflag.FlagSet, p *[]string, name, want, usage string, ok func(text string) bool) {
	v := &flagValue{"", "strings", want, func(text string) bool {
		if !ok(text) {
			return false
		}
		*p = append(*p, text)
		return true
	}}
	v.define(s, name, usage)
}

// complete registers the shell completion of a flag's value.
func complete(c *cobra.Command, flag string, how cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, how); err != nil {
		panic(err) // no such flag
	}
}

// flagLabel is a flag's name in messages.
func flagLabel(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand + ", --" + f.Name
	}
	return "--" + f.Name
}

// flagError is the error for an invalid flag: its name, the accepted values and the value given.
func flagError(c *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	text := err.Error()
	switch {
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		value := strings.TrimPrefix(invalid.GetValue(), signMark)
		text = flagLabel(f) + ": want " + wanted(f)
		switch v := f.Value.(type) {
		case *secretValue:
			text += fmt.Sprintf(": %v", v.why(value))
		case *reasonedValue:
			text += fmt.Sprintf(", got %s: %v", shown(value), v.why(value))
		default:
			text += ", got " + shown(value)
		}
	case errors.As(err, &missing):
		f := missing.GetFlag()
		text = flagLabel(f) + ": want " + wanted(f) + ", got nothing"
	}
	text = writtenToken.ReplaceAllString(text, "${1}[redacted]")
	return usage("%s; see %s --help", text, c.CommandPath())
}

// wanted describes the values that a flag accepts. Flags not defined here are booleans.
func wanted(f *pflag.Flag) string {
	switch v := f.Value.(type) {
	case *flagValue:
		return v.want
	case *reasonedValue:
		return v.want
	case *secretValue:
		return v.want
	}
	return "true or false"
}

// shown quotes a value for a message if it is empty or has spaces, quotes or unprintable characters. It
// truncates long values.
func shown(text string) string {
	const most = 64
	odd := func(r rune) bool { return r == ' ' || r == '"' || r == unicode.ReplacementChar || !unicode.IsPrint(r) }
	switch {
	case len(text) > most:
		return strconv.Quote(text[:most]) + "..."
	case text == "" || strings.ContainsFunc(text, odd):
		return strconv.Quote(text)
	}
	return text
}
