package config

import (
	"fmt"
	"io/fs"
	"syscall"

	"serverherd/places"
)

// ReadSecret reads a file with a secret or an API key. It refuses a file that is open to others, and anything but a
// regular file: opening a pipe would block.
func ReadSecret(file string) ([]byte, error) {
	f, info, err := places.OpenRegular(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if openToOthers(info) {
		return nil, fmt.Errorf("%s is readable by others: change its mode to 600, or to 640 if root owns it", file)
	}
	return readText(f)
}

// openToOthers reports whether a file with a secret can be used by others than its owner. A file of root may be readable by
// its group: PostgreSQL has the same rule. So a service's user, who may exist only while the service runs, reads by a group
// what it cannot change. Root itself has no other rule, as it uses the same files when it operates the service.
func openToOthers(info fs.FileInfo) bool {
	others := fs.FileMode(0o077)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == 0 {
		others = 0o037
	}
	return info.Mode().Perm()&others != 0
}
