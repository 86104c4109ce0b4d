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
