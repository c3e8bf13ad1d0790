package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// backupUnits are the words of the two units.
type backupUnits struct {
	name     string // of the ensemble
	program  string
	spec     string
	out      string
	keep     int
	calendar string
	user     string
}

func (a *app) renderBackupServiceCommand() *cobra.Command {
	var u backupUnits
	cmd := &cobra.Command{
		Use:   "backup-service",
		Short: "Print the systemd service that takes a backup, for a machine that reaches the hosts",
		Long: `backup-service prints a unit that runs zkboot backup once, to be started by the timer that
backup-timer prints. It belongs on the machine that zkboot runs on, not on a member:

  zkboot render backup-service -f main.yaml -o /var/backups/zookeeper >/etc/systemd/system/zkboot-backup-main.service
  zkboot render backup-timer   -f main.yaml                           >/etc/systemd/system/zkboot-backup-main.timer
  systemctl enable --now zkboot-backup-main.timer

A backup that fails leaves the unit failed, with the reason in its journal.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.fillUnits(&u); err != nil {
				return err
			}
			text, err := u.service()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.stdout, text)
			return err
		},
	}
	fileFlag(cmd, &u.spec)
	cmd.Flags().StringVarP(&u.out, "out", "o", "", "the directory for archives")
	cmd.Flags().IntVar(&u.keep, "keep", 14, "archives to keep")
	cmd.Flags().StringVar(&u.user, "user", "root", "the account that has the SSH key and may write to -o")
	cmd.Flags().StringVar(&u.program, "program", "", "where zkboot lies (default: this one)")
	_ = cmd.MarkFlagRequired("out") // fails only for a flag that does not exist
	return cmd
}

func (a *app) renderBackupTimerCommand() *cobra.Command {
	var u backupUnits
	cmd := &cobra.Command{
		Use:   "backup-timer",
		Short: "Print the systemd timer that starts the service of backup-service",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if strings.ContainsAny(u.calendar, "\n\r") || u.calendar == "" {
				return fmt.Errorf("--on-calendar %q: want a time as systemd.time(7) has it, such as daily or *:0/15", u.calendar)
			}
			if err := a.fillUnits(&u); err != nil {
				return err
			}
			_, err := fmt.Fprint(a.stdout, u.timer())
			return err
		},
	}
	fileFlag(cmd, &u.spec)
	cmd.Flags().StringVar(&u.calendar, "on-calendar", "daily", "when, as systemd.time(7) has it")
	return cmd
}

// fillUnits reads the name from the spec and makes paths absolute: a unit has no directory
// of its own.
func (a *app) fillUnits(u *backupUnits) error {
	s, err := a.newSpecSession(outputText, u.spec)
	if err != nil {
		return err
	}
	u.name = s.spec.Name
	if err := s.log.Close(); err != nil {
		return err
	}
	if s.spec.Ensemble == nil {
		return fmt.Errorf("%s has no ensemble to take a backup of", u.spec)
	}
	if u.program == "" {
		if u.program, err = os.Executable(); err != nil {
			return err
		}
	}
	for _, p := range []*string{&u.program, &u.spec, &u.out} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	return nil
}

// service may write to the archives' directory alone. Its input and output come last, and
// so does its need of the processor: a backup shall not be felt.
func (u backupUnits) service() (string, error) {
	if u.keep < 1 {
		return "", fmt.Errorf("--keep %d: want at least 1", u.keep)
	}
	var argv []string
	for _, word := range []string{u.program, "backup", "-f", u.spec, "-o", u.out, "--keep", fmt.Sprint(u.keep)} {
		quoted, err := unitWord(word)
		if err != nil {
			return "", err
		}
		argv = append(argv, quoted)
	}
	writable, err := unitWord(u.out)
	if err != nil {
		return "", err
	}
	if !plainUser(u.user) {
		return "", fmt.Errorf("--user %q is not the name of an account", u.user)
	}
	return fmt.Sprintf(`# Rendered by zkboot render backup-service.
[Unit]
Description=Backup of the ZooKeeper ensemble %s
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User=%s
ExecStart=%s
Nice=10
IOSchedulingClass=idle
UMask=0077
NoNewPrivileges=true
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=true
PrivateDevices=true
ReadWritePaths=%s
`, u.name, u.user, strings.Join(argv, " "), writable), nil
}

// timer catches up on what a machine that was off has missed.
func (u backupUnits) timer() string {
	return fmt.Sprintf(`# Rendered by zkboot render backup-timer.
[Unit]
Description=Backups of the ZooKeeper ensemble %s

[Timer]
OnCalendar=%s
RandomizedDelaySec=60
Persistent=true

[Install]
WantedBy=timers.target
`, u.name, u.calendar)
}

// unitWord makes one word of a command line, or a path, for a unit. What systemd would read
// as something else is refused but for spaces and percent signs.
// https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html#Quoting
func unitWord(word string) (string, error) {
	if word == "" || strings.ContainsAny(word, "$\"'\\") || strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%q cannot stand in a unit; use a path without quotes, dollar signs and backslashes", word)
	}
	word = strings.ReplaceAll(word, "%", "%%")
	if strings.Contains(word, " ") {
		return `"` + word + `"`, nil
	}
	return word, nil
}

// plainUser reports whether text can only be the name of an account.
func plainUser(text string) bool {
	return text != "" && text[0] != '-' && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
