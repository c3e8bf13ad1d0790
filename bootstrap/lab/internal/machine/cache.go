package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
)

// Key names what is made by a recipe, a value of data alone: 12 hex digits of the sha256 of its JSON.
func Key(recipe any) (string, error) {
	data, err := json.Marshal(recipe)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6]), err
}

// Cache is a directory of things that take long to make. Each is named after the recipe it is
// made by, so that a changed recipe makes a new one and leaves what is in use alone.
type Cache string

const buildPrefix = ".build-"

// Ensure returns the path of what has that name in the cache. When it is missing, build makes
// it in an empty directory on the same file system and returns its path there. Builders of one
// cache wait for each other; what they make appears by rename, whole or not at all.
func (c Cache) Ensure(ctx context.Context, name string, build func(work string) (made string, err error)) (string, error) {
	path := filepath.Join(string(c), name)
	if ok, err := Exists(path); ok || err != nil {
		return path, err
	}
	unlock, err := LockDir(ctx, string(c), true)
	if err != nil {
		return "", err
	}
	defer unlock()
	if ok, err := Exists(path); ok || err != nil { // built while we waited
		return path, err
	}
	if err := c.removeHalfBuilt(); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(string(c), buildPrefix)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	made, err := build(work)
	if err != nil {
		return "", err
	}
	return path, os.Rename(made, path)
}

// removeHalfBuilt deletes what a killed builder left; the caller holds the lock. The
// builder's mounts died with its namespace, so nothing is deleted through one.
func (c Cache) removeHalfBuilt() error {
	left, err := filepath.Glob(filepath.Join(string(c), buildPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := UnmountBelow(dir); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
