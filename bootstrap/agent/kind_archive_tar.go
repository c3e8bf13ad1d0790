package agent

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// untar unpacks a tar archive (plain, gzip or zstd, told apart by their first bytes)
// into a root that nothing leaves, without the single folder that everything lies in.
// Owners, times and special bits of the archive are not kept.
func untar(ctx context.Context, src io.Reader, to *os.Root) error {
	plain, closeIt, err := decompress(bufio.NewReaderSize(src, 1<<20))
	if err != nil {
		return err
	}
	defer closeIt()
	top := ""
	for r := tar.NewReader(plain); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // as git archive writes
			continue
		}
		name, folder, err := entryName(h)
		if err != nil {
			return err
		}
		switch {
		case folder == "": // "./"
			continue
		case top == "":
			top = folder
		case top != folder:
			return fmt.Errorf("the archive has the folders %s and %s at its top, want one", top, folder)
		}
		if name == "." {
			continue
		}
		if err := unpackEntry(r, h, name, folder, to); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	if top == "" {
		return errors.New("the archive is empty")
	}
	return nil
}

func decompress(src *bufio.Reader) (io.Reader, func(), error) {
	magic, err := src.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}): // RFC 1952
		z, err := gzip.NewReader(src)
		if err != nil {
			return nil, nil, err
		}
		return z, func() { z.Close() }, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878
		z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return src, func() {}, nil
}

// entryName splits a name of the archive into its top folder and the rest, which is "."
// for the folder itself.
func entryName(h *tar.Header) (name, folder string, err error) {
	clean := path.Clean(h.Name)
	if clean == "." {
		return "", "", nil
	}
	if !filepath.IsLocal(clean) {
		return "", "", fmt.Errorf("%q leads out of the archive", h.Name)
	}
	folder, rest, _ := strings.Cut(clean, "/")
	if rest == "" && h.Typeflag != tar.TypeDir {
		return "", "", fmt.Errorf("%s lies at the top of the archive, want everything in one folder", h.Name)
	}
	return path.Clean(rest), folder, nil
}

func unpackEntry(r io.Reader, h *tar.Header, name, folder string, to *os.Root) error {
	if err := plainFolders(to, path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return plainFolders(to, name)
	case tar.TypeReg:
		return unpackFile(r, name, saneMode(h.Mode), to)
	case tar.TypeSymlink:
		target := path.Join(path.Dir(name), h.Linkname)
		// Only a clean target means the same with and without links on its way.
		if path.IsAbs(h.Linkname) || path.Clean(h.Linkname) != strings.TrimSuffix(h.Linkname, "/") || !filepath.IsLocal(target) {
			return fmt.Errorf("symbolic link to %q leads out of the archive", h.Linkname)
		}
		return to.Symlink(h.Linkname, name)
	case tar.TypeLink:
		target, ok := strings.CutPrefix(path.Clean(h.Linkname), folder+"/")
		if !ok || !filepath.IsLocal(target) {
			return fmt.Errorf("hard link to %q leads out of the archive", h.Linkname)
		}
		return to.Link(target, name)
	}
	return fmt.Errorf("entry of type %q, want files, folders and links", h.Typeflag)
}

// saneMode keeps of an archived mode whether the file can be run.
func saneMode(mode int64) fs.FileMode {
	if mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func unpackFile(r io.Reader, name string, mode fs.FileMode, to *os.Root) error {
	// O_EXCL: a second entry of one name could write through a link of the first.
	f, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Chmod(mode), f.Close()) // Chmod: the umask may be strict
}

// plainFolders makes the folders of a path and refuses one that is a link: what lies
// behind it would have another parent than its name says.
func plainFolders(to *os.Root, name string) error {
	at := ""
	for _, folder := range elements(name) {
		at = path.Join(at, folder)
		err := to.Mkdir(at, 0o755)
		if err == nil {
			err = to.Chmod(at, 0o755) // the umask may be strict
		} else if errors.Is(err, fs.ErrExist) {
			var info fs.FileInfo
			if info, err = to.Lstat(at); err == nil && !info.IsDir() {
				err = fmt.Errorf("%s is a %s, want a folder", at, typeName(info))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
