// Package config is herd.toml: its tables as types (Config), with every default filled in and every value
// checked (Load, Parse), and how they are printed (WriteTOML). It reads files and keeps no state. A Config is
// loaded before the loop runs, and does not change.
//
// The file is read strictly. The first mistake is an *Error, which says where it is and what would be right:
//
//	herd.toml:17: limits.max_line: 100 is not between 1280 and 1048576
//
// A key is a field of its table's type, a row in keys (its name and its check) and, if it has a default, a value
// in defaults. A key of [limits] also needs a test that goes past the limit, see herd/limits_test.go. Limits
// that no key changes are herd.Constants.
package config
