package bootstrap

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/watcher/config"
)

// Duration is a length of time that reads and writes as text such as "10ms".
type Duration = config.Duration

// Percent is a share from 1 to 100 that reads and writes as text such as "50%".
type Percent = config.Percent

// Size is a number of bytes that reads and writes as text such as "256MiB".
type Size int64

// The units of Size.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

var sizeUnits = []struct {
	suffix string
	size   Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

// String implements fmt.Stringer with the largest unit that divides the size.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.suffix
		}
	}
	return "0B"
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Decimal units are refused: "1GB"
// has meant both 10^9 and 2^30 bytes often enough.
func (s *Size) UnmarshalText(b []byte) error {
	text := string(b)
	for _, u := range sizeUnits {
		num, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(num), 10, 64)
		if err != nil || n < 0 || n > int64(1<<62)/int64(u.size) {
			break
		}
		*s = Size(n) * u.size
		return nil
	}
	return fmt.Errorf("%q is not a size such as 256MiB or 1GiB", text)
}
