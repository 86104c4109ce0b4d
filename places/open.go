package places

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// OpenRegular opens a regular file for reading; any other kind of file is an error. It does not block on a
// pipe without a writer. It checks the open file and not its path, because the file may be replaced at any
// time.
func OpenRegular(path string) (*os.File, fs.FileInfo, error) {
	// #nosec G304 -- herd.toml names it, and it is opened only to read
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// OpenToOthers reports whether a file with a secret can be used by others than its owner. A file of root may be readable
// by its group: PostgreSQL has the same rule. So a service's user, who may exist only while the service runs, reads by a
// group what it cannot change. Root itself has no other rule, as it uses the same files when it operates the service.
func OpenToOthers(info fs.FileInfo) bool {
	others := fs.FileMode(0o077)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == 0 {
		others = 0o037
	}
	return info.Mode().Perm()&others != 0
}
