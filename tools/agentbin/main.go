// Command agentbin builds the programs that zkboot and the provider carry to hosts, for
// every architecture: cmd/zkagent, compressed and with its sha256, where package
// bootstrap/ssh embeds it, and cmd/zkwatch, as an archive with its sha512, where package
// bootstrap/sidecar does. It leaves files alone that are up to date, so that a build without
// changes stays quick. It is run by `make build`.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

// parcel is a program and how it is packed.
type parcel struct {
	program, dest string
	// pack returns the files to write, by what follows "PROGRAM-linux-ARCH" in their names.
	pack func(raw []byte) (map[string][]byte, error)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, p := range []parcel{
		{"zkagent", "bootstrap/ssh/agentbin", packAgent},
		{"zkwatch", "bootstrap/sidecar/watchbin", packWatch},
	} {
		for _, arch := range []string{"amd64", "arm64"} {
			if err := p.build(ctx, arch); err != nil {
				fmt.Fprintf(os.Stderr, "agentbin: %s for linux/%s: %v\n", p.program, arch, err)
				os.Exit(1)
			}
		}
	}
}

func (p parcel) build(ctx context.Context, arch string) error {
	tmp, err := os.MkdirTemp("", p.program)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	bin := filepath.Join(tmp, p.program)
	// -trimpath and no build id: the same source gives the same program, and so the same
	// name on the hosts, wherever it is built.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", bin, "./cmd/"+p.program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	raw, err := os.ReadFile(bin)
	if err != nil {
		return err
	}
	name := filepath.Join(p.dest, p.program+"-linux-"+arch)
	sum := sha256.Sum256(raw)
	mark := []byte(hex.EncodeToString(sum[:]) + "\n")
	if have, err := os.ReadFile(name + ".sha256"); err == nil && bytes.Equal(have, mark) {
		return nil
	}
	files, err := p.pack(raw)
	if err != nil {
		return err
	}
	size := 0
	for suffix, content := range files {
		size += len(content)
		if err := os.WriteFile(name+suffix, content, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%s linux/%s: %.2f MB, %.2f MB packed\n", p.program, arch, float64(len(raw))/1e6, float64(size)/1e6)
	return os.WriteFile(name+".sha256", mark, 0o644) // last: it says that the others are whole
}

func packAgent(raw []byte) (map[string][]byte, error) {
	packed, err := compress(raw)
	return map[string][]byte{".zst": packed}, err
}

// packWatch makes an archive with one top folder, as those of releases have. Nothing in it
// depends on when and where it was made.
func packWatch(raw []byte) (map[string][]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	head := tar.Header{Typeflag: tar.TypeDir, Name: "zkwatch/", Mode: 0o755, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := w.WriteHeader(&head); err != nil {
		return nil, err
	}
	head.Typeflag, head.Name, head.Size = tar.TypeReg, "zkwatch/zkwatch", int64(len(raw))
	if err := w.WriteHeader(&head); err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	packed, err := compress(b.Bytes())
	sum := sha512.Sum512(packed)
	return map[string][]byte{".tar.zst": packed, ".sha512": []byte(hex.EncodeToString(sum[:]) + "\n")}, err
}

func compress(raw []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return nil, err
	}
	return enc.EncodeAll(raw, nil), enc.Close()
}
