package protocol

import "fmt"

// Dialect is the form of replies to clients.
type Dialect uint8

const (
	// Paper ends each reply with an empty line, gives reasons, and closes the connection on quit.
	Paper Dialect = iota
	// CS131 is the course specification that the paper implements: the reply to an IAMAT is one line, and a line
	// that cannot be answered is repeated behind "? ".
	CS131
)

var dialectNames = [...]string{Paper: "paper", CS131: "cs131"}

// ParseDialect returns the dialect with a name, paper or cs131.
func ParseDialect(name string) (Dialect, error) {
	for d, n := range dialectNames {
		if n == name {
			return Dialect(d), nil
		}
	}
	return 0, fmt.Errorf("unknown dialect %q, expected one of: paper, cs131", name)
}

// String returns the dialect's name.
func (d Dialect) String() string { return dialectNames[d] }

// QuitCloses reports whether the server closes the connection on quit.
func (d Dialect) QuitCloses() bool { return d == Paper }

// end appends the terminator of a reply.
func (d Dialect) end(dst []byte) []byte {
	if d == Paper {
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// echo appends "? " and the line, see Redact.
func echo(dst, line []byte) []byte { return append(append(dst, "? "...), Redact(line)...) }

// AppendAck appends the reply to an IAMAT.
func (d Dialect) AppendAck(dst []byte, r Record) []byte { return d.end(r.AppendAT(dst)) }

// AppendUnknown appends the reply to an unknown command.
func (d Dialect) AppendUnknown(dst, line []byte) []byte { return d.end(echo(dst, line)) }

// AppendSyntaxError appends the reply to a known command with bad fields.
func (d Dialect) AppendSyntaxError(dst, line []byte, reason error) []byte {
	if d == Paper {
		dst = append(appendReason(dst, reason.Error()), '\n')
	}
	return d.end(echo(dst, line))
}

// AppendRefusal appends the reply to a valid command that cannot be executed.
func (d Dialect) AppendRefusal(dst, line []byte, reason error) []byte {
	if d == Paper {
		return d.end(appendReason(dst, reason.Error()))
	}
	return d.end(echo(dst, line))
}

func appendReason(dst []byte, reason string) []byte {
	return append(append(dst, "> "...), reason...)
}

// AppendWhatsat appends the reply to a WHATSAT: the AT line, and on the next line what places appends. json is
// that second part of reply.
func (d Dialect) AppendWhatsat(dst, at []byte, places func(dst []byte) []byte) (reply, json []byte) {
	dst = append(append(dst, at...), '\n')
	start := len(dst)
	dst = places(dst)
	end := len(dst)
	dst = append(dst, '\n', '\n')
	return dst, dst[start:end:end]
}

// helpText lists the commands as the paper's prototype does.
const helpText = `Available commands:
> IAMAT [client_id] [client_position] [client_time]
> WHATSAT [client_id] [radius] [bound]
> help
> quit`

// AppendHelp appends the reply to help.
func (d Dialect) AppendHelp(dst, line []byte) []byte {
	if d == Paper {
		return d.end(append(dst, helpText...))
	}
	return d.end(echo(dst, line))
}

// welcome is the beginning of the reply to a TOKEN.
const welcome = "Welcome"

// AppendWelcome appends the reply to a TOKEN that is valid; in CS131 nothing.
func (d Dialect) AppendWelcome(dst []byte, name string) []byte {
	if d == Paper {
		return d.end(appendReason(dst, welcome+" "+name))
	}
	return dst
}

// AppendGoodbye appends the reply to quit.
func (d Dialect) AppendGoodbye(dst, line []byte) []byte {
	if d == Paper {
		return d.end(appendReason(dst, goodbye))
	}
	return d.end(echo(dst, line))
}

// AppendLineTooLong appends the last reply to a client whose line is longer than max bytes. prefix is the
// beginning of the line.
func (d Dialect) AppendLineTooLong(dst, prefix []byte, max int) []byte {
	if d == Paper {
		return d.end(appendReason(dst, lineTooLong(max).Error()))
	}
	return d.end(echo(dst, prefix))
}

// AppendFull appends the reply to a connection beyond the maximum; in CS131 nothing.
func (d Dialect) AppendFull(dst []byte) []byte { return d.AppendFinal(dst, errServerFull) }

// AppendFinal appends a reason that is sent before a disconnect and does not answer a line; in CS131 nothing.
func (d Dialect) AppendFinal(dst []byte, reason error) []byte {
	if d == Paper {
		return d.end(appendReason(dst, reason.Error()))
	}
	return dst
}
