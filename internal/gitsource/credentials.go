package gitsource

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"
)

// access is what one git command needs to reach a remote. It is made for each command and not kept.
type access struct {
	address  address
	env      []string
	username string
	password string
}

// passwordFD is where a git command finds its credentials: the first file that it inherits, see (*access).attach.
const passwordFD = "3"

// helperTimeout is how long a credential helper may take.
const helperTimeout = 30 * time.Second

// newAccess reads the credentials of a remote, which is valid.
func newAccess(ctx context.Context, r Remote) (*access, error) {
	a, err := parseAddress(r.URL)
	if err != nil {
		return nil, err
	}
	x := &access{address: a}
	config := [][2]string{}
	// A redirection may not lead to a weaker protocol, nor from the network to files.
	switch a.protocol {
	case "http":
		x.env = append(x.env, "GIT_ALLOW_PROTOCOL=http:https")
	default:
		x.env = append(x.env, "GIT_ALLOW_PROTOCOL="+a.protocol)
	}
	switch {
	case r.Auth.PasswordFile != "":
		x.username = "x-access-token"
		if r.Auth.Username != "" {
			x.username = r.Auth.Username
		}
		if x.password, err = readPassword(r.Auth.PasswordFile); err != nil {
			return nil, err
		}
	case len(r.Auth.Helper) > 0:
		if x.username, x.password, err = askHelper(ctx, r.Auth.Helper, a); err != nil {
			return nil, err
		}
	}
	if x.password != "" {
		// Named by host, so that no other host is given the password after a redirection. Git runs this in a shell
		// and adds an operation; the file holds one answer, so a password that was refused is not tried twice.
		config = append(config, [2]string{"credential." + a.protocol + "://" + a.host + ".helper",
			`!nave() { test "$1" != get || cat <&` + passwordFD + `; }; nave`})
	}
	if r.Auth.CAFile != "" {
		config = append(config, [2]string{"http.sslCAInfo", r.Auth.CAFile})
	}
	if a.protocol == "ssh" {
		x.env = append(x.env, "GIT_SSH_VARIANT=ssh", "GIT_SSH_COMMAND="+sshCommand(r.Auth))
	}
	x.env = append(x.env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(config)))
	for i, c := range config {
		x.env = append(x.env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, c[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, c[1]))
	}
	return x, nil
}

// sshCommand is ssh with one key and a list of known servers, and nothing of a user's or machine's own settings.
func sshCommand(auth Auth) string {
	options := []string{
		"-F", "/dev/null",
		"-o", "BatchMode=yes",
		"-o", "IdentitiesOnly=yes",
		"-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + sshQuote(auth.KnownHostsFile),
		"-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "UpdateHostKeys=no",
		"-o", "ControlMaster=no",
		"-o", "ControlPath=none",
		"-o", "ForwardAgent=no",
		"-o", "ForwardX11=no",
		"-o", "ClearAllForwardings=yes",
		"-o", "ConnectTimeout=20",
		"-o", "ServerAliveInterval=15",
		"-o", "ServerAliveCountMax=3",
		"-i", strings.ReplaceAll(auth.SSHKeyFile, "%", "%%"),
	}
	for i, option := range options {
		options[i] = "'" + strings.ReplaceAll(option, "'", `'\''`) + "'"
	}
	return "ssh " + strings.Join(options, " ")
}

// sshQuote quotes a file name for an ssh option, which takes lists of them and knows % tokens.
func sshQuote(file string) string {
	return `"` + strings.NewReplacer("%", "%%", `"`, `\"`, `\`, `\\`).Replace(file) + `"`
}

// maxPassword is the size of the largest password file in bytes. Tokens that are signed documents have a few thousand.
const maxPassword = 64 << 10

func readPassword(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	password := strings.TrimSpace(string(data))
	switch {
	case len(data) > maxPassword:
		return "", fmt.Errorf("reading the password: %q has more than %d bytes", file, maxPassword)
	case password == "":
		return "", fmt.Errorf("reading the password: %q is empty", file)
	case strings.ContainsAny(password, "\n\x00"):
		return "", fmt.Errorf("reading the password: %q has more than one line", file)
	}
	return password, nil
}

// askHelper runs a credential helper. What it says on standard error is left out of the error: it may be a secret.
func askHelper(ctx context.Context, helper []string, a address) (username, password string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, helperTimeout, fmt.Errorf("it took more than %v", helperTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, helper[0], append(append([]string{}, helper[1:]...), "get")...)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("protocol=%s\nhost=%s\npath=%s\n\n", a.protocol, a.host, strings.TrimPrefix(a.path, "/")))
	var out bytes.Buffer
	cmd.Stdout = &out
	ownGroup(cmd)
	if err = cmd.Start(); err == nil {
		err = wait(cmd)
	}
	switch {
	case ctx.Err() != nil:
		return "", "", fmt.Errorf("running the credential helper %q: %w", helper[0], context.Cause(ctx))
	case err != nil:
		return "", "", fmt.Errorf("running the credential helper %q: %w", helper[0], err)
	}
	for line := range strings.Lines(out.String()) {
		switch key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "="); key {
		case "username":
			username = value
		case "password":
			password = value
		}
	}
	if username == "" || password == "" || strings.ContainsRune(username+password, 0) {
		return "", "", fmt.Errorf("running the credential helper %q: it printed no username and password", helper[0])
	}
	return username, password, nil
}

// attach gives a command the credentials: in its environment those that are no secret, and the password through a
// pipe that it inherits, since arguments and environments of processes can be seen and files would stay. The command
// has no other inherited files yet. The returned function is to be called when the command was started, or failed to.
func (x *access) attach(cmd *exec.Cmd) (started func(), err error) {
	cmd.Env = append(cmd.Env, x.env...)
	if x.password == "" {
		return func() {}, nil
	}
	if len(cmd.ExtraFiles) > 0 {
		return nil, errors.New("passing credentials: the command inherits other files")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("passing credentials: %w", err)
	}
	cmd.ExtraFiles = []*os.File{r}
	return func() {
		r.Close()
		go func() { // ends at the latest when the command does, as it alone has the other end
			fmt.Fprintf(w, "username=%s\npassword=%s\n", x.username, x.password)
			w.Close()
		}()
	}, nil
}

// secrets are the forms in which the password may turn up in what git and servers say.
func (x *access) secrets() []string {
	if x.password == "" {
		return nil
	}
	return []string{
		base64.StdEncoding.EncodeToString([]byte(x.username + ":" + x.password)),
		x.password, url.QueryEscape(x.password), url.PathEscape(x.password),
	}
}
