package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/zkboot/zkboot/bootstrap/lab/vm"
)

// vmFile is what Terraform takes with -var-file.
const vmFile = "vm.tfvars.json"

func (a *app) labVMCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vm",
		Short: "A hypervisor on this machine, for Terraform to make virtual machines on",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var dir string
	up := &cobra.Command{
		Use:   "up",
		Short: "Make the image, start a libvirtd where none runs, write " + vmFile,
		Long: `up makes what examples/kvm-libvirt stands on: a golden Debian image (once), the word whether
this machine runs it under KVM, and a libvirtd, the system's when one answers. It makes no
virtual machines: that is the work of

  terraform apply -var-file=DIR/vm.tfvars.json -var ssh_key_file=...`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.labVMUp(cmd.Context(), dir) },
	}
	down := &cobra.Command{
		Use:   "down",
		Short: "End the libvirtd that up started, with every virtual machine on it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := vm.Stop(cmd.Context(), dir); err != nil {
				return err
			}
			if err := os.Remove(filepath.Join(dir, vmFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "the hypervisor of %s is gone\n", dir)
			return err
		},
	}
	for _, c := range []*cobra.Command{up, down} {
		c.Flags().StringVar(&dir, "dir", ".", "where "+vmFile+", disks and the files of libvirtd are")
	}
	cmd.AddCommand(up, down)
	return cmd
}

func (a *app) labVMUp(ctx context.Context, dir string) error {
	log := a.labLog()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	img, err := vm.EnsureImage(ctx, log)
	if err != nil {
		return err
	}
	domainType, err := vm.Probe(ctx, img, log)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	h, err := vm.Start(ctx, dir, domainType, log)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, vmFile)
	vars, err := newVMVars(dir, img, h)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(vars, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(file, append(data, '\n'), 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "libvirtd   %s\ndomains    %s\nnetwork    %s\n\nnext: terraform apply -var-file=%s\n",
		h.URI, h.DomainType, vars.NetworkCIDR, file)
	return err
}

// vmVars are variables of examples/kvm-libvirt, with its units.
type vmVars struct {
	LibvirtURI  string `json:"libvirt_uri"`
	DomainType  string `json:"domain_type"`
	Image       string `json:"image"`
	Boot        vmBoot `json:"boot"`
	Pool        vmPool `json:"pool"`
	NetworkCIDR string `json:"network_cidr"`
	MemoryMiB   int    `json:"memory_mib"`
	VCPUs       int    `json:"vcpus"`
	RootGiB     int    `json:"root_gib"`
	DataGiB     int    `json:"data_gib"`
	Heap        string `json:"heap"`
	Hardware    string `json:"hardware_profile"`
	Patience    string `json:"patience"`
	// Config is zoo.cfg, where machines are emulated: a JVM that takes a minute to start is
	// later than the ticks that a leader grants a member for a processor of its own.
	Config map[string]string `json:"config,omitempty"`
}

type vmBoot struct {
	Kernel  string `json:"kernel"`
	Initrd  string `json:"initrd"`
	Cmdline string `json:"cmdline"`
}

type vmPool struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// newVMVars are sizes that four machines find room for on any machine. What stands in a file
// that up wrote before is kept where machines depend on it.
func newVMVars(dir string, img vm.Image, h vm.Hypervisor) (vmVars, error) {
	sum := sha256.Sum256([]byte(dir))
	name := "zkboot-" + hex.EncodeToString(sum[:3])
	v := vmVars{
		LibvirtURI: h.URI, DomainType: h.DomainType, Image: img.Disk,
		Boot:      vmBoot{Kernel: img.Kernel, Initrd: img.Initrd, Cmdline: img.Cmdline},
		Pool:      vmPool{Name: name, Path: filepath.Join(dir, "pool")},
		MemoryMiB: 1024, VCPUs: 1, RootGiB: 4, DataGiB: 2, Heap: "256MiB",
		Hardware: "lab", Patience: "15m",
	}
	if h.DomainType == "qemu" {
		v.Config = map[string]string{"initLimit": "120", "syncLimit": "20"}
	}
	was, err := readVMVars(filepath.Join(dir, vmFile))
	if err != nil {
		return v, err
	}
	if was.NetworkCIDR != "" { // machines may stand on it
		v.NetworkCIDR = was.NetworkCIDR
		return v, nil
	}
	free, err := vm.FreeNetwork(name)
	if err != nil {
		return v, err
	}
	v.NetworkCIDR = free.String()
	return v, nil
}

// readVMVars returns nothing when there is no file.
func readVMVars(file string) (vmVars, error) {
	var v vmVars
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	} else if err != nil {
		return v, err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("%s: %w", file, err)
	}
	return v, nil
}
