package gittree

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is a running "git cat-file --batch": hashes go in, one a line, and objects come out in the same order.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// object is what a hash names. The data is a string so that names and contents can be parts of it without a copy.
type object struct {
	kind string // commit, tree, blob or tag
	data string
}

// missingError says that the repository does not have an object. Whether that is damage depends on what was asked.
type missingError struct{ id string }

func (e *missingError) Error() string {
	return fmt.Sprintf("object %x is missing", e.id)
}

func (e *missingError) Unwrap() error { return ErrDamaged }

func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting git cat-file: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting git cat-file: %w", err)
	}
	cmd.Stderr = &p.stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting git cat-file: %w", err)
	}
	p.in, p.out = in, bufio.NewReaderSize(out, 128<<10)
	return p, nil
}

// interrupt ends the process, so that an exchange under way fails. Unlike kill it may be called at any time.
func (p *process) interrupt() { p.cmd.Process.Kill() }

// kill ends the process and waits for it. It only reads, so there is nothing to finish.
func (p *process) kill() {
	p.interrupt()
	p.in.Close()
	p.cmd.Wait()
}

type exchangeLimits struct {
	object  int64         // bytes
	total   int64         // bytes of all objects
	timeout time.Duration // for one object
}

var errSlow = errors.New("git took too long")

// exchange asks for all objects at once and reads them as they come: waiting for each answer before the next question
// costs two context switches an object. After an error the process is out of step and must be killed.
func (p *process) exchange(ids []string, limits exchangeLimits) ([]object, error) {
	var ask bytes.Buffer
	for _, id := range ids {
		fmt.Fprintf(&ask, "%x\n", id)
	}
	// Git stops reading while nobody takes its answers, so the questions need a goroutine of their own.
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		p.in.Write(ask.Bytes()) // a failure shows as an answer that does not come
	}()
	slow := make(chan struct{})
	timer := time.AfterFunc(limits.timeout, func() { close(slow); p.interrupt() })
	defer timer.Stop()

	objects := make([]object, 0, len(ids))
	for _, id := range ids {
		o, err := p.answer(id, min(limits.object, limits.total))
		if err != nil {
			p.interrupt()
			<-asked
			select {
			case <-slow:
				return nil, errSlow
			default:
				return nil, p.explain(err)
			}
		}
		objects = append(objects, o)
		limits.total -= int64(len(o.data))
		timer.Reset(limits.timeout)
	}
	<-asked
	return objects, nil
}

// answer reads one object and holds it against its hash. The render cache and every digest above it take a hash for
// the content, and git itself does not check that when it reads from a pack.
func (p *process) answer(id string, limit int64) (object, error) {
	header, err := p.out.ReadSlice('\n')
	if err != nil {
		return object{}, err
	}
	var name [2 * sha256.Size]byte
	hex.Encode(name[:], []byte(id))
	said, ok := bytes.CutPrefix(header, name[:2*len(id)])
	if string(said) == " missing\n" {
		return object{}, &missingError{id: id}
	}
	kind, length, ok2 := bytes.Cut(bytes.TrimSpace(said), []byte(" "))
	size, err := strconv.ParseInt(string(length), 10, 64)
	if !ok || !ok2 || err != nil || size < 0 {
		return object{}, fmt.Errorf("git cat-file answered %q for object %x", header, id)
	}
	o := object{kind: kindName(kind)}
	if size > limit {
		return object{}, fmt.Errorf("object %x has %d bytes, the limit is %d", id, size, limit)
	}
	var data strings.Builder
	data.Grow(int(size))
	for left := int(size); left > 0; {
		part, err := p.out.Peek(min(left, max(1, p.out.Buffered())))
		if err != nil {
			return object{}, err
		}
		data.Write(part)
		p.out.Discard(len(part))
		left -= len(part)
	}
	if _, err := p.out.Discard(1); err != nil {
		return object{}, err
	}
	if o.data = data.String(); !o.is(id) {
		return object{}, fmt.Errorf("object %x is not what its hash says: %w", id, ErrDamaged)
	}
	return o, nil
}

// kindName is string(kind) without an allocation for the kinds that there are.
func kindName(kind []byte) string {
	for _, known := range []string{"blob", "tree", "commit", "tag"} {
		if string(kind) == known {
			return known
		}
	}
	return string(kind)
}

// is reports whether id is the hash of o, of the kind that its length tells.
func (o object) is(id string) bool {
	head := make([]byte, 0, 32)
	head = append(head, o.kind...)
	head = append(head, ' ')
	head = strconv.AppendInt(head, int64(len(o.data)), 10)
	head = append(head, 0)
	var h hash.Hash
	switch len(id) {
	case sha1.Size:
		h = sha1.New()
	case sha256.Size:
		h = sha256.New()
	default:
		return false
	}
	h.Write(head)
	io.WriteString(h, o.data)
	return string(h.Sum(head[:0])) == id
}

// explain adds to the end of an exchange what git said on its way out. A git that gives up on its own has met an
// object that it cannot read; one that was killed says nothing about the repository.
func (p *process) explain(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	p.in.Close()
	p.cmd.Wait()
	said := strings.TrimSpace(p.stderr.String())
	if state := p.cmd.ProcessState; state != nil && state.Exited() && state.ExitCode() != 0 {
		return fmt.Errorf("git cat-file gave up: %s: %w", said, ErrDamaged)
	}
	return fmt.Errorf("git cat-file ended early: %s %s", p.cmd.ProcessState, said)
}

// sizes returns the sizes in bytes of some blobs, from a process of its own that reads no contents.
func (s *Store) sizes(ctx context.Context, ids []string) ([]int64, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var ask, said bytes.Buffer
	for _, id := range ids {
		fmt.Fprintf(&ask, "%x\n", id)
	}
	cmd := s.opts.Git("cat-file", "--batch-check=%(objectsize) %(objecttype)", "--buffer")
	cmd.Stdin, cmd.Stderr = &ask, &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("reading sizes: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("reading sizes: %w", err)
	}
	release := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer release()
	sizes, err := parseSizes(out, ids)
	if err != nil {
		cmd.Process.Kill()
	}
	waited := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	case waited != nil:
		return nil, fmt.Errorf("reading sizes: %w: %s", waited, strings.TrimSpace(said.String()))
	}
	return sizes, nil
}

func parseSizes(out io.Reader, ids []string) ([]int64, error) {
	lines := bufio.NewScanner(out)
	sizes := make([]int64, 0, len(ids))
	for lines.Scan() && len(sizes) < len(ids) {
		id := ids[len(sizes)]
		size, kind, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseInt(size, 10, 64)
		switch {
		case kind == "missing":
			return nil, &missingError{id: id}
		case err != nil || kind != "blob":
			return nil, fmt.Errorf("git cat-file answered %q for blob %x", lines.Text(), id)
		}
		sizes = append(sizes, n)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading sizes: %w", err)
	}
	if len(sizes) < len(ids) {
		return nil, fmt.Errorf("git cat-file told %d of %d sizes: %w", len(sizes), len(ids), ErrDamaged)
	}
	return sizes, nil
}

// parseID turns a hash in hexadecimal digits into its bytes.
func parseID(id string) (string, bool) {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != sha1.Size && len(raw) != sha256.Size {
		return "", false
	}
	return string(raw), true
}
