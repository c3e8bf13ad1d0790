package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time that reads and writes as text such as "10ms".
type Duration time.Duration

// String implements fmt.Stringer.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 500ms, 10s or 1m30s", b)
	}
	*d = Duration(v)
	return nil
}

// Percent is a share from 1 to 100 that reads and writes as text such as "50%".
type Percent int

// String implements fmt.Stringer.
func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }

// MarshalText implements encoding.TextMarshaler.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Percent) UnmarshalText(b []byte) error {
	num, ok := strings.CutSuffix(string(b), "%")
	n, err := strconv.Atoi(num)
	if !ok || err != nil || n < 1 || n > 100 {
		return fmt.Errorf("%q is not a share from 1%% to 100%%", b)
	}
	*p = Percent(n)
	return nil
}
