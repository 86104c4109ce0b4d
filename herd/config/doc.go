// Package config reads and checks herd.toml (Load, Parse), fills in defaults (Config), and prints the result
// (WriteTOML). It keeps no state. A Config is loaded before the loop runs and does not change.
//
// The file is read strictly. The first mistake is returned as an *Error with its line and key:
//
//	herd.toml:17: limits.max_line: 100 is not between 1280 and 1048576
//
// A key consists of a field of its table's type, a row in keys (its name and its check) and, if it has a
// default, a value in defaults. A key of [limits] also needs a test that exceeds the limit, see
// herd/limits_test.go. Limits that cannot be configured are herd.Constants.
package config
