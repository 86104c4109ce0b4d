package gnetreactor

import "fmt"

// logger passes on gnet's warnings and errors and drops the rest. Fatalf does not exit: a library must not end the
// process.
type logger func(message string)

func (l logger) Debugf(string, ...any)             {}
func (l logger) Infof(string, ...any)              {}
func (l logger) Warnf(format string, args ...any)  { l("gnet: " + fmt.Sprintf(format, args...)) }
func (l logger) Errorf(format string, args ...any) { l("gnet: " + fmt.Sprintf(format, args...)) }
func (l logger) Fatalf(format string, args ...any) { l("gnet: " + fmt.Sprintf(format, args...)) }
