package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/zkboot/zkboot/bootstrap/lab/vm"
)

// Terraform only warns about a value for a variable that is not there, and goes on without it.
func TestVMVarsAreVariablesOfTheExample(t *testing.T) {
	source, err := os.ReadFile("../../examples/kvm-libvirt/variables.tf")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^variable "([^"]+)" \{$`).FindAllStringSubmatch(string(source), -1) {
		known[m[1]] = true
	}
	data, err := json.Marshal(vmVars{Config: map[string]string{"initLimit": "120"}})
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	for key := range keys {
		if !known[key] {
			t.Errorf("%s is written and examples/kvm-libvirt has no such variable", key)
		}
	}
}

// Machines stand on the network that an earlier up has chosen; its route takes it by now.
func TestVMVarsKeepTheNetwork(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, vmFile)
	if err := os.WriteFile(file, []byte(`{"network_cidr": "10.232.7.0/24", "memory_mib": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := newVMVars(dir, vm.Image{Disk: "/images/disk.qcow2"}, vm.Hypervisor{DomainType: "qemu"})
	if err != nil {
		t.Fatal(err)
	}
	if v.NetworkCIDR != "10.232.7.0/24" || v.MemoryMiB != 1024 || v.Image != "/images/disk.qcow2" || v.Pool.Path != filepath.Join(dir, "pool") {
		t.Errorf("got %+v", v)
	}
	if err := os.WriteFile(file, []byte(`{"network_cidr`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newVMVars(dir, vm.Image{}, vm.Hypervisor{}); err == nil {
		t.Error("a file that cannot be read was taken for none")
	}
}
