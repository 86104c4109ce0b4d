package config

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// WriteTOML writes the configuration with the value of every key. Secrets are not written.
func (c *Config) WriteTOML(w io.Writer) error {
	header := ""
	for _, k := range c.keys() {
		if k.table != header {
			if header != "" {
				fmt.Fprintln(w)
			}
			header = k.table
			fmt.Fprintf(w, "[%s]\n", header)
		}
		if err := k.write(w); err != nil {
			return err
		}
	}
	for i := range c.Servers {
		fmt.Fprint(w, "\n[[server]]\n")
		for _, k := range c.Servers[i].keys() {
			if err := k.write(w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k key) write(w io.Writer) error {
	value := k.value
	switch v := k.value.(type) {
	case *time.Duration:
		value = v.String()
	case *[]string:
		value = append([]string{}, *v...) // a nil slice would be omitted
	case *map[string]string:
		return writeInline(w, k.name, *v)
	}
	return toml.NewEncoder(w).Encode(map[string]any{k.name: value})
}

// writeInline writes a table of strings as an inline table, since more keys of the same table follow.
func writeInline(w io.Writer, name string, table map[string]string) error {
	var members []string
	for _, key := range slices.Sorted(maps.Keys(table)) {
		var member strings.Builder
		if err := toml.NewEncoder(&member).Encode(map[string]string{key: table[key]}); err != nil {
			return err
		}
		members = append(members, strings.TrimSpace(member.String()))
	}
	text := "{}"
	if members != nil {
		text = "{ " + strings.Join(members, ", ") + " }"
	}
	_, err := fmt.Fprintf(w, "%s = %s\n", name, text)
	return err
}
