package verify

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The units of figures.
const (
	unitMS    = "ms"
	unitPct   = "%"
	unitBytes = "bytes"
	unitRate  = "/s"
	unitRatio = "x"
	unitCount = ""
)

// binaryUnits are the powers of 1024 that people write, largest first.
var binaryUnits = [...]struct {
	name string
	size float64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// formatFigure prints a figure with its unit and three significant digits.
func formatFigure(unit string, v float64) string {
	switch unit {
	case unitBytes:
		for _, u := range binaryUnits {
			if v >= u.size {
				return significant(v/u.size) + " " + u.name
			}
		}
		return significant(v) + " B"
	case unitMS:
		return significant(v) + " ms"
	}
	return significant(v) + unit
}

// significant rounds to three digits, but never a whole number: 1234.5 is 1235.
func significant(v float64) string {
	if math.Abs(v) >= 100 || v == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	text := strconv.FormatFloat(v, 'f', min(decimals, 6), 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
