package sysctl

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// LimitName is a process limit, spelled as in limits.d.
type LimitName string

const (
	LimitCore    LimitName = "core"    // bytes of a core dump
	LimitMemLock LimitName = "memlock" // bytes of locked memory
	LimitNoFile  LimitName = "nofile"  // open files
	LimitNProc   LimitName = "nproc"   // processes and threads of a user
	LimitTasks   LimitName = "tasks"   // processes and threads of a unit: systemd alone has it
)

// Infinity is a limit without a bound.
const Infinity uint64 = math.MaxUint64

// Limit is one process limit. In limits.d core and memlock count KiB; here,
// as in units and in /proc, they count bytes.
type Limit struct {
	Name        LimitName
	Soft, Hard  uint64 // Soft is at most Hard; equal for tasks, which has one value
	Why, Source string
}

// limitSpelling is one limit in the three places that name it.
type limitSpelling struct {
	name            LimitName
	unit, proc      string // key in a unit; row in /proc/PID/limits
	limitsDUnitSize uint64 // bytes, or 1 for counts
}

func limitSpellings() []limitSpelling {
	return []limitSpelling{
		{LimitCore, "LimitCORE", "Max core file size", 1024},
		{LimitMemLock, "LimitMEMLOCK", "Max locked memory", 1024},
		{LimitNoFile, "LimitNOFILE", "Max open files", 1},
		{LimitNProc, "LimitNPROC", "Max processes", 1},
		{LimitTasks, "TasksMax", "", 1},
	}
}

func spelling(match func(limitSpelling) bool) (limitSpelling, bool) {
	all := limitSpellings()
	i := slices.IndexFunc(all, match)
	if i < 0 {
		return limitSpelling{}, false
	}
	return all[i], true
}

func spellingOf(name LimitName) (limitSpelling, bool) {
	return spelling(func(s limitSpelling) bool { return s.name == name })
}

// RenderUnitLimits is a drop-in for the owner's unit, in the order of names and
// with the reason above each. It is what binds the service.
// https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html
func RenderUnitLimits(owner string, limits []Limit) []byte {
	var b bytes.Buffer
	writeHeader(&b, owner)
	b.WriteString("[Service]\n")
	for _, l := range sortedLimits(limits) {
		s, ok := spellingOf(l.Name)
		if !ok {
			continue
		}
		writeReason(&b, l.Why, l.Source)
		value := limitText(l.Soft, 1, "infinity")
		if l.Hard != l.Soft && l.Name != LimitTasks {
			value += ":" + limitText(l.Hard, 1, "infinity")
		}
		fmt.Fprintf(&b, "%s=%s\n", s.unit, value)
	}
	return b.Bytes()
}

// RenderLimitsD is a file for /etc/security/limits.d. It binds sessions that PAM
// opens for the user, such as a shell that runs zkCli.sh, and never a service;
// tasks has no equivalent there and is left out. Byte limits are rounded up to
// KiB. https://man7.org/linux/man-pages/man5/limits.conf.5.html
func RenderLimitsD(owner, user string, limits []Limit) []byte {
	var b bytes.Buffer
	writeHeader(&b, owner)
	b.WriteString("# For login sessions of the user; systemd units have their own limits.\n")
	for _, l := range sortedLimits(limits) {
		s, ok := spellingOf(l.Name)
		if !ok || l.Name == LimitTasks {
			continue
		}
		b.WriteByte('\n')
		writeReason(&b, l.Why, l.Source)
		soft, hard := limitText(l.Soft, s.limitsDUnitSize, "unlimited"), limitText(l.Hard, s.limitsDUnitSize, "unlimited")
		if soft == hard {
			fmt.Fprintf(&b, "%s - %s %s\n", user, l.Name, soft)
			continue
		}
		fmt.Fprintf(&b, "%s soft %s %s\n%s hard %s %s\n", user, l.Name, soft, user, l.Name, hard)
	}
	return b.Bytes()
}

// ParseUnitLimits reads the limits that a unit file or drop-in sets, in the
// order of names; other keys are skipped and the last assignment of a key wins,
// as in systemd. Values in other forms than whole numbers and infinity, such as
// 8M or 33%, are errors, joined; the limits are nil then.
func ParseUnitLimits(data []byte) ([]Limit, error) {
	found := make(map[LimitName]Limit)
	var errs []error
	for number, line := range lines(data) {
		key, value, ok := strings.Cut(line, "=")
		s, known := spelling(func(s limitSpelling) bool { return s.unit == trim(key) })
		if !ok || !known {
			continue
		}
		low, high, two := strings.Cut(trim(value), ":")
		if !two {
			high = low
		}
		limit, err := newLimit(s, low, high, 1)
		if err == nil && two && s.name == LimitTasks {
			err = errors.New("TasksMax takes one value")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", number, err))
			continue
		}
		found[s.name] = limit
	}
	return limitsOrErrors(found, errs)
}

// ParseLimitsD reads the limits that a limits.d file sets for one user, in the
// order of names; lines of other users, groups and the wildcard are skipped, as
// are items this package does not know. Where only soft or only hard is given
// the other is Infinity. Errors are joined; the limits are nil then.
func ParseLimitsD(data []byte, user string) ([]Limit, error) {
	found := make(map[LimitName]Limit)
	var errs []error
	for number, line := range lines(data) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) != 4 || fields[0] != user {
			continue
		}
		s, known := spellingOf(LimitName(fields[2]))
		if !known || s.name == LimitTasks {
			continue
		}
		limit, err := newLimit(s, fields[3], fields[3], s.limitsDUnitSize)
		if before, ok := found[s.name]; ok || fields[1] != "-" {
			if !ok {
				before = Limit{Soft: Infinity, Hard: Infinity}
			}
			switch fields[1] {
			case "soft":
				limit.Hard = before.Hard
			case "hard":
				limit.Soft = before.Soft
			case "-":
			default:
				err = cmp.Or(err, fmt.Errorf("type %q is none of soft, hard and -", fields[1]))
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", number, err))
			continue
		}
		found[s.name] = limit
	}
	return limitsOrErrors(found, errs)
}

// ParseProcLimits reads /proc/PID/limits, which tells what really binds a
// running process, in the order of names. A known row in another form is an
// error; rows of limits this package does not know are skipped.
// https://man7.org/linux/man-pages/man5/proc_pid_limits.5.html
func ParseProcLimits(data []byte) ([]Limit, error) {
	found := make(map[LimitName]Limit)
	var errs []error
	for number, line := range lines(data) {
		s, known := spelling(func(s limitSpelling) bool { return s.proc != "" && strings.HasPrefix(line, s.proc) })
		if !known {
			continue
		}
		fields := strings.Fields(line[len(s.proc):])
		if len(fields) < 2 {
			errs = append(errs, fmt.Errorf("line %d: %q has no soft and hard value", number, line))
			continue
		}
		limit, err := newLimit(s, fields[0], fields[1], 1)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", number, err))
			continue
		}
		found[s.name] = limit
	}
	return limitsOrErrors(found, errs)
}

func newLimit(s limitSpelling, soft, hard string, size uint64) (Limit, error) {
	low, errSoft := parseLimit(soft, size)
	high, errHard := parseLimit(hard, size)
	return Limit{Name: s.name, Soft: low, Hard: high}, cmp.Or(errSoft, errHard)
}

func parseLimit(text string, size uint64) (uint64, error) {
	if text == "infinity" || text == "unlimited" || text == "-1" {
		return Infinity, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > (Infinity-1)/size {
		return 0, fmt.Errorf("limit %q is neither a whole number nor infinity", text)
	}
	return n * size, nil
}

func limitText(n, size uint64, infinity string) string {
	if n == Infinity {
		return infinity
	}
	whole := n / size
	if n%size > 0 {
		whole++
	}
	return strconv.FormatUint(whole, 10)
}

func sortedLimits(limits []Limit) []Limit {
	return slices.SortedFunc(slices.Values(limits), func(a, b Limit) int { return cmp.Compare(a.Name, b.Name) })
}

func limitsOrErrors(found map[LimitName]Limit, errs []error) ([]Limit, error) {
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var limits []Limit
	for _, s := range limitSpellings() {
		if l, ok := found[s.name]; ok {
			limits = append(limits, l)
		}
	}
	return limits, nil
}
