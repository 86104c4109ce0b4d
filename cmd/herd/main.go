package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/hangup"
	"serverherd/cmd/herd/view"
	"serverherd/herd/config"
)

// Exit codes. A command that a signal interrupts exits with 128 plus the signal's number, as shells report
// it.
const (
	exitFailed = 1 // a reply was "? " or "> ", a server could not be reached, or a check failed
	exitUsage  = 2
	exitSignal = 128
)

// exitError ends the program with an exit code. A text that is not empty goes to standard error.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

// usage returns the error for an invalid command line.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Sprintf(format, args...)}
}

// untilSignal returns a context that SIGINT or SIGTERM cancels, with an exitError as its cause. A second
// signal exits immediately.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s, ok := <-signals
		if !ok {
			return
		}
		cancel(&exitError{exitSignal + int(s.(syscall.Signal)), "interrupted"})
		if s = anotherSignal(signals); s != nil {
			os.Exit(exitSignal + int(s.(syscall.Signal)))
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel(nil)
	}
}

// oneSignal is the time within which signals count as one: timeout(1) signals a process, and then its
// process group.
const oneSignal = 250 * time.Millisecond

// anotherSignal waits for a signal that is not a repetition of one just received (see oneSignal). It
// returns nil when signals is closed.
func anotherSignal(signals <-chan os.Signal) os.Signal {
	begun := time.Now()
	for s := range signals {
		if time.Since(begun) >= oneSignal {
			return s
		}
	}
	return nil
}

// errFailed is a failure that has been printed already.
var errFailed = &exitError{code: exitFailed}

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run executes a command line and returns the exit code.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(escapeNegatives(args))
	root.SetIn(in)
	stdout, stderr := newOutput(out), newOutput(errOut)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteC()
	if err == nil {
		err = stdout.err // from a writer that ignores errors, such as help
	}
	if err == nil {
		return 0
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{exitFailed, err.Error()}
		if strings.HasPrefix(e.text, "unknown command") {
			e = &exitError{exitUsage, strings.TrimSpace(e.text) + "; see herd --help"}
			err = e
		}
	}
	if e.text != "" {
		printed := printError(stderr, err)
		if command.Name() == serveName || command.Name() == upName {
			waitFor(printed, outputWait) // the caller waits for the exit code, not for the text
		} else {
			<-printed
		}
	}
	return e.code
}

// printError writes an error as one line, unless it has lines to write into herd.toml. It does so in a goroutine,
// because the output may be blocked. The channel is closed when it is written.
func printError(w io.Writer, err error) (printed <-chan struct{}) {
	text := oneLine(err.Error())
	if _, ok := errors.AsType[*config.Advice](err); ok {
		text = view.Escape(strings.TrimSpace(err.Error()))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fmt.Fprintf(w, "herd: %s\n", text)
	}()
	return done
}

// waitFor waits until done is closed, or for timeout at most.
func waitFor(done <-chan struct{}, timeout time.Duration) {
	select {
	case <-done:
	case <-time.After(timeout):
	}
}

// A negative number, such as a southern latitude, looks like a flag. escapeNegatives puts signMark in front
// of such arguments before the flag parser sees them; unescape removes it.
const signMark = "\x00"

var signed = regexp.MustCompile(`^-\.?\d`)

func escapeNegatives(args []string) []string {
	all := make([]string, len(args))
	for i, a := range args {
		if signed.MatchString(a) {
			a = signMark + a
		}
		all[i] = a
	}
	return all
}

func unescape(args []string) []string {
	for i, a := range args {
		args[i] = strings.TrimPrefix(a, signMark)
	}
	return args
}

// help lists the commands in the order in which newRoot adds them.
func init() { cobra.EnableCommandSorting = false }

// newRoot returns the root command.
func newRoot() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "herd",
		Short: "A replicated cache of client locations, served by a herd of servers",
		Example: "  herd up\n" +
			"  herd iamat kiwi.cs.ucla.edu +34.068930-118.445127 --at Alford\n" +
			"  herd whatsat kiwi.cs.ucla.edu 10 5 --at Ball",
		SilenceErrors: true, SilenceUsage: true,
		Args: func(c *cobra.Command, args []string) error {
			if unescape(args); len(args) > 0 {
				return unknownCommand(c, args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if c.Name() != serveName && c.Name() != upName {
				hangup.Default()
			}
			return o.readToken(c)
		},
	}
	textFlag(root.PersistentFlags(), &o.config, "config", "", "a file",
		"configuration `file` (else $HERD_CONFIG, else ./herd.toml)")
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80"))
	root.AddCommand(
		newUp(o), newServe(o),
		newIamat(o), newWhatsat(o), newSend(o), newShell(o), newPing(o),
		newTop(o), newStatus(o), newReady(o), newReload(o), newLogLevel(o), newTrace(o), newClient(o), newWatch(o), newExport(o),
		newPlaces(o), newConfig(o), newToken(o), newCert(o), newDemo(o), newLoad(o), newStudy(), newVersion(),
	)
	built := thisBuild()
	root.Version = built.Version
	root.SetVersionTemplate(built.String())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		// --help runs before arguments are checked and has no other way to report an error.
		if out, ok := c.OutOrStdout().(*output); ok && c.HasSubCommands() {
			if err := c.ValidateArgs(c.Flags().Args()); err != nil {
				out.err = err
				return
			}
		}
		help(c, args)
	})
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Run, c.RunE = nil, helpAbout
		case "completion":
			for _, shell := range c.Commands() {
				shell.Args = arguments(0, 0)
			}
			c.Args = func(_ *cobra.Command, args []string) error {
				if unescape(args); len(args) > 0 {
					return usage("no completion for %q; supported shells: bash, zsh, fish, powershell", args[0])
				}
				return nil
			}
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	return root
}

// unknownCommand is the error for a name that is no command, with the names that are like it.
func unknownCommand(root *cobra.Command, name string) error {
	root.SuggestionsMinimumDistance = 2
	text := ";"
	if like := root.SuggestionsFor(name); len(like) > 0 && unicode.IsLetter(rune(name[0])) {
		text = "; did you mean " + strings.Join(like, " or ") + "?"
	}
	return usage("unknown command %q%s see herd --help", name, text)
}

// helpAbout prints the help of a command.
func helpAbout(c *cobra.Command, args []string) error {
	about, rest, err := c.Root().Find(unescape(args))
	if err != nil || len(rest) > 0 {
		return unknownCommand(c.Root(), strings.Join(args, " "))
	}
	about.InitDefaultHelpFlag()
	return about.Help()
}

// arguments checks the number of arguments and unescapes them. A negative most means no limit.
func arguments(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		unescape(args)
		if len(args) < least || most >= 0 && len(args) > most {
			return usage("usage: %s; see %s --help", c.UseLine(), c.CommandPath())
		}
		return nil
	}
}
