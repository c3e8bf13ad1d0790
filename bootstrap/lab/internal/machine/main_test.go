package machine

import (
	"fmt"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"
)

const helperEnv = "ZKBOOT_LAB_TEST_HELPER"

// TestMain turns the test binary into a process that says that it runs and lives until its
// stdin closes, so that a test has real processes with command lines of its choice.
func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) == "sleep" {
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	goleak.VerifyTestMain(m)
}
