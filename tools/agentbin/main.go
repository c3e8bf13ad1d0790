// Command agentbin builds cmd/zkagent for every architecture and puts it, compressed and
// with its sha256, where package bootstrap/ssh embeds it. It leaves files alone that are
// up to date, so that a build without changes stays quick. It is run by `make build`.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

const dest = "bootstrap/ssh/agentbin"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, arch := range []string{"amd64", "arm64"} {
		if err := build(ctx, arch); err != nil {
			fmt.Fprintf(os.Stderr, "agentbin: zkagent for linux/%s: %v\n", arch, err)
			os.Exit(1)
		}
	}
}

func build(ctx context.Context, arch string) error {
	tmp, err := os.MkdirTemp("", "zkagent")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	bin := filepath.Join(tmp, "zkagent")
	// -trimpath and no build id: the same source gives the same agent, and so the same
	// name on the hosts, wherever it is built.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", bin, "./cmd/zkagent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	raw, err := os.ReadFile(bin)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	name := filepath.Join(dest, "zkagent-linux-"+arch)
	hexsum := []byte(hex.EncodeToString(sum[:]) + "\n")
	if same(name+".sha256", hexsum) && exists(name+".zst") {
		return nil
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	packed := enc.EncodeAll(raw, nil)
	if err := enc.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(name+".zst", packed, 0o644); err != nil {
		return err
	}
	fmt.Printf("agent linux/%s: %.2f MB, %.2f MB compressed\n", arch, float64(len(raw))/1e6, float64(len(packed))/1e6)
	return os.WriteFile(name+".sha256", hexsum, 0o644)
}

func same(name string, want []byte) bool {
	have, err := os.ReadFile(name)
	return err == nil && bytes.Equal(have, want)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}
