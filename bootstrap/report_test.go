package bootstrap_test

import (
	"errors"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

func TestAStepThatBrokeIsNamedOnce(t *testing.T) {
	st := bootstrap.Step{Action: bootstrap.ActionCreate, Target: bootstrap.NewID(bootstrap.KindPackage, "nano")}
	cause := errors.New("the mirror is down")
	var r bootstrap.Report
	r.HostError("zk1", st.String(), &bootstrap.StepError{Step: st, Err: cause})
	if got, want := r.Err().Error(), "zk1: create package nano: the mirror is down"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !errors.Is(r.Err(), cause) {
		t.Error("the cause is lost")
	}
}
