package protocol

import "fmt"

// Dialect is the form of the replies to clients.
type Dialect uint8

const (
	// Paper ends each reply with one empty line, gives reasons, and quits on request.
	Paper Dialect = iota
	// CS131 is the course specification that the paper implements, for its graders: an AT
	// acknowledgement is one line, and whatever cannot be answered is "? " and the line.
	CS131
)

var dialectNames = [...]string{Paper: "paper", CS131: "cs131"}

// ParseDialect finds a dialect by its name, paper or cs131.
func ParseDialect(name string) (Dialect, error) {
	for d, n := range dialectNames {
		if n == name {
			return Dialect(d), nil
		}
	}
	return 0, fmt.Errorf("dialect %q is neither \"paper\" nor \"cs131\"", name)
}

// String is the dialect's name.
func (d Dialect) String() string { return dialectNames[d] }

// QuitCloses says whether the server closes the connection on quit.
func (d Dialect) QuitCloses() bool { return d == Paper }

// end appends the end of a reply of which the last line is complete.
func (d Dialect) end(dst []byte) []byte {
	if d == Paper {
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// echo appends "? " and the line.
func echo(dst, line []byte) []byte { return append(append(dst, "? "...), line...) }

// AppendAck appends the reply to an IAMAT.
func (d Dialect) AppendAck(dst []byte, r Record) []byte { return d.end(r.AppendAT(dst)) }

// AppendUnknown appends the reply to a line that is no command.
func (d Dialect) AppendUnknown(dst, line []byte) []byte { return d.end(echo(dst, line)) }

// AppendSyntaxError appends the reply to a known command with bad fields.
func (d Dialect) AppendSyntaxError(dst, line []byte, reason error) []byte {
	if d == Paper {
		dst = append(appendReason(dst, reason.Error()), '\n')
	}
	return d.end(echo(dst, line))
}

// AppendRefusal appends the reply to a good command that cannot be answered.
func (d Dialect) AppendRefusal(dst, line []byte, reason error) []byte {
	if d == Paper {
		return d.end(appendReason(dst, reason.Error()))
	}
	return d.end(echo(dst, line))
}

func appendReason(dst []byte, reason string) []byte {
	return append(append(dst, "> "...), reason...)
}

// AppendWhatsat appends the reply to a WHATSAT: the AT line, and from the next line what places
// appends. Json is that part of the reply.
func (d Dialect) AppendWhatsat(dst, at []byte, places func(dst []byte) []byte) (reply, json []byte) {
	dst = append(append(dst, at...), '\n')
	start := len(dst)
	dst = places(dst)
	end := len(dst)
	dst = append(dst, '\n', '\n')
	return dst, dst[start:end:end]
}

// helpText is the commands that a client can type, as the paper's prototype lists them.
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

// AppendGoodbye appends the reply to quit.
func (d Dialect) AppendGoodbye(dst, line []byte) []byte {
	if d == Paper {
		return d.end(appendReason(dst, goodbye))
	}
	return d.end(echo(dst, line))
}

// AppendLineTooLong appends the last reply to a client whose line, which begins with prefix, is
// longer than max bytes.
func (d Dialect) AppendLineTooLong(dst, prefix []byte, max int) []byte {
	if d == Paper {
		return d.end(appendReason(dst, lineTooLong(max).Error()))
	}
	return d.end(echo(dst, prefix))
}

// AppendFull appends what a connection beyond the maximum gets: in CS131, nothing.
func (d Dialect) AppendFull(dst []byte) []byte { return d.AppendFinal(dst, errServerFull) }

// AppendFinal appends what a client is told that is going to be disconnected, where that answers no
// line: in CS131, nothing.
func (d Dialect) AppendFinal(dst []byte, reason error) []byte {
	if d == Paper {
		return d.end(appendReason(dst, reason.Error()))
	}
	return dst
}
