package zookeeper

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/go-zookeeper/zk"
)

func TestDelta(t *testing.T) {
	three, five := Founding(testSpec(3)), Founding(testSpec(5))
	observer := Dynamic{Servers: slices.Clone(three.Servers)}
	observer.Servers[0].Role = Observer
	for _, tt := range []struct {
		name        string
		have, want  Dynamic
		enter, exit []string
	}{
		{"nothing", three, three, nil, nil},
		{"two more", three, five, []string{
			"server.4=10.0.0.4:2888:3888:participant;10.0.0.4:2181", "server.5=10.0.0.5:2888:3888:participant;10.0.0.5:2181"}, nil},
		{"two fewer", five, three, nil, []string{"4", "5"}},
		{"another role", three, observer, []string{"server.1=10.0.0.1:2888:3888:observer;10.0.0.1:2181"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enter, exit := delta(tt.have, tt.want)
			if !slices.Equal(enter, tt.enter) || !slices.Equal(exit, tt.exit) {
				t.Errorf("got %q %q, want %q %q", enter, exit, tt.enter, tt.exit)
			}
		})
	}
}

// The library knows neither code by name; ErrCode.toError of v1.0.4 gives the number in words.
func TestErrorsOfReconfigHaveNames(t *testing.T) {
	for text, want := range map[string]error{"unknown error: -13": ErrNewConfigNoQuorum, "unknown error: -14": ErrReconfigInProgress} {
		if got := typed(errors.New(text)); !errors.Is(got, want) || !passing(got) {
			t.Errorf("%s: got %v, want %v, which may pass", text, got, want)
		}
	}
	for _, err := range []error{zk.ErrNoAuth, zk.ErrReconfigDisabled, zk.ErrBadArguments, errors.New("unknown error: -8")} {
		if got := typed(err); !errors.Is(got, err) || passing(got) {
			t.Errorf("%v: got %v, passing %t; want the same, and final", err, got, passing(got))
		}
	}
	if typed(nil) != nil {
		t.Error("no error became one")
	}
	if !passing(fmt.Errorf("reading: %w", zk.ErrConnectionClosed)) {
		t.Error("a lost connection ends the reconfig: nobody would know whether it took effect")
	}
}
