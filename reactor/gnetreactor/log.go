package gnetreactor

import "fmt"

// logger passes gnet's warnings and errors on and drops the rest. Its Fatalf is a message as any
// other: to end the process is not for a library to decide.
type logger func(message string)

func (l logger) Debugf(string, ...any)             {}
func (l logger) Infof(string, ...any)              {}
func (l logger) Warnf(format string, args ...any)  { l("gnet: " + fmt.Sprintf(format, args...)) }
func (l logger) Errorf(format string, args ...any) { l("gnet: " + fmt.Sprintf(format, args...)) }
func (l logger) Fatalf(format string, args ...any) { l("gnet: " + fmt.Sprintf(format, args...)) }
