package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

const (
	// askBudget bounds everything that a server is asked in one look. It answers in
	// milliseconds or is not well.
	askBudget = 2 * time.Second
	// maxAnswer bounds one answer, in bytes.
	maxAnswer = 4 << 20
)

// adminCommands are asked of AdminServer; see
// https://zookeeper.apache.org/doc/r3.8.0/zookeeperAdmin.html#sc_adminserver
func adminCommands() []string {
	return []string{"zabstate", "voting_view", "hash", "leader", "initial_configuration"}
}

// askZooKeeper fills in what the server itself says, everything at once. The error lists
// in a fixed order what did not answer.
func (m *machine) askZooKeeper(ctx context.Context, z *bootstrap.ZooKeeper) error {
	ctx, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	var wg sync.WaitGroup
	var srvrErr, mntrErr, adminErr error
	addr, err := m.clientAddress(*z)
	if err == nil {
		wg.Go(func() { z.Srvr, srvrErr = fourLetters(ctx, addr, "srvr") })
		wg.Go(func() {
			var text string
			text, mntrErr = fourLetters(ctx, addr, "mntr")
			z.Mntr = parseMntr(text)
		})
	}
	if z.Properties["admin.enableServer"] != "false" {
		base := adminURL(z.Properties)
		wg.Go(func() { z.Admin, adminErr = askAdmin(ctx, base) })
	}
	wg.Wait()
	return errors.Join(err, srvrErr, mntrErr, adminErr)
}

// fourLetters sends one of ZooKeeper's four letter words; the server closes the
// connection behind its answer.
func fourLetters(ctx context.Context, addr, word string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("%s: %w", word, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, word); err != nil {
		return "", fmt.Errorf("%s: %w", word, err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("%s: %w", word, err)
	}
	text := string(answer)
	if strings.Contains(text, "is not in the whitelist") || strings.Contains(text, "not currently serving requests") {
		return "", fmt.Errorf("%s: %s", word, strings.TrimSpace(text))
	}
	return text, nil
}

// parseMntr reads lines of name, tab and value.
func parseMntr(text string) map[string]string {
	if text == "" {
		return nil
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "\t"); ok {
			values[k] = v
		}
	}
	return values
}

// adminURL is where AdminServer listens, with ZooKeeper's defaults.
func adminURL(properties map[string]string) string {
	host, port, commands := properties["admin.serverAddress"], properties["admin.serverPort"], properties["admin.commandURL"]
	if port == "" {
		port = "8080"
	}
	if commands == "" {
		commands = "/commands"
	}
	addr, err := listenAddress(host, port)
	if err != nil {
		addr = net.JoinHostPort("127.0.0.1", "8080")
	}
	return "http://" + addr + commands + "/"
}

func askAdmin(ctx context.Context, base string) (map[string]json.RawMessage, error) {
	commands := adminCommands()
	answers := make([]json.RawMessage, len(commands))
	errs := make([]error, len(commands))
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: it is this machine
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var wg sync.WaitGroup
	for i, c := range commands {
		wg.Go(func() { answers[i], errs[i] = askCommand(ctx, client, base+c) })
	}
	wg.Wait()
	admin := map[string]json.RawMessage{}
	for i, c := range commands {
		if errs[i] == nil {
			admin[c] = answers[i]
		}
	}
	if len(admin) == 0 { // none answered, and all for one reason
		return nil, fmt.Errorf("AdminServer: %w", errs[0])
	}
	return admin, errors.Join(errs...)
}

func askCommand(ctx context.Context, client *http.Client, url string) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", url, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return cleanJSON(body)
}

// cleanJSON takes secrets out of an answer: initial_configuration quotes zoo.cfg whole,
// superDigest included.
func cleanJSON(body []byte) (json.RawMessage, error) {
	var v any
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber() // digests do not fit into a float64
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("AdminServer: %w", err)
	}
	return json.Marshal(cleanValue(v))
}

func cleanValue(v any) any {
	switch v := v.(type) {
	case string:
		return redact(v)
	case []any:
		for i := range v {
			v[i] = cleanValue(v[i])
		}
	case map[string]any:
		for k := range v {
			if _, text := v[k].(string); text && secretKey(k) {
				v[k] = redacted
				continue
			}
			v[k] = cleanValue(v[k])
		}
	}
	return v
}
