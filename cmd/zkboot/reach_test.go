package main

import (
	"errors"
	"strings"
	"testing"
)

func secretsOf(t *testing.T, w *world, typed func() (string, error)) *secrets {
	t.Helper()
	a := &app{stderr: &w.stderr, getenv: func(k string) string { return w.env[k] },
		console: console{asks: typed != nil, secret: typed, restore: func() {}}}
	return &secrets{session: &session{app: a, out: &plainLines{w: &w.stderr}}}
}

func TestSecretsComeFromTheEnvironment(t *testing.T) {
	w := newWorld(t, "zk1")
	w.env = map[string]string{envSudo: "hunter2", envPassphrase: "open sesame"}
	q := secretsOf(t, w, nil)
	if got, err := q.sudoPassword(t.Context(), "zk1"); got != "hunter2" || err != nil {
		t.Errorf("sudo password %q, %v", got, err)
	}
	if got, err := q.passphrase(t.Context(), "id"); got != "open sesame" || err != nil {
		t.Errorf("passphrase %q, %v", got, err)
	}
	if out := w.stderr.String(); out != "" {
		t.Errorf("said %q", out)
	}
}

func TestSudoPasswordIsAskedForOnce(t *testing.T) {
	w := newWorld(t, "zk1", "zk2")
	asked := 0
	q := secretsOf(t, w, func() (string, error) { asked++; return "hunter2", nil })
	for _, host := range []string{"zk1", "zk2"} {
		if got, err := q.sudoPassword(t.Context(), host); got != "hunter2" || err != nil {
			t.Errorf("%s: %q, %v", host, got, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	w.says(&w.stderr, "sudo password (asked for by zk1): ")
	if strings.Contains(w.stderr.String(), "hunter2") {
		t.Error("the password is on the screen")
	}
}

func TestASecretNobodyCanTypeNamesItsVariable(t *testing.T) {
	w := newWorld(t, "zk1")
	q := secretsOf(t, w, nil)
	_, err := q.sudoPassword(t.Context(), "zk1")
	if !errors.Is(err, errNoTerminal) || !strings.Contains(err.Error(), "set ZKBOOT_SUDO_PASSWORD") {
		t.Errorf("sudo password: %v", err)
	}
	_, err = q.passphrase(t.Context(), "id")
	if !errors.Is(err, errNoTerminal) || !strings.Contains(err.Error(), "set ZKBOOT_SSH_PASSPHRASE") {
		t.Errorf("passphrase: %v", err)
	}
}
