package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/view"
	"serverherd/herd/access"
	"serverherd/protocol"
)

// tokenFlags are the flags of herd token.
type tokenFlags struct {
	read, console, operate, add, json bool

	write   string        // a prefix; it may be empty
	writes  bool          // --write was given
	expires time.Duration // 0: never
}

func newToken(o *options) *cobra.Command {
	f := &tokenFlags{}
	c := &cobra.Command{
		Use:   "token [NAME]",
		Short: "Make a token with rights, or list those of the tokens file",
		Long: "Make a token with at least one right. It is printed once: the tokens file has\n" +
			"only its hash. The rights are those of --read, --write, --console and --operate.\n" +
			"NAME is a letter and up to 31 letters, digits, _ or -, and stands in logs and\n" +
			"in the reply to TOKEN.\n\n" +
			"The first line of standard output is the token, the second one is its line for\n" +
			"the file that [clients] tokens of herd.toml names. --add appends that line to\n" +
			"the file, which it creates if need be, and only the token is printed. Servers\n" +
			"that have the file read it again by herd reload, or at SIGHUP; others need a\n" +
			"restart. To revoke a token, remove its line and reload.\n\n" +
			"PREFIX is compared byte by byte: fleet7 is also the beginning of fleet70, so\n" +
			"end it as in fleet7/. --write '' is every client.\n\n" +
			"Without a NAME, the tokens of the file are listed, without their hashes.",
		Example: "  herd token fleet7 --write fleet7/ --expires 30d\n" +
			"  herd token grafana --console --json\n" +
			"  herd token me --read --write '' --console --add\n" +
			"  herd token --json",
		Args:              arguments(0, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			f.writes = c.Flags().Changed("write")
			if len(args) == 0 {
				for _, name := range []string{"read", "write", "console", "operate", "expires", "add"} {
					if c.Flags().Changed(name) {
						return usage("--%s needs the NAME of a new token; see %s --help", name, c.CommandPath())
					}
				}
				return f.list(c, o)
			}
			return f.make(c, o, args[0])
		},
	}
	c.Flags().BoolVar(&f.read, "read", false, "may ask where every client is (WHATSAT)")
	reasonedFlag(c.Flags(), &f.write, "write", "the beginning of client ids",
		"may update the clients whose id begins with `PREFIX` (IAMAT); '' for all", checkPrefix)
	c.Flags().BoolVar(&f.console, "console", false, "may read all that a console shows")
	c.Flags().BoolVar(&f.operate, "operate", false, "may change something by a console")
	life := &flagValue{"", "duration", "a time from 1s to " + strconv.Itoa(maxDays) + "d, as 1h or 30d", func(text string) bool {
		d, ok := parseLife(text)
		f.expires = d
		return ok
	}}
	life.define(c.Flags(), "expires", "for how long it is valid, from 1s to "+strconv.Itoa(maxDays)+"d, as 1h or 30d (default: until its line is removed)")
	complete(c, "write", cobra.NoFileCompletions)
	complete(c, "expires", cobra.NoFileCompletions)
	c.Flags().BoolVar(&f.add, "add", false, "append its line to the tokens file, and print only the token")
	c.Flags().BoolVar(&f.json, "json", false, "print a JSON object, or an array of the tokens of the file")
	return c
}

// checkPrefix returns why no token can have a prefix.
func checkPrefix(prefix string) error {
	switch {
	case prefix == "":
		return nil
	case !utf8.ValidString(prefix):
		return errors.New("it is not UTF-8")
	}
	return protocol.CheckClientID([]byte(prefix))
}

// maxDays bounds --expires.
const maxDays = 3650

// parseLife parses a duration, also in whole days.
func parseLife(text string) (d time.Duration, ok bool) {
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil && n > 0 && n <= maxDays
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= time.Second && d <= maxDays*24*time.Hour
}

// rights are those of the flags.
func (f *tokenFlags) rights() (r access.Right) {
	for right, has := range map[access.Right]bool{
		access.Read: f.read, access.Write: f.writes, access.Console: f.console, access.Operate: f.operate,
	} {
		if has {
			r |= right
		}
	}
	return r
}

// make makes a token.
func (f *tokenFlags) make(c *cobra.Command, o *options, name string) error {
	if !protocol.ValidName(name) {
		return usage("%s is not a name for a token: want a letter and up to 31 letters, digits, _ or -", shown(name))
	}
	t := access.Token{Name: name, Rights: f.rights(), Prefix: f.write}
	if t.Rights == 0 {
		return usage("%s needs at least one right: --read, --write PREFIX ('' for every client), --console, --operate", name)
	}
	if f.expires > 0 { // not before: the file has whole seconds
		t.Expires = time.Now().Add(f.expires + time.Second - 1).Truncate(time.Second).UTC()
	}
	cfg, err := o.load()
	if err != nil {
		return err
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, says crypto/rand
	text := access.New(random)
	t.Hash = access.Hash([]byte(text))
	file := tokensFile(cfg.Clients.Tokens)
	notes := direct(c.ErrOrStderr())
	switch {
	case f.add && file == "":
		fmt.Fprint(notes, noTokensFile)
		return errFailed
	case f.add:
		err = file.add(&t)
	case file != "":
		err = file.check(&t)
	}
	if err != nil {
		return err
	}
	if err := f.print(c.OutOrStdout(), &t, text, file); err != nil {
		if f.add {
			err = fmt.Errorf("%w: nobody knows the token now; remove the line of %s from %s", err, name, file)
		}
		return err
	}
	if !f.json {
		fmt.Fprint(notes, f.notes(&t, file))
	}
	if file == "" {
		fmt.Fprint(notes, noTokensFile)
	}
	return nil
}

// newTokenJSON is the output of herd token NAME --json.
type newTokenJSON struct {
	tokenJSON
	Token string `json:"token"`
	Line  string `json:"line"`           // of the tokens file
	File  string `json:"file,omitempty"` // that [clients] tokens of herd.toml names
	Added bool   `json:"added"`          // the line is in the file
}

// print prints a new token to standard output.
func (f *tokenFlags) print(out io.Writer, t *access.Token, text string, file tokensFile) error {
	line := strings.TrimSuffix(t.Line(), "\n")
	if f.json {
		return printJSON(out, newTokenJSON{listed(t, time.Now()), text, line, string(file), f.add})
	}
	text += "\n"
	if !f.add {
		text += line + "\n"
	}
	_, err := io.WriteString(out, text)
	return err
}

// notes says what was printed, and what to do with it.
func (f *tokenFlags) notes(t *access.Token, file tokensFile) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "herd: "+format+"\n", args...) }
	may := strings.Replace(t.Rights.String(), "write", "write ("+prefixCell(t)+")", 1)
	until := "until its line is removed"
	if !t.Expires.IsZero() {
		until = "until " + t.Expires.Local().Format("2006-01-02 15:04:05 MST")
	}
	what := "the first line is the token"
	if f.add {
		what = "the token"
	}
	line("%s of %s: %s, %s; it cannot be shown again", what, t.Name, may, until)
	const reload = "`herd reload` makes servers read it; a server that was started without tokens needs a restart"
	switch {
	case f.add:
		line("its line is in %s; %s", view.OneLine(string(file)), reload)
	case file != "":
		line("the second line is for %s, see --add; %s", view.OneLine(string(file)), reload)
	default:
		line("the second line is for the tokens file")
	}
	return b.String()
}

// noTokensFile says how to name a tokens file.
// #nosec G101 -- it is a text about tokens and has none
const noTokensFile = `herd: herd.toml names no tokens file, so no server knows a token. Write into it,
and restart the servers:

    [clients]
    tokens = "tokens.toml"

`

// tokenJSON is one token of herd token --json.
type tokenJSON struct {
	Name    string     `json:"name"`
	Rights  []string   `json:"rights"`
	Prefix  *string    `json:"prefix,omitempty"` // with the right write
	Expires *time.Time `json:"expires,omitempty"`
	Expired bool       `json:"expired"`
}

func listed(t *access.Token, now time.Time) tokenJSON {
	j := tokenJSON{Name: t.Name, Rights: strings.Split(t.Rights.String(), ", "), Expired: t.Expired(now)}
	if t.May(access.Write) {
		j.Prefix = &t.Prefix
	}
	if !t.Expires.IsZero() {
		j.Expires = &t.Expires
	}
	return j
}

// list lists the tokens of the file.
func (f *tokenFlags) list(c *cobra.Command, o *options) error {
	cfg, err := o.load()
	if err != nil {
		return err
	}
	file := tokensFile(cfg.Clients.Tokens)
	if file == "" {
		fmt.Fprint(direct(c.ErrOrStderr()), noTokensFile)
		return errFailed
	}
	tokens, err := readTokens(string(file))
	if errors.Is(err, fs.ErrNotExist) {
		return &exitError{exitFailed, string(file) + " does not exist; herd token NAME --add creates it"}
	}
	if err != nil {
		return err
	}
	now := time.Now()
	if f.json {
		all := []tokenJSON{}
		for _, t := range tokens.All() {
			all = append(all, listed(t, now))
		}
		return printJSON(c.OutOrStdout(), all)
	}
	return printTokens(direct(c.OutOrStdout()), tokens.All(), now)
}

// printTokens prints a table.
func printTokens(out io.Writer, all []*access.Token, now time.Time) error {
	rows := [][]string{}
	for _, t := range all {
		prefix, expires := "-", "never"
		if t.May(access.Write) {
			prefix = prefixCell(t)
		}
		switch {
		case t.Expired(now):
			expires = "expired"
		case !t.Expires.IsZero():
			expires = "in " + view.Duration(t.Expires.Sub(now))
		}
		rows = append(rows, []string{t.Name, t.Rights.String(), expires, prefix})
	}
	columns := []view.Column{{Head: "NAME"}, {Head: "RIGHTS"}, {Head: "EXPIRES"}, {Head: "WRITES"}}
	_, err := io.WriteString(out, strings.Join(view.Table(columns, rows, nil), "\n")+"\n")
	return err
}

// prefixCell is what a token may write, for a table or a note.
func prefixCell(t *access.Token) string {
	const most = 60 // columns
	if t.Prefix == "" {
		return "all clients"
	}
	return view.Cell(t.Prefix+"...", most)
}

// hasName reports whether a token has a name.
func hasName(tokens *access.Tokens, name string) bool {
	return slices.ContainsFunc(tokens.All(), func(t *access.Token) bool { return t.Name == name })
}
