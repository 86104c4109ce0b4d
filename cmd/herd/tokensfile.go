package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"serverherd/herd/access"
	"serverherd/herd/config"
)

// tokensFile is the path of a tokens file; "" if herd.toml names none.
type tokensFile string

// read returns the text of the file and its tokens; both are empty if there is no file.
func (f tokensFile) read() (text []byte, tokens *access.Tokens, err error) {
	text, err = config.ReadSecret(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err == nil {
		tokens, err = access.Parse(string(f), text)
	}
	if err != nil {
		return nil, nil, err
	}
	return text, tokens, nil
}

// check returns an error if the file cannot take a token.
func (f tokensFile) check(t *access.Token) error {
	_, _, err := f.with(t)
	return err
}

// with returns the text of the file with a new token, and whether there is a file.
func (f tokensFile) with(t *access.Token) (text []byte, found bool, err error) {
	text, tokens, err := f.read()
	if err != nil {
		return nil, false, err
	}
	if hasName(tokens, t.Name) {
		return nil, false, fmt.Errorf("%s has a token %s already; choose another name, or remove its line", string(f), t.Name)
	}
	found = tokens != nil
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	text = append(text, t.Line()...)
	tokens, err = access.Parse(string(f), text) // a [table] above would swallow the line
	if err == nil && !hasName(tokens, t.Name) {
		err = errors.New("the last line of " + string(f) + " would not be that of a token")
	}
	return text, found, err
}

// add appends a token. Whoever reads the file at the same time has the old text or the new one, and two that add at the
// same time both succeed.
func (f tokensFile) add(t *access.Token) error {
	path := string(f)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link stays one
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil { // ends when dir is closed
		return fmt.Errorf("lock %s: %w", dir.Name(), err)
	}
	text, found, err := f.with(t)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(dir.Name(), ".tokens") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name())
	defer next.Close()
	if found {
		if err := sameOwner(next, path); err != nil {
			return err
		}
	}
	if _, err := next.Write(text); err != nil {
		return err
	}
	if err := errors.Join(next.Sync(), next.Close()); err != nil {
		return err
	}
	if err := os.Rename(next.Name(), path); err != nil {
		return err
	}
	return dir.Sync()
}

// sameOwner gives a file the owner and mode of the one that it will replace: servers may run as another user.
func sameOwner(next *os.File, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := next.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
			return fmt.Errorf("keep the owner of %s: %w", path, err)
		}
	}
	return next.Chmod(info.Mode().Perm())
}
