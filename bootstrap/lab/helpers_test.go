package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// helpers are other lives of the test binary: TestMain turns into the one that the
// environment names, so that a test can kill a real process at a real moment.
var helpers = map[string]func(){"sleep": sleepHelper, "up": upHelper, "isolated": isolatedHelper}

const helperEnv = "ZKBOOT_LAB_TEST_HELPER"

// sleepHelper says that it runs and lives until its stdin closes.
func sleepHelper() {
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// upHelper is a program that calls Up, to be killed.
func upHelper() {
	if _, err := Up(context.Background(), Options{Name: os.Getenv("LAB_NAME"), Dir: os.Getenv("LAB_DIR"), ZooKeeper: 3, Driver: os.Getenv("LAB_DRIVER")}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// isolatedHelper is a builder of a base tree that is killed while the tree is mounted.
func isolatedHelper() {
	dir := os.Getenv("LAB_DIR")
	script := `mount -t tmpfs tmpfs "$1" && touch "$1/../mounted" && sleep 600 & wait`
	if err := machine.RunIsolated(context.Background(), filepath.Join(dir, "log"), "/bin/sh", "-c", script, "builder", filepath.Join(dir, "tree")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
