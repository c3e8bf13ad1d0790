package agent

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// update rewrites golden files: go test ./bootstrap/agent -update
var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
