package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// workspace is a folder with configurations, in which the real Terraform runs with the
// provider of this tree, from a mirror on disk and without a network.
type workspace struct {
	root     string // of all that is ours
	program  string
	provider string // as it is executed
	env      []string
}

// newTerraform prepares what runs the configurations in sources, each by its name.
func (b *bench) newTerraform(ctx context.Context, sources map[string]fs.FS) (*workspace, error) {
	out, err := exec.CommandContext(ctx, "./scripts/terraform.sh").Output()
	if err != nil {
		return nil, fmt.Errorf("finding Terraform with scripts/terraform.sh: %w", err)
	}
	root, err := os.MkdirTemp("", "bench-terraform-")
	if err != nil {
		return nil, err
	}
	t := &workspace{root: root, program: strings.TrimSpace(string(out))}
	if err := errors.Join(t.mirror(b.provider), t.configure(ctx, sources)); err != nil {
		return nil, errors.Join(err, t.remove())
	}
	return t, nil
}

func (t *workspace) remove() error { return os.RemoveAll(t.root) }

// mirror puts a provider where Terraform finds it.
func (t *workspace) mirror(provider string) error {
	const address, version = "registry.terraform.io/zkboot/zkboot", "0.1.0"
	dir := filepath.Join(t.root, "mirror", address, version, runtime.GOOS+"_"+runtime.GOARCH)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	t.provider = filepath.Join(dir, "terraform-provider-zkboot_v"+version)
	from, err := os.Open(provider)
	if err != nil {
		return fmt.Errorf("the provider is built by `make build`: %w", err)
	}
	defer from.Close()
	to, err := os.OpenFile(t.provider, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		return errors.Join(err, to.Close())
	}
	rc := filepath.Join(t.root, "terraformrc")
	t.env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+rc, "TF_IN_AUTOMATION=1")
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\ndisable_checkpoint = true\n", filepath.Join(t.root, "mirror"))
	return errors.Join(to.Close(), os.WriteFile(rc, []byte(text), 0o600))
}

// configure copies the configurations and initialises them.
func (t *workspace) configure(ctx context.Context, sources map[string]fs.FS) error {
	for name, source := range sources {
		if err := os.CopyFS(filepath.Join(t.root, name), source); err != nil {
			return err
		}
		if _, err := t.run(ctx, name, "init", "-input=false"); err != nil {
			return err
		}
	}
	return nil
}

// run runs Terraform in the configuration of that name, and returns what it took; its
// memory is not measured.
func (t *workspace) run(ctx context.Context, name string, args ...string) (ran, error) {
	cmd := exec.CommandContext(ctx, t.program, append(args, "-no-color")...)
	cmd.Dir, cmd.Env = filepath.Join(t.root, name), t.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return ran{}, fmt.Errorf("terraform %s in %s: %w\n%s", strings.Join(args, " "), name, err, tailOf(out, 4000))
	}
	return ran{wall: time.Since(start), cpu: cpuOf(cmd), stdout: string(out)}, nil
}

// tailOf is the end of an output, which is where errors are.
func tailOf(out []byte, n int) []byte { return out[max(0, len(out)-n):] }
