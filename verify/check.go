package verify

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Finding makes a check without a figure. why and the check's own hint are kept
// for verdicts other than pass and n/a.
func Finding(id string, v Verdict, text, why string) Check {
	about, _ := info(id)
	c := Check{ID: id, Verdict: v, Text: text, Unit: about.Unit}
	switch v {
	case Pass:
	case NotApplicable, Unknown:
		c.Why = why
	default:
		c.Why, c.Hint = why, about.Hint
	}
	return c
}

// Figure judges a figure by the limits of its check.
func (t Thresholds) Figure(id string, value float64) Check {
	about, _ := info(id)
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return Finding(id, Unknown, "", "the figure is not a number")
	}
	limit := t.Limits[id]
	c := Check{
		ID: id, Verdict: Pass, Value: &value, Text: formatFigure(about.Unit, value),
		Unit: about.Unit, Warn: limit.Warn, Fail: limit.Fail,
	}
	beyond := func(bound *float64) bool {
		return bound != nil && (about.Floor && value < *bound || !about.Floor && value > *bound)
	}
	side := "above"
	if about.Floor {
		side = "below"
	}
	switch {
	case beyond(limit.Fail):
		c.Verdict = Fail
		c.Why = fmt.Sprintf("%s is %s the limit of %s", c.Text, side, formatFigure(about.Unit, *limit.Fail))
	case beyond(limit.Warn):
		c.Verdict = Warn
		c.Why = fmt.Sprintf("%s is %s %s", c.Text, side, formatFigure(about.Unit, *limit.Warn))
	default:
		return c
	}
	c.Hint = about.Hint
	return c
}

// worsen lowers the verdict of c to v at least, with a reason.
func (c Check) worsen(v Verdict, why string) Check {
	if v.rank() <= c.Verdict.rank() {
		return c
	}
	about, _ := info(c.ID)
	c.Verdict, c.Why, c.Hint = v, why, about.Hint
	return c
}

// Join merges lists of checks into one, in the order of Checks and with one
// check for each id: of several the worst stays, and of equals the last.
func Join(lists ...[]Check) []Check {
	out := []Check{}
	for _, list := range lists {
		for _, c := range list {
			i := slices.IndexFunc(out, func(have Check) bool { return have.ID == c.ID })
			switch {
			case i < 0:
				out = append(out, c)
			case c.Verdict.rank() >= out[i].Verdict.rank():
				out[i] = c
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Check) int {
		_, i := info(a.ID)
		_, j := info(b.ID)
		return cmp.Compare(i, j)
	})
	return out
}
