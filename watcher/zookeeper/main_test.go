package zookeeper

import (
	"testing"

	"go.uber.org/goleak"
)

// atExit ends what tests share, before the leak check.
var atExit []func()

type suite struct{ *testing.M }

func (s suite) Run() int {
	code := s.M.Run()
	for _, end := range atExit {
		end()
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }
